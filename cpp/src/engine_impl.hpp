// The engine's own state, shared by its parts:
//   engine.cpp             the way in and the way out
//   engine_admission.cpp   a call arrives: cache, single flight, its first lane; or leaves early: cancel
//   engine_dispatch.cpp    lanes and timers: who is sent next, who waits until when
//   engine_settlement.cpp  an attempt ends, a call ends: retry, fail over, money, records
//   engine_look.cpp        statistics, the state hash, the invariants
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "assert.hpp"
#include "llmcore/engine.hpp"
#include "llmcore/hash.hpp"
#include "llmcore/rng.hpp"

namespace llmcore {

class Engine::Impl {
 public:
  explicit Impl(const Config& config);

  CallId submit(Submit submit, Now now);
  void handle(const Input& input, Now now);
  std::optional<Action> poll();
  [[nodiscard]] std::optional<Instant> next_deadline() const;
  [[nodiscard]] EngineStats stats() const;
  [[nodiscard]] std::int64_t unhealthy() const noexcept;
  [[nodiscard]] const TokenTracker& tracker() const { return tracker_; }
  void for_each_cached(const std::function<void(const Fingerprint&, const Blob&)>& function) const;
  [[nodiscard]] std::uint64_t state_hash() const;
  [[nodiscard]] std::string check() const;

 private:
  using LaneId = std::uint64_t;

  // Where a call that is not finished stands. A call is in exactly one of these.
  enum class State : std::uint8_t {
    arriving,     // between two of the others, never across inputs
    queued,       // in its lane's queue
    in_flight,    // an attempt is out
    backing_off,  // waiting for its next attempt
    following,    // joined to an identical call
  };

  struct Provider {
    explicit Provider(const ErrorRecoveryConfig& config, Instant start) : recovery(config, start) {}
    ErrorRecovery recovery;
    std::set<LaneId> lanes;
  };

  struct Lane {
    Lane(LaneId lane_id, std::string lane_tenant, std::string lane_provider, Provider& of,
         const RateLimiterConfig& limits, const RequestQueueConfig& waiting, Instant start)
        : id(lane_id),
          tenant(std::move(lane_tenant)),
          provider_name(std::move(lane_provider)),
          provider(&of),
          limiter(limits, start),
          queue(waiting) {}
    LaneId id;
    std::string tenant;
    std::string provider_name;
    Provider* provider;  // owned by providers_, which never forgets one
    RateLimiter limiter;
    RequestQueue queue;
    std::set<CallId> movable;  // of those in its queue: they have another target
    std::int64_t in_flight = 0;
    std::int64_t backing_off = 0;  // calls that will come back to its queue
    Instant armed = kNever;        // its entry in lane_timers_
  };

  struct Call {
    CallId id = 0;
    Submit submit;
    State state = State::arriving;
    Instant submitted_at = 0;
    Instant deadline_at = 0;
    Instant waiting_since = 0;
    Duration queued = 0;
    std::optional<Instant> first_token_at;
    Instant armed = kNever;  // its entry in call_timers_

    std::uint32_t target = 0;            // index of the provider it is at
    std::uint32_t attempts = 0;          // in all
    std::int64_t attempts_here = 0;      // at this target
    Outcome last_failure = Outcome::ok;  // of its last attempt
    std::uint32_t tried = 0;             // where that was
    Usage usage;
    std::optional<NanoUsd> cost = 0;

    // While queued, or between attempts at one target: its place in the lane's order.
    Lane* lane = nullptr;
    std::uint64_t place = 0;

    // While in flight.
    AttemptId attempt = 0;
    Instant sent_at = 0;
    WallTime sent_wall = 0;
    RateLimiter::Reservation reserved;
    Budget::Reservation money;
    bool probe = false;
    bool streaming = false;

    bool leads = false;  // the flight of its key

    [[nodiscard]] const Target& at() const { return submit.targets[target]; }
    [[nodiscard]] bool has_next() const { return target + 1 < submit.targets.size(); }
  };

  // Calls with the same key: one is worked on, the others wait for what it brings.
  struct Flight {
    CallId leader = 0;
    std::set<CallId> followers;  // in the order in which they came
  };

  struct Cached {
    Blob payload;
    NanoUsd cost = 0;
  };

  // engine.cpp
  void advance(Now now);
  void settle_down();
  void emit(Action action);

  // engine_admission.cpp
  void admit(Call& call);
  void follow(Call& call, Flight& flight);
  void enter_target(Call& call);
  void cancel(const Cancel& input);
  void leave(Call& call);
  [[nodiscard]] static bool well_formed(const Submit& submit);

