#include <benchmark/benchmark.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "llmcore/engine.hpp"

namespace llmcore {
namespace {

Submit call_to(const std::vector<Target>& targets) {
  Submit call;
  call.call_type = "chat";
  call.targets = targets;
  return call;
}

// A call from its arrival to its end: submit, Send, Replied, Record, Finish. So many others are in flight meanwhile.
void cycle(benchmark::State& state) {
  Engine engine(Config::server());
  const std::vector<Target> targets{Target{"openai", "gpt-4o-mini", 100, 50, 0, nullptr, false}};
  Now now{0, 0};
  for (std::int64_t i = 0; i < state.range(0); ++i) engine.submit(call_to(targets), now);
  while (engine.poll()) {
  }
  for (auto _ : state) {
    now.mono += kMicrosecond;
    engine.submit(call_to(targets), now);
    while (const auto action = engine.poll()) {
      if (const auto* send = std::get_if<Send>(&*action)) {
        engine.handle(Replied{send->attempt, Usage{.output_text = 7}, nullptr, nullptr}, now);
      }
    }
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(cycle)->Name("engine/cycle, others in flight:")->Arg(0)->Arg(1000)->Arg(100'000);

// Each cycle under a budget for all and one for each user.
void cycle_under_budgets(benchmark::State& state) {
  Config config = Config::server();
  config.budgets = {{.scope = "global", .limit = NanoUsd{1} << 60}, {.scope = "user=*", .limit = NanoUsd{1} << 60}};
  Engine engine(config);
  PriceCard card;
  card.base.output = 600'000'000;
  const std::vector<Target> targets{
      Target{"openai", "gpt-4o-mini", 100, 50, 0, std::make_shared<const PriceCard>(card), false}};
  Now now{0, 0};
  for (auto _ : state) {
    now.mono += kMicrosecond;
    Submit call = call_to(targets);
    call.scopes = {{"user", "ada"}};
    engine.submit(std::move(call), now);
    while (const auto action = engine.poll()) {
      if (const auto* send = std::get_if<Send>(&*action)) {
        engine.handle(Replied{send->attempt, Usage{.output_text = 7}, nullptr, nullptr}, now);
      }
    }
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(cycle_under_budgets)->Name("engine/cycle, two budgets");

}  // namespace
}  // namespace llmcore
