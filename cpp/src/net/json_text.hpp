// The letters of JSON: blanks, digits, and the halves of characters that "\u" spells. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace llmcore::net {

constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

inline int hex_digit(char c) noexcept {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The four digits after "\u"; -1 if they are none.
inline int unit_at(std::string_view text, std::size_t at) noexcept {
  if (at + 4 > text.size()) return -1;
  int unit = 0;
  for (std::size_t i = at; i < at + 4; ++i) {
    const int digit = hex_digit(text[i]);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

constexpr bool is_high(int unit) noexcept { return unit >= 0xD800 && unit < 0xDC00; }
constexpr bool is_low(int unit) noexcept { return unit >= 0xDC00 && unit < 0xE000; }

}  // namespace llmcore::net
