#include "llmcore/error_recovery.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "llmcore/hash.hpp"

namespace llmcore {
namespace {

constexpr std::int64_t kUnitsPerRetry = 100;
// Credit lapses at the end of the window after the one it was earned in. A whole number of seconds, so that a full
// window earns a whole number of units and leaves the carry as it was.
constexpr std::int64_t kWindowSeconds = 10;
constexpr Duration kWindow = kWindowSeconds * kSecond;
constexpr std::int64_t kMaxRetryPercent = 10'000;
constexpr std::int64_t kMaxRetriesPerSecond = 1'000'000;  // keeps every product below within 64 bits

// later - earlier, exact even when the difference does not fit in a signed integer. Requires earlier <= later.
std::uint64_t elapsed(Instant earlier, Instant later) noexcept {
  return static_cast<std::uint64_t>(later) - static_cast<std::uint64_t>(earlier);
}

Verdict verdict_without_advice(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::timeout:
    case Outcome::connection:
    case Outcome::rate_limited:
    case Outcome::overloaded:
    case Outcome::server_error: return Verdict::retry;
    case Outcome::quota_exhausted:
    case Outcome::auth:
    case Outcome::over_budget:
    case Outcome::exhausted: return Verdict::fail_over;
    case Outcome::ok:
    case Outcome::bad_request:
    case Outcome::context_length:
    case Outcome::content_filter:
    case Outcome::not_found:
    case Outcome::queue_full:
    case Outcome::queue_timeout:
    case Outcome::cancelled: return Verdict::stop;
  }
  return Verdict::stop;
}

// Whether the outcome is a failure that a provider may have sent advice with.
bool sent_by_provider(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::ok:
    case Outcome::queue_full:
    case Outcome::queue_timeout:
    case Outcome::over_budget:
    case Outcome::cancelled:
    case Outcome::exhausted: return false;
    default: return true;
  }
}

}  // namespace

Verdict verdict_of(Outcome outcome, std::optional<bool> should_retry) noexcept {
  const Verdict verdict = verdict_without_advice(outcome);
  if (!should_retry || !sent_by_provider(outcome)) return verdict;
  if (*should_retry) return Verdict::retry;
  return verdict == Verdict::retry ? Verdict::fail_over : verdict;
}

bool counts_against_health(Outcome outcome) noexcept {
  return outcome == Outcome::timeout || outcome == Outcome::connection || outcome == Outcome::overloaded ||
         outcome == Outcome::server_error;
}

const char* ErrorRecoveryConfig::problem() const noexcept {
  if (max_attempts < 1) return "max_attempts must be at least 1: the first attempt counts";
  if (retry_after_cap < 0) return "retry_after_cap must not be negative; 0 fails over on every Retry-After";
  if (breaker_errors < 1) return "breaker_errors must be at least 1; a very large number keeps the breaker closed";
  if (cooldown < 0) return "cooldown must not be negative";
  if (retry_percent < 0 || retry_percent > kMaxRetryPercent) return "retry_percent must be between 0 and 10,000";
  if (retries_per_second < 0 || retries_per_second > kMaxRetriesPerSecond) {
    return "retries_per_second must be between 0 and 1,000,000";
  }
  return nullptr;
}

ErrorRecovery::ErrorRecovery(const ErrorRecoveryConfig& config, Instant start)
    : config_(config), window_at_(start), earned_at_(start) {
  if (const char* problem = config.problem()) throw std::invalid_argument(std::string("error recovery: ") + problem);
  credit_ = config.retries_per_second * kUnitsPerRetry;
}

void ErrorRecovery::call_arrived() noexcept {
  ++stats_.calls;
  credit_ = add_saturated(credit_, config_.retry_percent);
}

Instant ErrorRecovery::ready_at(Instant now) const noexcept {
  if (!open_) return now;
  return probe_out_ ? kNever : std::max(now, stats_.open_until);
}

