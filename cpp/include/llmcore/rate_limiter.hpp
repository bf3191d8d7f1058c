// Requests per minute, tokens per minute and calls in flight, held together.
//
// Two integer token buckets with carry (available = min(capacity, available + rate x elapsed), exact to the nanosecond, no
// drift) and a count of open slots. Time is a parameter; a clock that goes back is treated as standing still.
// Externally synchronised. Every operation is O(1) and allocates nothing.
//
// Law (P4): in any span t, admitted requests <= request capacity + request refill x t; tokens likewise, for calls no larger
// than the capacity. A call larger than the capacity goes when the bucket is full and leaves it in debt.
#pragma once

#include <cstdint>
#include <optional>

#include "llmcore/types.hpp"

namespace llmcore {

/// One integer bucket. `refill_per_minute` units come back per minute; the sub-unit remainder is carried, never lost.
class TokenBucket {
 public:
  /// capacity >= 1, 1 <= refill_per_minute <= 10^12. Starts full.
  TokenBucket(std::int64_t capacity, std::int64_t refill_per_minute, Instant start) noexcept;

  /// Brings the bucket up to `now`.
  void refill(Instant now) noexcept;
  /// Whether n can be taken now: n <= available, or n > capacity and the bucket is full.
  [[nodiscard]] bool has(std::int64_t n) const noexcept;
  /// Takes n; the caller asked has(n) before, or accepts debt.
  void take(std::int64_t n) noexcept;
  /// Gives n back, up to the capacity.
  void give(std::int64_t n) noexcept;
  /// Lowers what is available to at most n; never raises it.
  void lower_to(std::int64_t n) noexcept;
  /// Nanoseconds from the last refill until has(n); 0 if it does already.
  [[nodiscard]] Duration time_until(std::int64_t n) const noexcept;

  [[nodiscard]] std::int64_t available() const noexcept { return available_; }
  [[nodiscard]] std::int64_t capacity() const noexcept { return capacity_; }
  /// Sub-unit remainder, in units of 1/(60 x 10^9) of one token; in [0, 60 x 10^9).
  [[nodiscard]] std::int64_t carry() const noexcept { return carry_; }

 private:
  std::int64_t capacity_;
  std::int64_t rate_;
  std::int64_t available_;
  std::int64_t carry_ = 0;
  Instant at_;
};

struct RateLimiterConfig {
  std::int64_t requests_per_minute = 60;  ///< 0: no limit
  std::int64_t tokens_per_minute = 0;     ///< 0: no limit
  std::int64_t max_in_flight = 0;         ///< 0: no limit
  /// true: capacity is a full minute (the game preset). false: capacity is 1.5 % of the limit, at least 1, and the refill is
  /// limit - capacity, so that no sliding minute ever admits more than the limit (the server preset).
  bool minute_burst = true;

  /// Nullptr when usable, otherwise what is wrong with it. Limits go up to 10^12 per minute.
  [[nodiscard]] const char* problem() const noexcept;
};

/// What a provider's response headers say is left. A field that was not sent is empty.
struct RateObservation {
  std::optional<std::int64_t> remaining_requests;
  std::optional<std::int64_t> remaining_tokens;
  Duration requests_reset = 0;  ///< from now until the provider's request window is full again; 0: not said
  Duration tokens_reset = 0;
};

class RateLimiter {
 public:
  /// What a call took from the limiter and has not settled yet.
  struct Reservation {
    std::int64_t requests = 0;
    std::int64_t tokens = 0;
  };

  struct Stats {
    std::int64_t admitted = 0;   ///< reservations granted
    std::int64_t denied = 0;     ///< asked and not granted
    std::int64_t in_flight = 0;  ///< reserved and not yet settled or refunded
    std::int64_t reserved_tokens = 0;
    std::int64_t available_requests = 0;  ///< -1: no limit
    std::int64_t available_tokens = 0;    ///< -1: no limit; below 0 otherwise means debt
    std::int64_t pauses = 0;
    Instant paused_until = 0;
  };

  /// Throws std::invalid_argument when config.problem() names one.
  RateLimiter(const RateLimiterConfig& config, Instant start);

  /// n requests at once, without a slot or tokens: the limiter used alone.
  bool try_acquire(std::int64_t n, Instant now) noexcept;
  /// How long until n requests could be had: 0 now.
  [[nodiscard]] Duration time_until(std::int64_t n, Instant now) noexcept;

  /// One request, one slot and `tokens` (its worst case), or nothing. Larger than the whole limit: capped at it.
  [[nodiscard]] std::optional<Reservation> reserve(std::int64_t tokens, Instant now) noexcept;
  /// When reserve(tokens) could succeed: `now`, a later instant, or kNever while only a freed slot can help.
  [[nodiscard]] Instant ready_at(std::int64_t tokens, Instant now) noexcept;
  /// The request was sent and used this many tokens: gives back the rest, or takes what it used above its reservation.
  void settle(const Reservation& reservation, std::int64_t actual_tokens, Instant now) noexcept;
  /// The request was never sent: everything comes back.
  void refund(const Reservation& reservation, Instant now) noexcept;

  /// The provider said to wait (429): nothing is admitted before `until`. Never shortens a pause.
  void pause_until(Instant until) noexcept;
  /// Lowers the buckets to what the provider says is left. Without a configured limit the observation itself is the limit
  /// until its reset has passed.
  void observe(const RateObservation& observation, Instant now) noexcept;

  [[nodiscard]] Stats stats() const noexcept;
  /// Everything that decides, folded into 64 bits.
  [[nodiscard]] std::uint64_t state_hash() const noexcept;
  /// Whether it stands exactly as a new one would: full, no pause, nothing reserved.
  [[nodiscard]] bool at_rest(Instant now) noexcept;

 private:
  // The provider's own word where no limit is configured: so many more until `until`.
  struct Observed {
    std::int64_t left = 0;
    Instant until = 0;
  };
  void advance(Instant now) noexcept;

  RateLimiterConfig config_;
  std::optional<TokenBucket> requests_;
  std::optional<TokenBucket> tokens_;
  std::optional<Observed> observed_requests_;
  std::optional<Observed> observed_tokens_;
  Instant now_;
  Instant paused_until_;
  Stats stats_;
};

}  // namespace llmcore
