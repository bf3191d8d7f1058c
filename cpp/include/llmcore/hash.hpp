// Folding values into a 64-bit hash: what every state_hash() is made of.
//
// Pure, constexpr, the same on every platform (integers are widened to 64 bits first; no byte order, no pointer, no
// std::hash). For telling two states apart, not against an adversary: identities of requests use SHA-256
// (fingerprint.hpp). O(1), and O(bytes) for text.
#pragma once

#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace llmcore {

/// Folds one integer, bool or enumerator into `seed`. Order matters, and a value of 0 changes the hash too. Signed
/// values are sign-extended, so the width of the type does not change the result. Floating point is refused: it decides
/// nothing.
template <typename T>
  requires std::integral<T> || std::is_enum_v<T>
[[nodiscard]] constexpr std::uint64_t mix64(std::uint64_t seed, T value) noexcept {
  // Two multiply-xorshift rounds over the sum; the odd increment keeps (0, 0) away from the fixed point 0.
  std::uint64_t x = (seed ^ 0x9e3779b97f4a7c15U) * 0xd6e8feb86659fd93U + static_cast<std::uint64_t>(value);
  x = (x ^ (x >> 32U)) * 0xd6e8feb86659fd93U;
  x = (x ^ (x >> 32U)) * 0xd6e8feb86659fd93U;
  return x ^ (x >> 32U);
}

/// Folds text into `seed`: FNV-1a over its bytes, then its length, so that consecutive texts cannot trade bytes unseen.
[[nodiscard]] constexpr std::uint64_t mix64(std::uint64_t seed, std::string_view text) noexcept {
  std::uint64_t x = 0xcbf29ce484222325U;
  for (const char c : text) {
    x ^= static_cast<unsigned char>(c);
    x *= 0x100000001b3U;
  }
  return mix64(mix64(seed, x), static_cast<std::uint64_t>(text.size()));
}

}  // namespace llmcore