bool ErrorRecovery::sent(Instant now) noexcept {
  earn(now);  // here too, or what calls earn during a long time without failures would never lapse
  if (!open_ || probe_out_ || now < stats_.open_until) return false;
  probe_out_ = true;
  stats_.health = Health::probing;
  return true;
}

void ErrorRecovery::succeeded(bool probe) noexcept {
  ++stats_.successes;
  if (probe && probe_out_) {
    open_ = false;
    probe_out_ = false;
    stats_.health = Health::healthy;
  }
  if (!open_) stats_.consecutive_errors = 0;
}

void ErrorRecovery::failed(bool probe, Instant now) noexcept {
  ++stats_.errors;
  ++stats_.consecutive_errors;
  if (open_) {
    if (probe && probe_out_) open(now);
  } else if (stats_.consecutive_errors >= config_.breaker_errors) {
    open(now);
  }
}

void ErrorRecovery::abandoned(bool probe) noexcept {
  if (!probe || !probe_out_) return;
  probe_out_ = false;
  stats_.health = Health::degraded;
}

void ErrorRecovery::open(Instant now) noexcept {
  open_ = true;
  probe_out_ = false;
  ++stats_.breaker_opened;
  stats_.open_until = add_saturated(now, config_.cooldown);
  stats_.health = Health::degraded;
}

Verdict ErrorRecovery::advise(Outcome outcome, std::optional<bool> should_retry, Duration retry_after,
                              std::int64_t attempts, Instant now) noexcept {
  const Verdict verdict = verdict_of(outcome, should_retry);
  if (verdict != Verdict::retry) return verdict;
  if (attempts >= config_.max_attempts || retry_after > config_.retry_after_cap) return Verdict::fail_over;
  earn(now);
  if (!spend()) {
    ++stats_.retries_refused;
    return Verdict::fail_over;
  }
  ++stats_.retries;
  return Verdict::retry;
}

void ErrorRecovery::earn(Instant now) noexcept {
  if (now <= earned_at_) return;
  constexpr auto kSpan = static_cast<std::uint64_t>(kWindow);
  const std::uint64_t age = elapsed(window_at_, now);
  if (age >= kSpan) {
    // The window is over. If more than that one is, the last full one earned by time alone, and all before it lapsed.
    earn_for(kWindow - static_cast<Duration>(elapsed(window_at_, earned_at_)));
    credit_before_ = age < 2 * kSpan ? credit_ : config_.retries_per_second * kUnitsPerRetry * kWindowSeconds;
    credit_ = 0;
    window_at_ = now - static_cast<Duration>(age % kSpan);
    earned_at_ = window_at_;
  }
  earn_for(static_cast<Duration>(elapsed(earned_at_, now)));
  earned_at_ = now;
}

void ErrorRecovery::earn_for(Duration span) noexcept {
  // span is at most a window: 10^10 x 10^8 + 10^9 fits.
  const std::int64_t earned = span * (config_.retries_per_second * kUnitsPerRetry) + carry_;
  credit_ = add_saturated(credit_, earned / kSecond);
  carry_ = earned % kSecond;
}

bool ErrorRecovery::spend() noexcept {
  if (add_saturated(credit_before_, credit_) < kUnitsPerRetry) return false;
  const std::int64_t old = std::min(credit_before_, kUnitsPerRetry);  // first what lapses first
  credit_before_ -= old;
  credit_ -= kUnitsPerRetry - old;
  return true;
}

Health ErrorRecovery::health(Instant now) const noexcept {
  if (!open_) return Health::healthy;
  return probe_out_ || now >= stats_.open_until ? Health::probing : Health::degraded;
}

std::uint64_t ErrorRecovery::state_hash() const noexcept {
  std::uint64_t hash = mix64(0, stats_.consecutive_errors);
  hash = mix64(hash, stats_.open_until);
  hash = mix64(hash, credit_);
  hash = mix64(hash, credit_before_);
  hash = mix64(hash, carry_);
  hash = mix64(hash, window_at_);
  hash = mix64(hash, earned_at_);
  hash = mix64(hash, open_);
  return mix64(hash, probe_out_);
}

}  // namespace llmcore
