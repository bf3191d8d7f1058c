#include "llmcore/rate_limiter.hpp"

#include <algorithm>
#include <stdexcept>

#include "llmcore/hash.hpp"

namespace llmcore {
namespace {

__extension__ typedef __int128 Int128;

constexpr std::int64_t kMostPerMinute = 1'000'000'000'000;
// One token in units of carry. A rate of r per minute adds exactly r of them every nanosecond.
constexpr std::int64_t kUnitsPerToken = kMinute;

constexpr Duration kUnsaidReset = kMinute;
constexpr Duration kLongestReset = 24 * kHour;

const RateLimiterConfig& checked(const RateLimiterConfig& config) {
  if (const char* problem = config.problem()) throw std::invalid_argument(problem);
  return config;
}

std::int64_t capacity_of(std::int64_t limit, bool minute_burst) noexcept {
  return minute_burst ? limit : std::max<std::int64_t>(limit * 15 / 1000, 1);
}

}  // namespace

// --- TokenBucket -----------------------------------------------------------------------------------------------------

TokenBucket::TokenBucket(std::int64_t capacity, std::int64_t refill_per_minute, Instant start) noexcept
    : capacity_(std::max<std::int64_t>(capacity, 1)),
      rate_(std::clamp<std::int64_t>(refill_per_minute, 1, kMostPerMinute)),
      available_(capacity_),
      at_(start) {}

void TokenBucket::refill(Instant now) noexcept {
  if (now <= at_) return;
  if (full()) {  // and so without a carry: what would come overflows
    at_ = now;
    return;
  }
  // In 64 bits wherever they hold it, which spares a division of 128: any span that a bucket is likely to be left alone.
  std::int64_t elapsed = 0;
  std::int64_t units = 0;
  std::int64_t level = 0;
  if (!__builtin_sub_overflow(now, at_, &elapsed) && !__builtin_mul_overflow(elapsed, rate_, &units) &&
      !__builtin_add_overflow(units, carry_, &units) &&
      !__builtin_add_overflow(available_, units / kUnitsPerToken, &level)) {
    reach(level, units % kUnitsPerToken);
  } else {
    const Int128 wide = (Int128{now} - at_) * rate_ + carry_;
    reach(static_cast<std::int64_t>(std::min<Int128>(available_ + wide / kUnitsPerToken, capacity_)),
          static_cast<std::int64_t>(wide % kUnitsPerToken));
  }
  at_ = now;
}

// What overflows the bucket is lost, fractions included.
void TokenBucket::reach(std::int64_t level, std::int64_t carry) noexcept {
  available_ = std::min(level, capacity_);
  carry_ = full() ? 0 : carry;
}

bool TokenBucket::has(std::int64_t n) const noexcept { return n <= 0 || available_ >= std::min(n, capacity_); }

void TokenBucket::take(std::int64_t n) noexcept {
  if (n > 0) available_ = add_saturated(available_, -n);
}

void TokenBucket::give(std::int64_t n) noexcept {
  if (n <= 0) return;
  available_ = std::min(add_saturated(available_, n), capacity_);
  if (full()) carry_ = 0;
}

bool TokenBucket::lower_to(std::int64_t n) noexcept {
  if (available_ <= n) return false;
  available_ = n;
  carry_ = 0;
  return true;
}

Duration TokenBucket::time_until(std::int64_t n) const noexcept {
  if (has(n)) return 0;
  const Int128 missing = (Int128{std::min(n, capacity_)} - available_) * kUnitsPerToken - carry_;
  return static_cast<Duration>(std::min<Int128>((missing + rate_ - 1) / rate_, kNever));
}

// --- configuration ---------------------------------------------------------------------------------------------------

const char* RateLimiterConfig::problem() const noexcept {
  if (requests_per_minute < 0 || requests_per_minute > kMostPerMinute) {
    return "requests_per_minute must be between 0 (no limit) and 10^12";
  }
  if (tokens_per_minute < 0 || tokens_per_minute > kMostPerMinute) {
    return "tokens_per_minute must be between 0 (no limit) and 10^12";
  }
  if (max_in_flight < 0) return "max_in_flight must not be negative; 0 means no limit";
  return nullptr;
}

// --- Quota -----------------------------------------------------------------------------------------------------------

void RateLimiter::Quota::Observed::advance(Instant now) noexcept {
  if (limit == 0 || now <= at) return;
  const Int128 units = (Int128{now} - at) * refill + carry;
  at = now;
  left = static_cast<std::int64_t>(std::min<Int128>(left + units / span, limit));
  carry = left == limit ? 0 : static_cast<std::int64_t>(units % span);
}

void RateLimiter::Quota::Observed::give(std::int64_t n) noexcept {
  left = add_saturated(left, n);
  if (limit == 0 || left < limit) return;
  left = limit;
  carry = 0;
}

Instant RateLimiter::Quota::Observed::ready_at(std::int64_t n, Instant now) const noexcept {
  if (n <= left) return now;
  if (limit == 0) return until;
  if (left == limit) return now;  // there is never more
  const Int128 units = (Int128{std::min(n, limit)} - left) * span - carry;
  return static_cast<Instant>(std::min<Int128>(at + (units + refill - 1) / refill, until));
}

RateLimiter::Quota::Quota(std::int64_t limit_per_minute, bool minute_burst, Instant start) noexcept
    : limit(limit_per_minute) {
  if (limit == 0) return;
  const std::int64_t capacity = capacity_of(limit, minute_burst);
  bucket.emplace(capacity, minute_burst ? limit : limit - capacity, start);
}

void RateLimiter::Quota::advance(Instant now) noexcept {
  if (bucket) bucket->refill(now);
  if (!observed) return;
  if (observed->until <= now) {
    observed.reset();
  } else {
    observed->advance(now);
  }
}

// What a demand counts as: negative as none, more than the whole limit as the limit.
std::int64_t RateLimiter::Quota::capped(std::int64_t n) const noexcept {
  n = std::max<std::int64_t>(n, 0);
  return limit > 0 ? std::min(n, limit) : n;
}

Instant RateLimiter::Quota::ready_at(std::int64_t n, Instant now) const noexcept {
  if (bucket) return add_saturated(now, bucket->time_until(n));
  return observed ? observed->ready_at(n, now) : now;
}

void RateLimiter::Quota::take(std::int64_t n) noexcept {
  if (n <= 0) return;
  if (bucket) {
    bucket->take(n);
  } else if (observed) {
    observed->left = std::max<std::int64_t>(observed->left - n, 0);
  }
}

void RateLimiter::Quota::give(std::int64_t n) noexcept {
  if (n <= 0) return;
  if (bucket) {
    bucket->give(n);
  } else if (observed) {
    observed->give(n);
  }
}

void RateLimiter::Quota::observe(std::optional<std::int64_t> remaining, std::optional<std::int64_t> of, Duration reset,
                                 std::int64_t reservations, Instant now) noexcept {
  if (!remaining || *remaining < 0 || *remaining > kMostPerMinute) return;
  if (bucket) {
    if (!bucket->lower_to(*remaining)) return;
  } else {
    if (reset <= 0 || reset > kLongestReset) reset = kUnsaidReset;
    observed.emplace();
    observed->left = *remaining;
    observed->until = add_saturated(now, reset);
    if (of && *of > 0 && *of <= kMostPerMinute) {
      observed->limit = *of;
      observed->left = std::min(*remaining, *of);
      const bool full = observed->left == *of;  // then nothing says how fast it fills
      observed->refill = full ? *of : *of - *remaining;
      observed->span = full ? kUnsaidReset : reset;
      observed->at = now;
    }
  }
  mark = reservations;
}

std::int64_t RateLimiter::Quota::available() const noexcept {
  if (bucket) return bucket->available();
  return observed ? observed->left : -1;
}

bool RateLimiter::Quota::at_rest() const noexcept { return !observed && (!bucket || bucket->full()); }

std::uint64_t RateLimiter::Quota::fold(std::uint64_t hash) const noexcept {
  hash = mix64(hash, limit);
  hash = mix64(hash, mark);
  if (bucket) {
    hash = mix64(hash, bucket->available());
    hash = mix64(hash, bucket->carry());
  }
  hash = mix64(hash, observed.has_value());
  if (observed) {
    hash = mix64(hash, observed->left);
    hash = mix64(hash, observed->until);
    if (observed->limit > 0) {
      hash = mix64(hash, observed->limit);
      hash = mix64(hash, observed->refill);
      hash = mix64(hash, observed->span);
      hash = mix64(hash, observed->carry);  // `at` is when it was last looked at, which is hashed anyway
    }
  }
  return hash;
}

// --- RateLimiter -----------------------------------------------------------------------------------------------------

RateLimiter::RateLimiter(const RateLimiterConfig& config, Instant start)
    : config_(checked(config)),
      requests_(config.requests_per_minute, config.minute_burst, start),
      tokens_(config.tokens_per_minute, config.minute_burst, start),
      now_(start),
      paused_until_(start) {}

void RateLimiter::advance(Instant now) noexcept {
  now_ = std::max(now_, now);
  requests_.advance(now_);
  tokens_.advance(now_);
}

// Whether only time stands between a call and its admission.
bool RateLimiter::slot_free(std::int64_t tokens) const noexcept {
  const bool alone = tokens_.limit > 0 && tokens > tokens_.limit;
  if (alone && in_flight_ > 0) return false;
  return config_.max_in_flight == 0 || in_flight_ < config_.max_in_flight;
}

// When time has done its part. Each condition, once met, stays met until something is taken, so the last one decides.
Instant RateLimiter::earliest(std::int64_t requests, std::int64_t tokens) const noexcept {
  return std::max({now_, paused_until_, requests_.ready_at(requests, now_), tokens_.ready_at(tokens, now_)});
}

bool RateLimiter::try_acquire(std::int64_t n, Instant now) noexcept {
  advance(now);
  if (n <= 0) return true;
  n = requests_.capped(n);
  if (paused_until_ > now_ || requests_.ready_at(n, now_) > now_) {  // of no tokens there are always enough
    ++denied_;
    return false;
  }
  requests_.take(n);
  ++admitted_;
  return true;
}

Duration RateLimiter::time_until(std::int64_t n, Instant now) noexcept {
  advance(now);
  if (n <= 0) return 0;
  const Instant at = earliest(requests_.capped(n), 0);
  if (at <= now_) return 0;
  if (at == kNever) return kNever;
  return static_cast<Duration>(std::min<Int128>(Int128{at} - now, kNever));
}

std::optional<RateLimiter::Reservation> RateLimiter::reserve(std::int64_t tokens, Instant now) noexcept {
  advance(now);
  const std::int64_t counted = tokens_.capped(tokens);
  if (!slot_free(tokens) || earliest(1, counted) > now_) {
    ++denied_;
    return std::nullopt;
  }
  requests_.take(1);
  tokens_.take(counted);
  ++in_flight_;
  reserved_tokens_ = add_saturated(reserved_tokens_, counted);
  return Reservation{1, counted, admitted_++};
}

Instant RateLimiter::ready_at(std::int64_t tokens, Instant now) noexcept {
  advance(now);
  if (!slot_free(tokens)) return kNever;
  const Instant at = earliest(1, tokens_.capped(tokens));
  return at <= now_ ? now : at;
}

void RateLimiter::close(const Reservation& reservation) noexcept {
  in_flight_ = std::max<std::int64_t>(in_flight_ - 1, 0);
  reserved_tokens_ = std::max<std::int64_t>(reserved_tokens_ - std::max<std::int64_t>(reservation.tokens, 0), 0);
}

void RateLimiter::settle(const Reservation& reservation, std::int64_t actual_tokens, Instant now) noexcept {
  advance(now);
  close(reservation);
  if (reservation.number < tokens_.mark) return;
  const std::int64_t reserved = std::max<std::int64_t>(reservation.tokens, 0);
  const std::int64_t actual = tokens_.capped(actual_tokens);
  tokens_.take(actual - reserved);  // of these two,
  tokens_.give(reserved - actual);  // the one that is not positive does nothing
}

void RateLimiter::refund(const Reservation& reservation, Instant now) noexcept {
  advance(now);
  close(reservation);
  if (reservation.number >= requests_.mark) requests_.give(reservation.requests);
  if (reservation.number >= tokens_.mark) tokens_.give(reservation.tokens);
}

void RateLimiter::pause_until(Instant until) noexcept {
  if (until <= now_ || until <= paused_until_) return;
  paused_until_ = until;
  ++pauses_;
}

void RateLimiter::observe(const RateObservation& observation, Instant now) noexcept {
  advance(now);
  requests_.observe(observation.remaining_requests, observation.requests_limit, observation.requests_reset, admitted_,
                    now_);
  tokens_.observe(observation.remaining_tokens, observation.tokens_limit, observation.tokens_reset, admitted_, now_);
}

RateLimiter::Stats RateLimiter::stats() const noexcept {
  Stats stats;
  stats.admitted = admitted_;
  stats.denied = denied_;
  stats.in_flight = in_flight_;
  stats.reserved_tokens = reserved_tokens_;
  stats.available_requests = requests_.available();
  stats.available_tokens = tokens_.available();
  stats.pauses = pauses_;
  stats.paused_until = paused_until_ > now_ ? paused_until_ : 0;
  return stats;
}

std::uint64_t RateLimiter::state_hash() const noexcept {
  std::uint64_t hash = mix64(mix64(0, "RateLimiter"), config_.minute_burst);
  hash = mix64(hash, config_.max_in_flight);
  hash = requests_.fold(hash);
  hash = tokens_.fold(hash);
  hash = mix64(hash, now_);
  hash = mix64(hash, std::max(paused_until_, now_));  // a pause that is over decides nothing
  hash = mix64(hash, admitted_);
  hash = mix64(hash, in_flight_);
  return mix64(hash, reserved_tokens_);
}

bool RateLimiter::at_rest(Instant now) noexcept {
  advance(now);
  return in_flight_ == 0 && reserved_tokens_ == 0 && paused_until_ <= now_ && requests_.at_rest() && tokens_.at_rest();
}

}  // namespace llmcore
