// A world for the engine to live in: providers with moods, clients in bursts, clocks that jump. All of it follows from a
// seed.
//
// A run draws a world, drives an engine through it in simulated time until everything is over, and checks every law after
// every input (watched_engine.hpp). The same seed makes the same run on every platform. Not thread-safe; use one per run.
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

namespace llmcore::testing {

/// How a provider treats requests for a while. Chances in thousandths, in this order; the rest is answered well.
struct Weather {
  Instant until = kNever;  ///< since the world began
  std::int64_t rate_limited = 0;
  Duration retry_after = 0;  ///< that it asks for with a refusal; 0: it does not
  std::int64_t overloaded = 0;
  std::int64_t server_error = 0;
  std::int64_t connection = 0;
  std::int64_t silent = 0;  ///< never answers
  std::int64_t cut = 0;     ///< streams, and breaks off
  std::int64_t quota = 0;
  std::int64_t rejected = 0;  ///< bad request, content filter, ...
  std::int64_t slowness = 1;  ///< times as slow as usual
};

struct ProviderScript {
  std::string name;
  Duration fastest = 100 * kMillisecond;
  Duration spread = kSecond;
  std::int64_t requests_per_minute = 0;  ///< that it enforces by itself; 0: none
  bool sends_headers = false;
  std::int64_t gives_advice = 0;           ///< x-should-retry; in thousandths of its failures
  std::shared_ptr<const PriceCard> price;  ///< empty: unknown
  std::vector<Weather> weather;            ///< in order of time; after the last it is calm
};

struct Traffic {
  std::int64_t calls = 0;
  std::int64_t largest_burst = 1;
  Duration longest_pause = kSecond;  ///< between bursts
  std::int64_t tenants = 1;
  std::int64_t questions = 0;  ///< different ones among calls with a key; 0: no call has a key
  std::int64_t longest_chain = 1;
  std::int64_t offline = 0;    ///< chance of a last resort, in thousandths, as all below
  std::int64_t impatient = 0;  ///< cancels at some time
  std::int64_t streaming = 0;
  std::int64_t honest = 1'000;  ///< answers that use no more than was estimated
  Duration shortest_deadline = kSecond;
  Duration longest_deadline = kMinute;
  std::int64_t largest_prompt = 1'000;  ///< tokens
};

struct ClockJump {
  Instant at = 0;  ///< since the world began
  Duration mono = 0;
  Duration wall = 0;
};

struct World {
  std::uint64_t seed = 0;
  Config config;
  std::vector<ProviderScript> providers;
  Traffic traffic;
  std::vector<ClockJump> jumps;
  Duration oversleep = 0;  ///< timers are served up to so much too late

  /// A world of its own for each seed, from quiet to hostile.
  [[nodiscard]] static World of(std::uint64_t seed);
};

struct SimulationReport {
  std::uint64_t seed = 0;
  std::string broken;  ///< the first law that did not hold; empty: all did
  std::int64_t inputs = 0;
  Duration simulated = 0;
  std::uint64_t hash = 0;  ///< the engine's, at the end
  std::array<std::int64_t, 4> sources{};
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
  struct Event {
    std::variant<Arrival, ClockJump, Input> what;
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

  void at(Instant when, std::variant<Arrival, ClockJump, Input> what, AttemptId attempt = 0);
  void happen(const Event& event);
  void perform();
  void perform(const Send& send);
  void answer(const Send& send, const Target& target, Provider& provider);
  void fail(const Send& send, Outcome outcome, Duration latency, const Weather& weather, const ProviderScript& script);
  void arrive();
  [[nodiscard]] Submit draw_call();
  [[nodiscard]] Usage draw_usage(const Target& target);
  void judge(const Finish& finish);

  [[nodiscard]] bool chance(std::int64_t permille) { return rng_.between(1, 1'000) <= permille; }
  [[nodiscard]] Now now() const { return {kEpoch + time_ + skew_, kWallEpoch + time_ + wall_skew_}; }

  static constexpr Instant kEpoch = 77 * kSecond;
  static constexpr WallTime kWallEpoch = 1'700'000'000 * kSecond;

  World world_;
  Rng rng_;
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
