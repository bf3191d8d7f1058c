// Conversations in the shape of Anthropic's Messages: the system prompt, and turns of content parts. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "json.hpp"
#include "request_fields.hpp"

namespace llmcore::net::messages {

/// A content part as JSON text, and its text where it is nothing but that.
struct Part {
  std::string json;
  std::optional<std::string> only_text;
};
using Parts = std::vector<Part>;

struct Turn {
  std::string role;
  Parts parts;
};

[[nodiscard]] Part text_part(std::string_view utf8);
/// The parts of a content; `only_text` where nothing else may stand.
[[nodiscard]] Problem append_parts(Json content, const std::string& where, bool only_text, Parts& out);
/// "[a,b]" of the parts; of one that is nothing but text, that text.
[[nodiscard]] std::string content_of(const Parts& parts);
/// A system prompt: one text, or the parts as they are where one of them is more than text.
[[nodiscard]] std::string system_of(Parts system);
/// Whether a model takes system messages at the beginning only: Claude up to 4.7.
[[nodiscard]] bool takes_system_first_only(std::string_view model) noexcept;
/// The parts of the system prompt, and the messages. Results of tools belong to one message of the user's, right after.
/// `hoists`: later system messages too become a part of the system prompt.
[[nodiscard]] Problem read_conversation(Json given, bool hoists, Parts& system, std::vector<Turn>& turns);

}  // namespace llmcore::net::messages
