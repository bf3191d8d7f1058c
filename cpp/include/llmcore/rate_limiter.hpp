// Requests per minute, tokens per minute and calls in flight, held together.
//
// Two integer token buckets with carry (available = min(capacity, available + rate x elapsed), exact to the nanosecond,
// no drift) and a count of open slots. Time is a parameter; a clock that goes back is treated as standing still.
// Externally synchronised: one thread at a time; io::Synchronized<RateLimiter> is for several, and each of its calls
// is atomic, so that the law below holds for all threads together. Every operation is O(1) and allocates nothing.
//
// Law (P4): in any span t, requests admitted and not given back <= request capacity + request refill x t, and tokens
// likewise, for calls no larger than the capacity. A larger call goes when the bucket is full and leaves it in debt, so
// the refill still holds in the long run. One larger than a whole minute's limit is counted as that limit and goes
// alone: only while nothing else is in flight.
#pragma once

#include <cstdint>
#include <optional>

#include "llmcore/types.hpp"

namespace llmcore {

/// One integer bucket. `refill_per_minute` units come back per minute; the sub-unit remainder is carried, never lost.
class TokenBucket {
 public:
  /// capacity >= 1 and 1 <= refill_per_minute <= 10^12; values outside are moved to the nearest end. Starts full.
  TokenBucket(std::int64_t capacity, std::int64_t refill_per_minute, Instant start) noexcept;

  /// Brings the bucket up to `now`; does nothing if it is there already or further.
  void refill(Instant now) noexcept;
  /// Whether n can be taken now: n <= available, or n > capacity and the bucket is full. Nothing (n <= 0) always can.
  [[nodiscard]] bool has(std::int64_t n) const noexcept;
  /// Takes n; the caller asked has(n) before, or accepts debt.
  void take(std::int64_t n) noexcept;
  /// Gives n back, up to the capacity.
  void give(std::int64_t n) noexcept;
  /// Lowers what is available to at most n; never raises it. Returns whether that changed anything.
  bool lower_to(std::int64_t n) noexcept;
  /// Nanoseconds from the last refill until has(n); 0 if it does already; kNever past the end of time.
  [[nodiscard]] Duration time_until(std::int64_t n) const noexcept;

  [[nodiscard]] std::int64_t available() const noexcept { return available_; }
  [[nodiscard]] std::int64_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] bool full() const noexcept { return available_ == capacity_; }
  /// Sub-unit remainder, in units of 1/(60 x 10^9) of one token; in [0, 60 x 10^9).
  [[nodiscard]] std::int64_t carry() const noexcept { return carry_; }

 private:
  void reach(std::int64_t level, std::int64_t carry) noexcept;

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
  /// true: capacity is a full minute (the game preset). false: capacity is 1.5 % of the limit, at least 1, and the
  /// refill is limit - capacity, at least 1, so that no sliding minute ever admits more than the limit (the server
  /// preset). A limit of 1 is thus one per 60 s.
  bool minute_burst = true;

  /// Nullptr when usable, otherwise what is wrong with it. Limits go up to 10^12 per minute.
  [[nodiscard]] const char* problem() const noexcept;
};

/// What a provider's response headers say is left. A field that was not sent is empty.
struct RateObservation {
  std::optional<std::int64_t> remaining_requests;
  std::optional<std::int64_t> remaining_tokens;
  Duration requests_reset = 0;  ///< from now until all of the limit is there again; 0: not said
  Duration tokens_reset = 0;
  std::optional<std::int64_t> requests_limit;  ///< what there is when nothing is used
  std::optional<std::int64_t> tokens_limit;

  friend bool operator==(const RateObservation&, const RateObservation&) = default;
};

class RateLimiter {
 public:
  /// What a call took from the limiter and has not settled yet.
  struct Reservation {
    std::int64_t requests = 0;
    std::int64_t tokens = 0;
    std::int64_t number =
        0;  ///< how many reservations there were before; tells those that an observation has counted already
  };

  struct Stats {
    std::int64_t admitted = 0;   ///< reservations granted, and acquisitions
    std::int64_t denied = 0;     ///< asked and not granted
    std::int64_t in_flight = 0;  ///< reserved and not yet settled or refunded
    std::int64_t reserved_tokens = 0;
    std::int64_t available_requests = -1;  ///< -1: no limit
    std::int64_t available_tokens =
        -1;                    ///< -1: no limit, if none is configured or observed; negative otherwise means debt
    std::int64_t pauses = 0;   ///< that moved the end of the pause
    Instant paused_until = 0;  ///< 0: not paused
  };

  /// Throws std::invalid_argument when config.problem() names one.
  RateLimiter(const RateLimiterConfig& config, Instant start);

