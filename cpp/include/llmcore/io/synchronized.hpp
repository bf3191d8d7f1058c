// A component that several threads use, with a clock of its own.
//
//   io::Synchronized<RateLimiter> limiter(RateLimiterConfig{.requests_per_minute = 600});
//   if (limiter.try_acquire()) send();                        // reads the system's clock
//
//   io::ManualClock clock;                                    // a test's, or a game's
//   io::Synchronized limiter(clock, std::in_place_type<RateLimiter>, RateLimiterConfig{});
//   clock.advance(kSecond);
//
// The components know neither threads nor clocks. This is both: each call takes the lock, reads the clock under it (so
// that times come to the component in order) and makes one call of the component, which is atomic. Thus nothing is
// counted twice, and what eight threads are admitted in all is what one would have been. For several calls in one, or
// for what has no method of its own here, with() hands out the component under the lock.
//
// Results are values: nothing returned here is a reference into the component. A lock of its own for each object;
// operations of different objects never wait for each other. The cost beside the component's own is about 10 ns, and 20
// to read the clock where the operation wants the time. Throws nothing by itself.
//
// For Python the extension uses the same class: with times that are handed in, through with().
#pragma once

#include <concepts>
#include <cstdint>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "llmcore/backoff.hpp"
#include "llmcore/budget.hpp"
#include "llmcore/error_recovery.hpp"
#include "llmcore/io/clock.hpp"
#include "llmcore/io/spin_lock.hpp"
#include "llmcore/rate_limiter.hpp"
#include "llmcore/request_queue.hpp"
#include "llmcore/response_cache.hpp"
#include "llmcore/token_tracker.hpp"

namespace llmcore::io {

/// What tells the time: as SystemClock and ManualClock do.
template <class T>
concept Clock = std::copy_constructible<T> && requires(const T& clock) {
  { clock.mono() } -> std::convertible_to<Instant>;
  { clock.wall() } -> std::convertible_to<WallTime>;
};

/// The methods that a component has behind the lock; see the specialisations below.
template <class Component, class Self>
class Methods {};

template <class Component, Clock TheClock = SystemClock>
class Synchronized : public Methods<Component, Synchronized<Component, TheClock>> {
 public:
  /// The component's own arguments. A component that begins at an instant begins now, unless one is given.
  template <class... Arguments>
    requires std::constructible_from<Component, Arguments...> ||
             std::constructible_from<Component, Arguments..., Instant>
             explicit Synchronized(Arguments&&... arguments)
               requires std::default_initializable<TheClock>
      : Synchronized(TheClock{}, std::in_place_type<Component>, std::forward<Arguments>(arguments)...) {}

  /// The same with a clock.
  template <class... Arguments>
  explicit Synchronized(TheClock clock, std::in_place_type_t<Component> /*component*/, Arguments&&... arguments)
      : clock_(std::move(clock)), component_(make(clock_, std::forward<Arguments>(arguments)...)) {}

  Synchronized(const Synchronized&) = delete;
  Synchronized& operator=(const Synchronized&) = delete;

  /// Calls `function` with the component under the lock, and returns what it returns. Keep it short, call nothing that
  /// waits or comes back here, and let no reference to the component out.
  template <class Function>
  auto with(Function&& function) {
    const std::lock_guard<SpinLock> hold(lock_);
    return std::forward<Function>(function)(component_);
  }

  [[nodiscard]] const TheClock& clock() const noexcept { return clock_; }

 private:
  template <class... Arguments>
  static Component make(const TheClock& clock, Arguments&&... arguments) {
    if constexpr (std::constructible_from<Component, Arguments...>) {
      return Component(std::forward<Arguments>(arguments)...);
    } else {
      return Component(std::forward<Arguments>(arguments)..., clock.mono());
    }
  }

