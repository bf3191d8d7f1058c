// What text comes to in tokens, before anybody has counted them: thousandths of a token, by what drives tokens in all
// tokenizers.
//
// Pure, thread-safe, O(bytes), about a nanosecond each. Fitted to recorded prompts of many providers and models.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace llmcore {

namespace detail {

inline constexpr std::array<std::uint16_t, 256> kByteWeights = [] {
  constexpr std::uint16_t kLetter = 190, kSpace = 300, kDigit = 650, kBreak = 400, kMark = 550, kOther = 330;
  std::array<std::uint16_t, 256> weights{};
  for (std::size_t byte = 0; byte < weights.size(); ++byte) {
    const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    const bool digit = byte >= '0' && byte <= '9';
    const bool line = byte == '\n' || byte == '\r' || byte == '\t';
    weights[byte] = letter        ? kLetter
                    : digit       ? kDigit
                    : line        ? kBreak
                    : byte == ' ' ? kSpace
                    : byte < 0x80 ? kMark
                                  : kOther;
  }
  return weights;
}();

}  // namespace detail

/// Thousandths of a token that UTF-8 comes to.
[[nodiscard]] constexpr std::int64_t text_weight(std::string_view utf8) noexcept {
  std::int64_t weight = 0;
  for (const char c : utf8) weight += detail::kByteWeights[static_cast<unsigned char>(c)];
  return weight;
}

}  // namespace llmcore
