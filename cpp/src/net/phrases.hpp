// The words by which servers without telling codes are understood, and those that must not be repeated.
//
// Pure; looks at ASCII alone, by no locale. O(bytes), each phrase once.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "llmcore/outcome.hpp"

namespace llmcore::net {

/// ASCII in lower case.
[[nodiscard]] std::string lowered(std::string_view text);
/// A prompt that was too long. All of these want lower case.
[[nodiscard]] bool speaks_of_length(std::string_view text) noexcept;
/// A provider that is too busy.
[[nodiscard]] bool speaks_of_load(std::string_view text) noexcept;
/// Spent credit, a policy, a model that is not there, a key that is not valid.
[[nodiscard]] std::optional<Outcome> meaning_of(std::string_view text) noexcept;

/// The title of an HTML page; empty if it has none.
[[nodiscard]] std::string title_of(std::string_view html);
/// What a status is called; empty if nobody knows it.
[[nodiscard]] std::string_view reason_phrase(int status) noexcept;
/// Puts "[key]" for `key`, for a beginning of it, and for whatever looks like a key.
void mask_keys(std::string& text, std::string_view key);

}  // namespace llmcore::net