  // Together in one cache line where they fit, and alone in it: a neighbour that is written to would slow this one down.
  alignas(64) SpinLock lock_;
  [[no_unique_address]] TheClock clock_;
  Component component_;
};

template <class Component, Clock TheClock, class... Arguments>
Synchronized(TheClock, std::in_place_type_t<Component>, Arguments&&...) -> Synchronized<Component, TheClock>;

/// How the methods below reach their component.
template <class Component, class Self>
class MethodsOf {
 protected:
  template <class Function>
  auto with(Function&& function) {
    return static_cast<Self*>(this)->with(std::forward<Function>(function));
  }
  [[nodiscard]] Instant mono() const noexcept { return static_cast<const Self*>(this)->clock().mono(); }
  [[nodiscard]] WallTime wall() const noexcept { return static_cast<const Self*>(this)->clock().wall(); }
};

// --- what each component can do here, with the time left out ----------------------------------------------------------------

template <class Self>
class Methods<RateLimiter, Self> : public MethodsOf<RateLimiter, Self> {
 public:
  bool try_acquire(std::int64_t n = 1) {
    return this->with([&](RateLimiter& limiter) { return limiter.try_acquire(n, this->mono()); });
  }
  [[nodiscard]] Duration time_until(std::int64_t n = 1) {
    return this->with([&](RateLimiter& limiter) { return limiter.time_until(n, this->mono()); });
  }
  [[nodiscard]] std::optional<RateLimiter::Reservation> reserve(std::int64_t tokens = 0) {
    return this->with([&](RateLimiter& limiter) { return limiter.reserve(tokens, this->mono()); });
  }
  void settle(const RateLimiter::Reservation& reservation, std::int64_t actual_tokens) {
    this->with([&](RateLimiter& limiter) { limiter.settle(reservation, actual_tokens, this->mono()); });
  }
  void refund(const RateLimiter::Reservation& reservation) {
    this->with([&](RateLimiter& limiter) { limiter.refund(reservation, this->mono()); });
  }
  /// For this long from now.
  void pause_for(Duration span) {
    this->with([&](RateLimiter& limiter) {
      const Instant now = this->mono();
      (void)limiter.time_until(0, now);  // brings it up to now
      limiter.pause_until(add_saturated(now, span));
    });
  }
  void observe(const RateObservation& observation) {
    this->with([&](RateLimiter& limiter) { limiter.observe(observation, this->mono()); });
  }
  [[nodiscard]] RateLimiter::Stats stats() {
    return this->with([](const RateLimiter& limiter) { return limiter.stats(); });
  }
};

template <class Self>
class Methods<SeededBackoff, Self> : public MethodsOf<SeededBackoff, Self> {
 public:
  [[nodiscard]] Duration delay(std::int64_t attempt) {
    return this->with([&](SeededBackoff& backoff) { return backoff.delay(attempt); });
  }
  [[nodiscard]] SeededBackoff::Stats stats() {
    return this->with([](const SeededBackoff& backoff) { return backoff.stats(); });
  }
};

template <class Self>
class Methods<ErrorRecovery, Self> : public MethodsOf<ErrorRecovery, Self> {
 public:
  void call_arrived() {
    this->with([](ErrorRecovery& recovery) { recovery.call_arrived(); });
  }
  /// How long until an attempt may be sent: 0 now, kNever while a probe is out.
  [[nodiscard]] Duration time_until_ready() {
    return this->with([&](ErrorRecovery& recovery) {
      const Instant now = this->mono();
      const Instant at = recovery.ready_at(now);
      return at == kNever ? kNever : at - now;
    });
  }
  /// Sends an attempt if one may be sent: whether it is the probe. Nothing: not now.
  [[nodiscard]] std::optional<bool> try_send() {
    return this->with([&](ErrorRecovery& recovery) -> std::optional<bool> {
      const Instant now = this->mono();
      if (recovery.ready_at(now) > now) return std::nullopt;
      return recovery.sent(now);
    });
  }
  void succeeded(bool probe) {
    this->with([&](ErrorRecovery& recovery) { recovery.succeeded(probe); });
  }
  void failed(bool probe) {
    this->with([&](ErrorRecovery& recovery) { recovery.failed(probe, this->mono()); });
  }
  void abandoned(bool probe) {
    this->with([&](ErrorRecovery& recovery) { recovery.abandoned(probe); });
  }
  [[nodiscard]] Verdict advise(Outcome outcome, std::int64_t attempts, std::optional<bool> should_retry = std::nullopt,
                               Duration retry_after = 0) {
    return this->with([&](ErrorRecovery& recovery) {
      return recovery.advise(outcome, should_retry, retry_after, attempts, this->mono());
    });
  }
  [[nodiscard]] Health health() {
    return this->with([&](const ErrorRecovery& recovery) { return recovery.health(this->mono()); });
  }
  [[nodiscard]] ErrorRecovery::Stats stats() {
    return this->with([](const ErrorRecovery& recovery) { return recovery.stats(); });
  }
};

template <class Self>
class Methods<Budget, Self> : public MethodsOf<Budget, Self> {
 public:
  /// Sets the worst case aside in every account that the scopes match, or nothing, for want of room or of a price.
  [[nodiscard]] std::optional<Budget::Reservation> reserve(const Scopes& scopes, std::optional<NanoUsd> worst_case) {
    return this->with([&](Budget& budget) -> std::optional<Budget::Reservation> {
      const WallTime now = this->wall();
      if (budget.refusal(scopes, worst_case, now)) return std::nullopt;
      return budget.reserve(scopes, worst_case.value_or(0), now);
    });
  }
  /// What reserve() would be refused by.
  [[nodiscard]] std::optional<BudgetRefusal> refusal(const Scopes& scopes, std::optional<NanoUsd> worst_case) {
    return this->with([&](Budget& budget) { return budget.refusal(scopes, worst_case, this->wall()); });
  }
  std::vector<BudgetAlert> settle(const Budget::Reservation& reservation, NanoUsd actual) {
    return this->with([&](Budget& budget) { return budget.settle(reservation, actual, this->wall()); });
  }
  void release(const Budget::Reservation& reservation) {
    this->with([&](Budget& budget) { budget.release(reservation); });
  }
  [[nodiscard]] std::vector<Budget::Account> accounts() {
    return this->with([](const Budget& budget) { return budget.accounts(); });
  }
  [[nodiscard]] NanoUsd reserved() {
    return this->with([](const Budget& budget) { return budget.reserved(); });
  }
};

template <class Self>
class Methods<RequestQueue, Self> : public MethodsOf<RequestQueue, Self> {
 public:
  RequestQueue::Admission push(RequestQueue::Id id, Priority priority = Priority::medium, Duration patience = kNever) {
    return this->with([&](RequestQueue& queue) {
      const Instant now = this->mono();
      return queue.push(id, priority, add_saturated(now, patience), now);
    });
  }
  /// The next call whose time is not over. Those before it whose time is are put into `expired`, if there is one.
  std::optional<RequestQueue::Entry> pop(std::vector<RequestQueue::Entry>* expired = nullptr) {
    return this->with([&](RequestQueue& queue) {
      std::vector<RequestQueue::Entry> late = queue.expire(this->mono());
      if (expired != nullptr) expired->insert(expired->end(), late.begin(), late.end());
      return queue.pop();
    });
  }
  bool remove(RequestQueue::Id id) {
    return this->with([&](RequestQueue& queue) { return queue.remove(id); });
  }
  std::vector<RequestQueue::Entry> expire() {
    return this->with([&](RequestQueue& queue) { return queue.expire(this->mono()); });
  }
  [[nodiscard]] std::int64_t size() {
    return this->with([](const RequestQueue& queue) { return queue.size(); });
  }
  [[nodiscard]] RequestQueue::Stats stats() {
    return this->with([](const RequestQueue& queue) { return queue.stats(); });
  }
};

template <class Value, class Self>
class Methods<ResponseCache<Value>, Self> : public MethodsOf<ResponseCache<Value>, Self> {
 public:
  /// A copy: the cache may let go of its own at any moment.
  [[nodiscard]] std::optional<Value> get(const Fingerprint& key) {
    return this->with([&](ResponseCache<Value>& cache) -> std::optional<Value> {
      const Value* found = cache.get(key, this->mono());
      return found == nullptr ? std::nullopt : std::optional<Value>(*found);
    });
  }
  bool put(const Fingerprint& key, Value value, std::size_t value_bytes) {
    return this->with(
        [&](ResponseCache<Value>& cache) { return cache.put(key, std::move(value), value_bytes, this->mono()); });
  }
  bool erase(const Fingerprint& key) {
    return this->with([&](ResponseCache<Value>& cache) { return cache.erase(key); });
  }
  std::int64_t expire() {
    return this->with([&](ResponseCache<Value>& cache) { return cache.expire(this->mono()); });
  }
  [[nodiscard]] ResponseCacheStats stats() {
    return this->with([](const ResponseCache<Value>& cache) { return cache.stats(); });
  }
};

template <class Self>
class Methods<TokenTracker, Self> : public MethodsOf<TokenTracker, Self> {
 public:
  void record(const UsageSample& sample) {
    this->with([&](TokenTracker& tracker) { tracker.record(sample, this->wall()); });
  }
  [[nodiscard]] UsageTotals totals() {
    return this->with([](const TokenTracker& tracker) { return tracker.totals(); });
  }
};

}  // namespace llmcore::io
