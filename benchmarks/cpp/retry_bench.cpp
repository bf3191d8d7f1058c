#include <benchmark/benchmark.h>

#include <cstdint>

#include "llmcore/backoff.hpp"
#include "llmcore/error_recovery.hpp"
#include "llmcore/money.hpp"

namespace llmcore {
namespace {

void delay(benchmark::State& state) {
  SeededBackoff backoff(BackoffConfig{}, 7);
  std::int64_t attempt = 0;
  for (auto _ : state) benchmark::DoNotOptimize(backoff.delay(attempt++ & 7));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(delay)->Name("backoff/delay");

// All that retrying costs a call that succeeds.
void succeed(benchmark::State& state) {
  ErrorRecovery recovery(ErrorRecoveryConfig{}, 0);
  Instant now = 0;
  for (auto _ : state) {
    ++now;
    recovery.call_arrived();
    benchmark::DoNotOptimize(recovery.ready_at(now));
    recovery.succeeded(recovery.sent(now));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(succeed)->Name("recovery/a call that succeeds");

void advise(benchmark::State& state) {
  ErrorRecovery recovery(ErrorRecoveryConfig{}, 0);
  Instant now = 0;
  for (auto _ : state) {
    now += kMillisecond;
    benchmark::DoNotOptimize(recovery.advise(Outcome::server_error, std::nullopt, 0, 1, now));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(advise)->Name("recovery/advise");

void cost(benchmark::State& state) {
  PriceCard card;
  card.base.input = 150'000'000;
  card.base.cache_read = 75'000'000;
  card.base.output = 600'000'000;
  card.tiers.push_back({200'000, card.base});
  Usage usage;
  usage.input_uncached = 1000;
  usage.cache_read = 200;
  usage.output_text = 300;
  for (auto _ : state) {
    benchmark::DoNotOptimize(usage);
    benchmark::DoNotOptimize(cost_of(card, usage));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(cost)->Name("money/cost of a call");

}  // namespace
}  // namespace llmcore
