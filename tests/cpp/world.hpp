// What a simulation is made of: providers with moods, clients in bursts, clocks that jump. Plain values, drawn from a seed, the same
// on every platform.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "llmcore/config.hpp"
#include "llmcore/money.hpp"
#include "llmcore/types.hpp"

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
  std::int64_t absurd = 0;              ///< asks for the largest numbers there are, or for what makes no sense
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
  std::vector<Instant> panics;   ///< when everybody gives up at once
  Duration oversleep = 0;        ///< timers are served up to so much too late
  std::int64_t idle_ticks = 0;   ///< between events, in thousandths: nobody forbids a driver to ask more often
  std::int64_t check_every = 1;  ///< the engine is asked to check itself after so many inputs

  /// A world of its own for each seed, from quiet to hostile.
  [[nodiscard]] static World of(std::uint64_t seed);
  /// The same with far more calls, of which hundreds or thousands are open at once.
  [[nodiscard]] static World large(std::uint64_t seed);
};

}  // namespace llmcore::testing
