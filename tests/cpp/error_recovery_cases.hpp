// Short ways to bring an ErrorRecovery into a state.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>

#include "llmcore/error_recovery.hpp"

namespace llmcore::testing {

inline ErrorRecovery make(const ErrorRecoveryConfig& config = {}, Instant start = 0) { return {config, start}; }

/// Sends an attempt that fails, as an ordinary one.
inline void fail_once(ErrorRecovery& recovery, Instant now) {
  ASSERT_FALSE(recovery.sent(now));
  recovery.failed(false, now);
}

/// Three failures at `now`: what opens the breaker of the default configuration.
inline void open_breaker(ErrorRecovery& recovery, Instant now) {
  for (int i = 0; i < 3; ++i) fail_once(recovery, now);
  ASSERT_EQ(recovery.health(now), Health::degraded);
}

/// How many retries of a failed first attempt are granted at `now` before the first refusal.
inline std::int64_t drain(ErrorRecovery& recovery, Instant now) {
  std::int64_t granted = 0;
  while (recovery.advise(Outcome::server_error, std::nullopt, 0, 1, now) == Verdict::retry) ++granted;
  return granted;
}

}  // namespace llmcore::testing
