#include "text.hpp"

#include <cstdint>
#include <cstring>

namespace llmcore {
namespace {

/// How many bytes the character at the front of `text` has, and whether they are UTF-8. Of a sequence that breaks off,
/// the bytes that could have begun a character count together, as the Unicode standard recommends and Python's decoder
/// does.
struct Sequence {
  std::size_t length;
  bool valid;
};
Sequence front_of(std::string_view text) noexcept {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {1, true};
  if (lead < 0xC2 || lead > 0xF4) return {1, false};
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte's range keeps out overlong forms, surrogates and what lies beyond U+10FFFF.
  unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size() || byte(i) < low || byte(i) > high) return {i, false};
    low = 0x80;
    high = 0xBF;
  }
  return {length, true};
}

}  // namespace

void append_as_utf8(std::string& out, std::string_view bytes) {
  while (!bytes.empty()) {
    const Sequence front = front_of(bytes);
    out += front.valid ? bytes.substr(0, front.length) : std::string_view("\xEF\xBF\xBD");  // U+FFFD
    bytes.remove_prefix(front.length);
  }
}

bool is_utf8(std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    std::uint64_t eight = 0;  // most text is ASCII: eight characters at once
    while (bytes.size() >= sizeof eight) {
      std::memcpy(&eight, bytes.data(), sizeof eight);
      if ((eight & 0x8080808080808080U) != 0) break;
      bytes.remove_prefix(sizeof eight);
    }
    if (bytes.empty()) break;
    const Sequence front = front_of(bytes);
    if (!front.valid) return false;
    bytes.remove_prefix(front.length);
  }
  return true;
}

void append_json_string(std::string& out, std::string_view utf8) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  out += '"';
  for (const char c : utf8) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (const auto byte = static_cast<unsigned char>(c); byte < 0x20) {
          out += "\\u00";
          out += kDigits[byte >> 4U];
          out += kDigits[byte & 0xFU];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

std::size_t characters_of(std::string_view utf8) noexcept {
  std::size_t count = 0;
  for (const char c : utf8) count += (static_cast<unsigned char>(c) & 0xC0U) != 0x80U ? 1U : 0U;
  return count;
}

std::string_view first_characters(std::string_view utf8, std::size_t most) noexcept {
  if (utf8.size() <= most) return utf8;
  std::size_t begun = 0;
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    if ((static_cast<unsigned char>(utf8[i]) & 0xC0U) != 0x80U && begun++ == most) return utf8.substr(0, i);
  }
  return utf8;
}

}  // namespace llmcore
