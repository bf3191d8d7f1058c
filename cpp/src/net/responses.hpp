// OpenAI's Responses: requests, answers, streams. Pure.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "chat_request.hpp"
#include "failures.hpp"
#include "llmcore/net/provider.hpp"

namespace llmcore::net {

/// The body of a request, from the OpenAI shape. What Responses have no form for is refused by name; content parts and
/// tools in their own form pass as they are, and so does a message whose content is a list of whole items.
[[nodiscard]] ChatBody encode_responses(const ChatRequest& request);
/// The items of a conversation, each of them JSON text.
[[nodiscard]] Problem append_items(Json messages, std::vector<std::string>& items);
/// An answer with status 200, which may still tell of an error.
[[nodiscard]] Decoded decode_responses(const Reading& reading, std::string_view body);
/// The same, of an answer that is parsed already: a stream's last event holds one.
[[nodiscard]] Decoded read_response(const Reading& reading, Json answer);
/// For one answer with status 200; `provider` decodes one that comes in one piece.
[[nodiscard]] std::unique_ptr<StreamDecoder> responses_stream(const Provider& provider, Headers headers,
                                                              std::string_view key, WallTime now);

}  // namespace llmcore::net
