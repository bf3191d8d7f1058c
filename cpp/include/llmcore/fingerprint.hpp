// SHA-256 and the identity of a request.
//
// Pure, thread-safe, O(bytes). A fingerprint covers length-prefixed fields, so no two different requests share one by
// moving a byte from one field to the next.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace llmcore {

struct Fingerprint {
  std::array<std::uint8_t, 32> bytes{};

  [[nodiscard]] std::string hex() const;
  friend auto operator<=>(const Fingerprint&, const Fingerprint&) = default;
};

/// The digest's first bytes are already uniform: good enough as a hash.
struct FingerprintHash {
  std::size_t operator()(const Fingerprint& f) const noexcept;
};

/// Incremental SHA-256 (FIPS 180-4). Uses the processor's SHA instructions where it has them; the digest is the same.
class Sha256 {
 public:
  Sha256() noexcept;
  void update(std::string_view bytes) noexcept;
  /// Ends the message. The object must not be used afterwards.
  [[nodiscard]] Fingerprint finish() noexcept;

 private:
  std::array<std::uint32_t, 8> state_;
  std::array<std::uint8_t, 64> buffer_;
  std::uint64_t length_ = 0;
};

/// Version of the key layout; part of every key, so that a change of layout never meets an old key.
inline constexpr std::uint32_t kFingerprintVersion = 1;

/// SHA-256 over (version as 4 bytes little-endian, tenant, provider, model, canonical request), each of the five
/// prefixed by its length as 8 bytes little-endian.
[[nodiscard]] Fingerprint fingerprint(std::string_view tenant, std::string_view provider, std::string_view model,
                                      std::string_view canonical_request) noexcept;

namespace detail {

/// The two ways to take whole 64-byte blocks into a SHA-256 state, apart so that they can be tested against each other.
using Sha256Blocks = void (*)(std::array<std::uint32_t, 8>& state, const std::uint8_t* blocks,
                              std::size_t count) noexcept;
void sha256_blocks_portable(std::array<std::uint32_t, 8>& state, const std::uint8_t* blocks,
                            std::size_t count) noexcept;
/// Nullptr where this processor has no SHA instructions.
[[nodiscard]] Sha256Blocks sha256_blocks_accelerated() noexcept;

}  // namespace detail

}  // namespace llmcore
