// A name of the host's inside a sentence of ours: control characters as \x1f, so that a sentence is one line and ends where it ends.
#pragma once

#include <string>
#include <string_view>

namespace llmcore {

inline std::string shown(std::string_view name) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      text += c;
    } else {
      text += "\\x";
      text += kDigits[byte >> 4U];
      text += kDigits[byte & 0xfU];
    }
  }
  return text;
}

}  // namespace llmcore
