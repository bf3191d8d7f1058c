#include "llmcore/backoff.hpp"

#include <algorithm>
#include <stdexcept>

namespace llmcore {
namespace {

__extension__ typedef __int128 Int128;

constexpr std::int64_t kPermille = 1000;

// base x 2^attempt, but no more than `bound`.
Duration grown(Duration base, std::int64_t attempt, Duration bound) noexcept {
  constexpr std::int64_t kLastShift = 62;  // of a positive 63-bit number; any further one leaves nothing to compare
  if (base == 0) return 0;
  if (attempt > kLastShift || base > (bound >> attempt)) return bound;
  return base << attempt;
}

}  // namespace

const char* BackoffConfig::problem() const noexcept {
  if (base < 0) return "backoff base must not be negative; 0 means no wait";
  if (cap < 0) return "backoff cap must not be negative; 0 means no wait";
  if (jitter_permille < 0 || jitter_permille > kPermille) {
    return "backoff jitter must be between 0 and 1 (0 and 1000 thousandths)";
  }
  switch (jitter) {
    case Jitter::none:
    case Jitter::proportional:
    case Jitter::full: return nullptr;
  }
  return "backoff jitter must be one of none, proportional, full";
}

Backoff::Backoff(const BackoffConfig& config) : config_(config) {
  if (const char* problem = config.problem()) throw std::invalid_argument(problem);
}

Duration Backoff::delay(std::int64_t attempt, Rng& rng) const noexcept {
  const std::int64_t doublings = std::max<std::int64_t>(attempt, 0);
  switch (config_.jitter) {
    case Jitter::none: break;
    case Jitter::full: return rng.between(0, grown(config_.base, doublings, config_.cap));
    case Jitter::proportional: {
      // Far above any cap, and small enough that the jittered range still fits into 63 bits.
      constexpr Duration kAges = Duration{1} << 61;
      const Duration wait = grown(config_.base, doublings, kAges);
      const auto spread = static_cast<Duration>(Int128{wait} * config_.jitter_permille / kPermille);
      return std::min(rng.between(wait - spread, wait + spread), config_.cap);
    }
  }
  return grown(config_.base, doublings, config_.cap);
}

Duration SeededBackoff::delay(std::int64_t attempt) noexcept {
  const Duration wait = backoff_.delay(attempt, rng_);
  stats_.shortest = stats_.delays == 0 ? wait : std::min(stats_.shortest, wait);
  stats_.longest = std::max(stats_.longest, wait);
  stats_.total = add_saturated(stats_.total, wait);
  stats_.last = wait;
  stats_.deepest = std::max(stats_.deepest, attempt);
  if (wait == config().cap) ++stats_.capped;
  ++stats_.delays;
  return wait;
}

}  // namespace llmcore
