// The engine's own random numbers: seeded, integer, the same on every platform. Never for secrets.
//
// xoshiro256** seeded through splitmix64. Externally synchronised, O(1). State is 32 bytes and can be read and
// restored.
#pragma once

#include <array>
#include <cstdint>

namespace llmcore {

class Rng {
 public:
  using State = std::array<std::uint64_t, 4>;

  explicit Rng(std::uint64_t seed) noexcept;

  /// The next 64 random bits.
  std::uint64_t next() noexcept;
  /// Uniform in [0, bound), without modulo bias. bound must be > 0.
  std::uint64_t below(std::uint64_t bound) noexcept;
  /// Uniform in [low, high], both included. low must be <= high.
  std::int64_t between(std::int64_t low, std::int64_t high) noexcept;

  /// The place in the sequence. Restore only what state() returned: all zeros is the one state that yields nothing
  /// else.
  [[nodiscard]] const State& state() const noexcept { return state_; }
  void restore(const State& state) noexcept { state_ = state; }

 private:
  State state_;
};

}  // namespace llmcore