  // engine_dispatch.cpp
  Lane& lane_of(const std::string& tenant, const std::string& provider);
  void forget_idle_lanes();
  void touch(Lane& lane) { dirty_.insert(lane.id); }
  void touch_all(const Provider& provider) { dirty_.insert(provider.lanes.begin(), provider.lanes.end()); }
  void pump(Lane& lane);
  void wait_in(Lane& lane, Call& call);
  void take_out(Call& call);
  void evacuate(Lane& lane, Outcome why);
  [[nodiscard]] bool paused_beyond_cap(const Lane& lane) const;
  bool pass_over(Call& call, Instant limiter_ready, Instant provider_ready);
  bool over_budget(Call& call);
  void send(Call& call, Lane* lane);
  void arm(Call& call, Instant at);
  void arm(Lane& lane, Instant at);
  void fire_timers();
  void timer_of(Call& call);
  void observed(const Observed& input);
  [[nodiscard]] std::optional<NanoUsd> worst_case(const Call& call) const;
  [[nodiscard]] Scopes scopes_of(const Call& call) const;

  // engine_settlement.cpp
  Call* in_flight(AttemptId attempt);
  void tell_provider(const Call& call, Outcome outcome);
  [[nodiscard]] bool cut_short(const Call& call, Outcome outcome) const;
  void streaming(const Streaming& input);
  void replied(const Replied& input);
  void failed(const Failed& input);
  void close_attempt(Call& call, Outcome outcome, const Usage& reported, const PriceCard* price, Duration retry_after);
  void after_failure(Call& call, Outcome outcome, std::optional<bool> should_retry, Duration retry_after);
  [[nodiscard]] Instant next_attempt_at(const Call& call, Duration retry_after);
  void pause(Lane& lane, Instant until);
  void fail_over(Call& call, Outcome outcome);
  void give_up(Call& call, Outcome outcome, Duration retry_hint = 0,
               std::optional<BudgetRefusal> refusal = std::nullopt);
  void finish(Call& call, Finish finish);
  void track(const Call& call, const Finish& finish);
  void land(const Call& leader, const Finish& finish);

  Config config_;
  Backoff backoff_;
  Budget budget_;
  ResponseCache<Cached> cache_;
  TokenTracker tracker_;
  std::string scope_text_;  // of the call being tracked; kept for its memory, as is the next
  std::vector<std::string_view> tracked_scopes_;
  Rng rng_;

  Instant now_ = 0;
  WallTime wall_ = 0;
  bool started_ = false;

  CallId next_call_ = 1;
  LaneId next_lane_ = 1;
  std::unordered_map<CallId, Call> calls_;  // never iterated by a decision: its order is the platform's
  std::map<std::string, Provider, std::less<>> providers_;
  std::map<std::pair<std::string, std::string>, Lane> lanes_;  // by tenant and provider
  std::unordered_map<LaneId, Lane*> lane_by_id_;               // never iterated
  std::size_t forget_lanes_at_;
  std::unordered_map<Fingerprint, Flight, FingerprintHash> flights_;  // never iterated
  std::deque<CallId> new_leaders_;                                    // that have not entered a target yet

  std::set<std::pair<Instant, CallId>> call_timers_;
  std::set<std::pair<Instant, LaneId>> lane_timers_;
  std::set<LaneId> dirty_;
  std::deque<Action> actions_;
  std::uint64_t history_ = 0;  // every action, and what was decided without one, in order

  // Counters of EngineStats that are not sums over the parts.
  std::int64_t finished_ = 0;
  std::array<std::int64_t, kOutcomeCount> outcomes_{};
  std::int64_t in_flight_ = 0;
  std::int64_t backing_off_ = 0;
  std::int64_t following_ = 0;
  std::int64_t attempts_ = 0;
  std::int64_t closed_ = 0;
  std::int64_t retries_ = 0;
  std::int64_t failovers_ = 0;
  std::int64_t joined_ = 0;
  std::int64_t late_ = 0;
  std::int64_t clock_regressions_ = 0;
};

// An attempt's id names its call and its number, so that no table is needed to find the call.
inline constexpr std::uint64_t kAttemptsPerCall = 1024;
[[nodiscard]] constexpr AttemptId attempt_id(CallId call, std::uint32_t number) noexcept {
  return call * kAttemptsPerCall + number;
}
[[nodiscard]] constexpr CallId call_of(AttemptId attempt) noexcept { return attempt / kAttemptsPerCall; }

}  // namespace llmcore