  /// n requests at once, without a slot or tokens: the limiter used alone. More than the whole limit count as the
  /// limit.
  bool try_acquire(std::int64_t n, Instant now) noexcept;
  /// How long until n requests could be had: 0 now.
  [[nodiscard]] Duration time_until(std::int64_t n, Instant now) noexcept;

  /// One request, one slot and `tokens` (its worst case), or nothing. Larger than the whole limit: capped at it.
  [[nodiscard]] std::optional<Reservation> reserve(std::int64_t tokens, Instant now) noexcept;
  /// When reserve(tokens) could succeed: `now`, a later instant, or kNever while only a freed slot can help. Exact, as
  /// long as nothing else happens: at that instant it succeeds, a nanosecond earlier it does not.
  [[nodiscard]] Instant ready_at(std::int64_t tokens, Instant now) noexcept;
  /// The request was sent and used this many tokens: gives back the rest, or takes what it used above its reservation.
  /// Larger than the whole limit: capped at it. The request itself stays consumed.
  void settle(const Reservation& reservation, std::int64_t actual_tokens, Instant now) noexcept;
  /// The request was never sent: everything comes back.
  void refund(const Reservation& reservation, Instant now) noexcept;

  /// The provider said to wait (429): nothing is admitted before `until`. Never shortens a pause.
  void pause_until(Instant until) noexcept;
  /// Takes the provider's word for what is left. A configured bucket is lowered to it, never raised, and then refills
  /// as configured. Without a configured limit the newest observation is the limit, counted down by what is reserved,
  /// until its reset; then there is none again. Where the provider says its limit too, what is missing to it comes back
  /// evenly until the reset, which is when all is there again, and a call larger than that limit goes when it is; where
  /// it does not, nothing comes back before the reset.
  ///
  /// What was reserved before counts as known to the provider: its settlement no longer changes a bucket that was
  /// lowered, nor an observed limit. A reset that was not said, is negative or longer than a day counts as one minute,
  /// the window of every per-minute limit. A figure that is negative or above 10^12 counts as not sent, and so
  /// does a limit of 0.
  void observe(const RateObservation& observation, Instant now) noexcept;

  [[nodiscard]] Stats stats() const noexcept;
  /// Everything that decides, folded into 64 bits.
  [[nodiscard]] std::uint64_t state_hash() const noexcept;
  /// Whether it stands exactly as a new one would: full, no pause, nothing reserved, nothing observed.
  [[nodiscard]] bool at_rest(Instant now) noexcept;

 private:
  // One of the two things that are limited: by a bucket, else by what the provider said last, else not at all.
  struct Quota {
    // The provider's own word where no limit is configured: so many more until `until`. Where it says its limit, up to
    // that much comes back, `refill` in each `span`.
    struct Observed {
      std::int64_t left = 0;
      Instant until = 0;
      std::int64_t limit = 0;  // 0: it was not said
      std::int64_t refill = 0;
      Duration span = 1;
      std::int64_t carry = 0;  // in units of 1/span
      Instant at = 0;          // when `left` and `carry` were so

      void advance(Instant now) noexcept;
      void give(std::int64_t n) noexcept;
      [[nodiscard]] Instant ready_at(std::int64_t n, Instant now) const noexcept;
    };

    std::optional<TokenBucket> bucket;
    std::int64_t limit = 0;  // per minute; 0: none is configured
    std::optional<Observed> observed;
    std::int64_t mark = 0;  // reservations below this number are part of what was observed

    Quota(std::int64_t limit_per_minute, bool minute_burst, Instant start) noexcept;
    void advance(Instant now) noexcept;
    [[nodiscard]] std::int64_t capped(std::int64_t n) const noexcept;
    [[nodiscard]] Instant ready_at(std::int64_t n, Instant now) const noexcept;
    void take(std::int64_t n) noexcept;
    void give(std::int64_t n) noexcept;
    void observe(std::optional<std::int64_t> remaining, std::optional<std::int64_t> of, Duration reset,
                 std::int64_t reservations, Instant now) noexcept;
    [[nodiscard]] std::int64_t available() const noexcept;
    [[nodiscard]] bool at_rest() const noexcept;
    [[nodiscard]] std::uint64_t fold(std::uint64_t hash) const noexcept;
  };

  void advance(Instant now) noexcept;
  void close(const Reservation& reservation) noexcept;
  [[nodiscard]] bool slot_free(std::int64_t tokens) const noexcept;
  [[nodiscard]] Instant earliest(std::int64_t requests, std::int64_t tokens) const noexcept;

  RateLimiterConfig config_;
  Quota requests_;
  Quota tokens_;
  Instant now_;
  Instant paused_until_;
  std::int64_t admitted_ = 0;
  std::int64_t denied_ = 0;
  std::int64_t in_flight_ = 0;
  std::int64_t reserved_tokens_ = 0;
  std::int64_t pauses_ = 0;
};

}  // namespace llmcore
