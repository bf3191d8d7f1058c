// Everything that can be set about an engine, as plain values with units and defaults.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "llmcore/backoff.hpp"
#include "llmcore/budget.hpp"
#include "llmcore/error_recovery.hpp"
#include "llmcore/rate_limiter.hpp"
#include "llmcore/request_queue.hpp"
#include "llmcore/response_cache.hpp"
#include "llmcore/token_tracker.hpp"
#include "llmcore/types.hpp"

namespace llmcore {

struct Config {
  std::uint64_t seed = 0;    ///< of every random choice
  RateLimiterConfig limits;  ///< of every lane (tenant x provider) without an entry of its own
  std::map<std::string, RateLimiterConfig, std::less<>> provider_limits;  ///< by provider name
  RequestQueueConfig queue;                                               ///< of every lane
  ResponseCacheConfig cache;
  BackoffConfig backoff;
  ErrorRecoveryConfig recovery;  ///< of every provider
  std::vector<BudgetRule> budgets;
  /// Smaller than a tracker used alone: an engine's memory is bounded by megabytes, not by how many users it has.
  TokenTrackerConfig tracker{.max_keys = 10'000, .max_rows = 40'000};
  /// Usage is tracked apart for each value of these keys among a call's scopes, as "key=value". The tenant counts as
  /// one of its scopes, unless it is the default one.
  std::vector<std::string> usage_scopes{"tenant", "user", "company"};
  Duration deadline = 120 * kSecond;        ///< of a call that names none
  Duration attempt_timeout = 60 * kSecond;  ///< of one attempt; the call's deadline still ends it earlier
  std::int64_t max_lanes = 4096;            ///< idle lanes beyond this many are forgotten

  /// 60 requests/min with a full minute's burst, queue of 15 with short waits. The default.
  [[nodiscard]] static Config game();
  /// No limits until configured or told by the provider; limits hold in any sliding minute; queue of 10,000.
  [[nodiscard]] static Config server();

  /// Every problem of every part, one sentence each; empty when usable.
  [[nodiscard]] std::vector<std::string> problems() const;
};

}  // namespace llmcore
