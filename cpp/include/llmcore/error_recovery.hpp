// What to do after an attempt failed, and whether a provider may be tried at all.
//
// One object per provider. verdict_of() is the one function that says retry, fail over or stop; ErrorRecovery adds what
// depends on the provider's recent past: a retry budget and a circuit breaker. O(1), integers only. Externally
// synchronised: one thread at a time; with io::Synchronized<ErrorRecovery> several may ask, and one probe goes out.
//
// Breaker: `breaker_errors` errors in a row open it. While it is open nothing passes; after the cool-down exactly one
// attempt passes, the probe. Only the probe decides: its success closes the breaker, its failure opens it for another
// cool-down, and when it is called off the next attempt may be the probe. What attempts bring that were sent before the
// breaker opened is counted, but neither closes it nor prolongs the cool-down.
//
// Retry budget: calls and time earn retries, a granted retry spends one. What was earned lapses after 10 to 20 seconds,
// so that hours of good weather do not pay for a storm of retries.
#pragma once

#include <cstdint>
#include <optional>

#include "llmcore/outcome.hpp"
#include "llmcore/types.hpp"

namespace llmcore {

enum class Verdict : std::uint8_t { retry, fail_over, stop };

/// timeout, connection, rate_limited, overloaded, server_error: retry. quota_exhausted, auth, over_budget, exhausted:
/// fail over. Everything else stops, fallback or not. The provider's own x-should-retry, where sent, overrides: true
/// retries whatever failure the status was, false never retries here (what would have been retried fails over). It has
/// no say in outcomes that no provider sends: ok, queue_full, queue_timeout, over_budget, cancelled and exhausted.
[[nodiscard]] Verdict verdict_of(Outcome outcome, std::optional<bool> should_retry = std::nullopt) noexcept;

/// Whether the outcome says that the provider itself is unwell (timeout, connection, overloaded, server_error). A 429
/// is an answer: the provider is well and busy.
[[nodiscard]] bool counts_against_health(Outcome outcome) noexcept;

struct ErrorRecoveryConfig {
  std::int64_t max_attempts = 3;            ///< per provider of the chain, the first included; >= 1
  Duration retry_after_cap = 60 * kSecond;  ///< a longer Retry-After fails over or fails: it is not slept
  std::int64_t breaker_errors = 3;          ///< consecutive errors that degrade a provider and open its breaker; >= 1
  Duration cooldown = 10 * kSecond;         ///< how long the breaker stays open before one probe is let through
  std::int64_t retry_percent = 20;          ///< retries earned by calls, in percent of them; at most 10,000
  std::int64_t retries_per_second = 10;     ///< retries earned by time; at most 1,000,000

  /// Nullptr when usable, otherwise what is wrong with it.
  [[nodiscard]] const char* problem() const noexcept;
};

/// healthy: calls pass. degraded: breaker open, no call passes. probing: the cool-down is over, and one call goes out
/// to see.
enum class Health : std::uint8_t { healthy, degraded, probing };

class ErrorRecovery {
 public:
  struct Stats {
    Health health = Health::healthy;  ///< as the last event left it; ErrorRecovery::health() also asks the clock
    std::int64_t consecutive_errors = 0;
    std::int64_t errors = 0;
    std::int64_t successes = 0;
    std::int64_t calls = 0;
    std::int64_t retries = 0;          ///< granted
    std::int64_t retries_refused = 0;  ///< the retry budget was empty
    std::int64_t breaker_opened = 0;   ///< by errors in a row or by a failed probe
    Instant open_until = 0;            ///< end of the latest cool-down; 0 before the first
  };

  /// Throws std::invalid_argument when config.problem() names one.
  ErrorRecovery(const ErrorRecoveryConfig& config, Instant start);

  /// A call arrived for this provider: earns its share of retries. Law (P7): retries granted <= retry_percent of calls
  /// + retries_per_second x time + retries_per_second (one second's worth to begin with). Call it once per call, not
  /// per attempt.
  void call_arrived() noexcept;

  /// When an attempt may be sent: `now`, the end of the cool-down, or kNever while a probe is out.
  [[nodiscard]] Instant ready_at(Instant now) const noexcept;
  /// An attempt is being sent; true if it is the probe. Ask ready_at() first: one that is sent against its advice is
  /// never the probe. Every attempt sent is closed by exactly one of succeeded(), failed() and abandoned().
  bool sent(Instant now) noexcept;
  /// The attempt was answered well enough: errors in a row are over, and if it was the probe the breaker closes. Any
  /// answer that does not count against health is one.
  void succeeded(bool probe) noexcept;
  /// The attempt failed in a way that counts against health.
  void failed(bool probe, Instant now) noexcept;
  /// The attempt was called off before it could show anything.
  void abandoned(bool probe) noexcept;

  /// What to do after an attempt that ended in `outcome`: the verdict, lowered from retry to fail over when attempts
  /// are spent, Retry-After is above its cap or the retry budget is empty. A granted retry is taken from the retry
  /// budget. `attempts` counts those made on this provider for this call, the failed one included.
  [[nodiscard]] Verdict advise(Outcome outcome, std::optional<bool> should_retry, Duration retry_after,
                               std::int64_t attempts, Instant now) noexcept;

  [[nodiscard]] Health health(Instant now) const noexcept;
  [[nodiscard]] Stats stats() const noexcept { return stats_; }
  [[nodiscard]] std::uint64_t state_hash() const noexcept;

 private:
  void earn(Instant now) noexcept;
  void earn_for(Duration span) noexcept;
  [[nodiscard]] bool spend() noexcept;
  void open(Instant now) noexcept;

  ErrorRecoveryConfig config_;
  Stats stats_;
  // Retries in hand, in units of 1/100 retry: those earned in the window of time that runs, and in the one before it.
  std::int64_t credit_ = 0;
  std::int64_t credit_before_ = 0;
  std::int64_t carry_ = 0;  // remainder of the earning by time, below one unit, in units x nanoseconds
  Instant window_at_;       // when the running window began
  Instant earned_at_;       // up to when time has been turned into credit
  bool open_ = false;
  bool probe_out_ = false;
};

}  // namespace llmcore
