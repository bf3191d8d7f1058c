// Drives an engine through a world (world.hpp) in simulated time until everything is over, and checks every law after every input
// (watched_engine.hpp). The same world makes the same run on every platform. Not thread-safe; use one per run.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "llmcore/engine.hpp"
#include "llmcore/rng.hpp"
#include "watched_engine.hpp"
#include "world.hpp"

namespace llmcore::testing {

struct SimulationReport {
  std::uint64_t seed = 0;
  std::string broken;  ///< the first law that did not hold; empty: all did
  std::int64_t inputs = 0;
  Duration simulated = 0;
  std::uint64_t decisions = 0;  ///< every action that the engine took, in order, folded
  std::uint64_t state = 0;      ///< the engine's own hash, at the end
  std::array<std::int64_t, 4> sources{};
  std::int64_t idle_ticks = 0;
  std::int64_t panics = 0;  ///< at which something was open
  /// Calls that were called off, by where they stood.
  std::int64_t cancelled_queued = 0;
  std::int64_t cancelled_in_flight = 0;
  std::int64_t cancelled_backing_off = 0;
  std::int64_t cancelled_following = 0;
  std::int64_t cancelled_late = 0;  ///< over already
  std::int64_t most_open = 0;       ///< calls at once
  EngineStats stats;

  /// One line for whoever has to repeat a failure.
  [[nodiscard]] std::string describe() const;
};

class Simulator {
 public:
  explicit Simulator(World world);

  /// From the first call until nothing waits any more. Once.
  SimulationReport run();

 private:
  struct Arrival {};
  struct Panic {};
  using Happening = std::variant<Arrival, Panic, ClockJump, Input>;
  struct Event {
    Happening what;
    AttemptId attempt = 0;  // that it is about, if any
  };
  struct Sent {
    CallId call = 0;
    bool unwanted = false;  // aborted: its answers get lost, most of the time
  };
  struct Provider {
    ProviderScript script;
    std::map<std::string, std::deque<Instant>> recent;  // by tenant: requests within a minute
  };

  void at(Instant when, Happening what, AttemptId attempt = 0);
  void happen(const Event& event);
  void idle_until(Instant next);
  void cancel(CallId call);
  void panic();
  void perform();
  void perform(const Send& send);
  void answer(const Send& send, const Target& target, Provider& provider);
  void fail(const Send& send, Outcome outcome, Duration latency, const Weather& weather, const ProviderScript& script);
  void arrive();
  [[nodiscard]] Submit draw_call();
  void make_absurd(Submit& submit);
  [[nodiscard]] Usage draw_usage(const Target& target);
  void judge(const Finish& finish);

  [[nodiscard]] bool chance(std::int64_t permille) { return rng_.between(1, 1'000) <= permille; }
  [[nodiscard]] Now now_at(Instant time) const { return {kEpoch + time + skew_, kWallEpoch + time + wall_skew_}; }
  [[nodiscard]] Now now() const { return now_at(time_); }

  static constexpr Instant kEpoch = 77 * kSecond;
  static constexpr WallTime kWallEpoch = 1'700'000'000 * kSecond;

  World world_;
  Rng rng_;
  Rng idle_rng_;  // apart: a run with idle ticks is otherwise the same run
  WatchedEngine engine_;
  std::map<std::string, Provider, std::less<>> providers_;
  std::map<std::pair<Instant, std::uint64_t>, Event> events_;  // by time, then in order of making
  std::uint64_t next_event_ = 0;
  Instant time_ = 0;  // since the world began; never goes back
  Duration skew_ = 0;
  Duration wall_skew_ = 0;
  std::int64_t calls_left_ = 0;
  std::map<CallId, Submit> calls_;
  std::map<AttemptId, Sent> attempts_;
  SimulationReport report_;
};

}  // namespace llmcore::testing
