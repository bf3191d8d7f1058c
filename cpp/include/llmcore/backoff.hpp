// How long to wait before the next attempt: base x 2^attempt, jittered, capped last.
//
// No delay exceeds the cap. Proportional jitter is cut off at it, so calls that have failed long wait exactly the cap; full
// jitter draws below it, so they stay spread.
//
// Immutable after construction; the random numbers are the caller's. Thread-safe as long as each thread brings its own
// Rng. O(1), integers only: delays are the same on every platform for the same seed.
#pragma once

#include <cstdint>

#include "llmcore/rng.hpp"
#include "llmcore/types.hpp"

namespace llmcore {

enum class Jitter : std::uint8_t {
  none,
  proportional,  ///< uniform in delay x [1 - f, 1 + f]
  full,          ///< uniform in [0, min(delay, cap)]
};

struct BackoffConfig {
  Duration base = 500 * kMillisecond;
  Duration cap = 30 * kSecond;
  Jitter jitter = Jitter::proportional;
  std::int64_t jitter_permille = 250;  ///< f of Jitter::proportional, in thousandths (0 to 1000)

  /// Nullptr when usable, otherwise what is wrong with it.
  [[nodiscard]] const char* problem() const noexcept;
};

class Backoff {
 public:
  /// Throws std::invalid_argument when config.problem() names one.
  explicit Backoff(const BackoffConfig& config);

  /// The wait before attempt number `attempt` + 2: attempt 0 is the first that failed. In [0, cap], never above it.
  [[nodiscard]] Duration delay(std::int64_t attempt, Rng& rng) const noexcept;

  [[nodiscard]] const BackoffConfig& config() const noexcept { return config_; }

 private:
  BackoffConfig config_;
};

}  // namespace llmcore
