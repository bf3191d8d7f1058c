// Configurations and figures that the tests of the rate limiter share.
#pragma once

#include <limits>

#include "llmcore/rate_limiter.hpp"
#include "llmcore/rng.hpp"

namespace llmcore::testing {

__extension__ typedef __int128 Int128;

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr Instant kStart = 1'000 * kSecond;

inline RateLimiterConfig limits(std::int64_t requests, std::int64_t tokens = 0, std::int64_t in_flight = 0,
                                bool burst = true) {
  RateLimiterConfig config;
  config.requests_per_minute = requests;
  config.tokens_per_minute = tokens;
  config.max_in_flight = in_flight;
  config.minute_burst = burst;
  return config;
}

constexpr bool kServer = false;

inline RateObservation requests_left(std::int64_t remaining, Duration reset) {
  RateObservation observation;
  observation.remaining_requests = remaining;
  observation.requests_reset = reset;
  return observation;
}

inline RateObservation tokens_left(std::int64_t remaining, Duration reset) {
  RateObservation observation;
  observation.remaining_tokens = remaining;
  observation.tokens_reset = reset;
  return observation;
}

}  // namespace llmcore::testing
