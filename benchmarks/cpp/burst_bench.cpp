// The calls that never reach a provider: answered from the cache, or refused.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "llmcore/engine.hpp"

namespace llmcore {
namespace {

Submit call() {
  Submit submit;
  submit.call_type = "chat";
  submit.targets.push_back(Target{"openai", "gpt-4o-mini", 100, 50, 0, nullptr, false});
  return submit;
}

// An answer that is known already.
void cached(benchmark::State& state) {
  Engine engine(Config::server());
  Submit prepared = call();
  prepared.key = fingerprint("default", "openai", "gpt-4o-mini", "{}");
  const Now now{0, 1'700'000'000 * kSecond};
  const auto payload = std::make_shared<const StringPayload>(std::string(2000, 'x'));
  const auto drain = [&] {
    while (const std::optional<Action> action = engine.poll()) {
      if (const auto* send = std::get_if<Send>(&*action))
        engine.handle(Replied{send->attempt, {}, nullptr, payload}, now);
    }
  };
  engine.submit(prepared, now);
  drain();
  for (auto _ : state) {
    engine.submit(prepared, now);
    drain();
  }
  if (engine.stats().cache.hits < static_cast<std::int64_t>(state.iterations())) state.SkipWithError("not a hit");
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(cached)->Name("engine/a call answered from the cache");

// One call too many, of a burst: the queue is full.
void refused(benchmark::State& state) {
  Config config = Config::server();
  config.limits.max_in_flight = 1;
  config.queue.total_capacity = 1000;
  Engine engine(config);
  const Submit prepared = call();
  const Now now{0, 1'700'000'000 * kSecond};
  const auto submit = [&] {
    engine.submit(prepared, now);
    while (engine.poll()) {
    }
  };
  for (int i = 0; i < 1001; ++i) submit();
  for (auto _ : state) submit();
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(refused)->Name("engine/a call refused by a full queue");

}  // namespace
}  // namespace llmcore
