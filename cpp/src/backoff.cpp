#include "llmcore/backoff.hpp"

#include <algorithm>
#include <stdexcept>

namespace llmcore {
namespace {

__extension__ typedef __int128 Int128;

constexpr std::int64_t kPermille = 1000;

// base x 2^attempt, but no more than the cap.
Duration grown(const BackoffConfig& config, std::int64_t attempt) noexcept {
  constexpr std::int64_t kLastShift = 62;  // of a positive 63-bit number; any further one leaves nothing to compare
  if (config.base == 0) return 0;
  if (attempt > kLastShift || config.base > (config.cap >> attempt)) return config.cap;
  return config.base << attempt;
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
  const Duration wait = grown(config_, std::max<std::int64_t>(attempt, 0));
  switch (config_.jitter) {
    case Jitter::none: return wait;
    case Jitter::full: return rng.between(0, wait);
    case Jitter::proportional: break;
  }
  const auto spread = static_cast<Duration>(Int128{wait} * config_.jitter_permille / kPermille);
  return rng.between(wait - spread, std::min(add_saturated(wait, spread), config_.cap));
}

}  // namespace llmcore
