// Chat Completions, OpenAI's and those of every server that speaks the same: whole answers and streams. Pure.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "failures.hpp"
#include "json.hpp"
#include "llmcore/net/hosts.hpp"
#include "llmcore/net/provider.hpp"

namespace llmcore::net {

/// An answer with status 200, which may still be an error.
[[nodiscard]] Decoded decode_chat(const Reading& reading, std::string_view body, const Host& host);
/// For one answer with status 200; `provider` decodes one that comes in one piece.
[[nodiscard]] std::unique_ptr<StreamDecoder> chat_stream(const Provider& provider, Headers headers, const Host& host,
                                                         std::string_view key, WallTime now);

/// A content that is a list of parts, or null: its text, and what was thought.
struct Parts {
  std::string text;
  std::string reasoning;
};
[[nodiscard]] Parts joined(Json content);
/// Every text of a message or of a part of one: what is billed as output, whichever choice it belongs to.
[[nodiscard]] std::string written_in(Json message);
/// The pages that annotations name.
void append_citations(std::vector<Citation>& out, Json annotations);
/// A time in Unix seconds, if it can be one.
[[nodiscard]] std::optional<std::int64_t> unix_of(Json value);
/// A tool's arguments as text; some servers send the object itself.
[[nodiscard]] std::string arguments_of(Json value);
/// A tool call or a piece of one; "custom" tools stand under their own name.
[[nodiscard]] ToolCall tool_call_of(Json call);

}  // namespace llmcore::net
