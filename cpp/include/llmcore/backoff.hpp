// How long to wait before the next attempt: base x 2^attempt, jittered, capped last.
//
// No delay exceeds the cap. Proportional jitter is cut off at it, so calls that have failed long wait exactly the cap; full
// jitter draws below it, so they stay spread.
//
// Backoff is immutable after construction; the random numbers are the caller's. Thread-safe as long as each thread
// brings its own Rng. SeededBackoff has an Rng of its own and counts: externally synchronised, or safe for threads as
// io::Synchronized<SeededBackoff>. O(1), integers only: delays are the same on every platform for the same seed.
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

/// A calculator with random numbers of its own, which remembers what it dealt out: for use alone.
class SeededBackoff {
 public:
  struct Stats {
    std::int64_t delays = 0;  ///< dealt out
    Duration total = 0;       ///< of all of them, held at the end of the range
    Duration shortest = 0;    ///< 0 before the first, as the next two
    Duration longest = 0;
    Duration last = 0;
    std::int64_t capped = 0;   ///< of them, as long as the cap
    std::int64_t deepest = 0;  ///< highest attempt asked for
  };

  /// Throws std::invalid_argument when config.problem() names one.
  explicit SeededBackoff(const BackoffConfig& config, std::uint64_t seed = 0) : backoff_(config), rng_(seed) {}

  /// As Backoff::delay().
  Duration delay(std::int64_t attempt) noexcept;

  [[nodiscard]] const Stats& stats() const noexcept { return stats_; }
  [[nodiscard]] const BackoffConfig& config() const noexcept { return backoff_.config(); }

 private:
  Backoff backoff_;
  Rng rng_;
  Stats stats_;
};

}  // namespace llmcore
