// Bytes into text that is safe to show and to parse: UTF-8 and JSON strings.
//
// Pure functions, O(bytes).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace llmcore {

/// Appends the bytes as UTF-8. What is none becomes U+FFFD, as the Unicode standard recommends and Python's decoder does.
void append_as_utf8(std::string& out, std::string_view bytes);

/// Whether the bytes are UTF-8.
[[nodiscard]] bool is_utf8(std::string_view bytes) noexcept;

/// Appends a JSON string of text that is UTF-8.
void append_json_string(std::string& out, std::string_view utf8);

/// How many characters UTF-8 has.
[[nodiscard]] std::size_t characters_of(std::string_view utf8) noexcept;

/// The first characters of UTF-8, at most so many.
[[nodiscard]] std::string_view first_characters(std::string_view utf8, std::size_t most) noexcept;

}  // namespace llmcore
