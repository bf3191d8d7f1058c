// Anthropic's Messages, also as llama.cpp's server speaks them: requests, answers, streams. Pure.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "chat_request.hpp"
#include "failures.hpp"
#include "llmcore/net/provider.hpp"

namespace llmcore::net {

/// The body of a request, from the OpenAI shape. What Messages have no form for is refused by name; content parts, tools
/// and tool choices in Anthropic's own form pass as they are, and "cache_control" passes wherever it stands. `betas`:
/// what belongs into the header anthropic-beta.
[[nodiscard]] ChatBody encode_messages(const ChatRequest& request, std::string& betas);
/// An answer with status 200, which may still be an error.
[[nodiscard]] Decoded decode_messages(const Reading& reading, std::string_view body);
/// Adds the id of the exchange that a body names, where no header does.
void take_request_id(Failure& failure, Json body, std::string_view key);
/// For one answer with status 200; `provider` decodes one that comes in one piece.
[[nodiscard]] std::unique_ptr<StreamDecoder> messages_stream(const Provider& provider, Headers headers,
                                                             std::string_view key, WallTime now);

/// A stop reason in OpenAI's words; what has none keeps its own ("pause_turn").
[[nodiscard]] std::string finish_reason_of(std::string stop_reason);
/// The pages that a text's citations name, and those that a search of Anthropic's own found.
void append_cited(std::vector<Citation>& out, Json citations);
void append_found(std::vector<Citation>& out, Json results);

}  // namespace llmcore::net
