#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "llmcore/token_tracker.hpp"

namespace llmcore {
namespace {

constexpr std::array<std::string_view, 2> kScopes{"user=ada", "company=acme"};

UsageSample call() {
  UsageSample sample;
  sample.model = "gpt-4o-mini";
  sample.call_type = "chat";
  sample.attempts = 1;
  sample.usage.input_uncached = 900;
  sample.usage.cache_read = 100;
  sample.usage.output_text = 50;
  sample.cost = 165'000;
  return sample;
}

// Latencies all over two octaves: what a provider's look like.
Duration latency_of(std::uint64_t n) { return kSecond + static_cast<Duration>(n * 7919 % 3'000'000'000); }

void record_one_key(benchmark::State& state) {
  TokenTracker tracker;
  UsageSample sample = call();
  std::uint64_t n = 0;
  for (auto _ : state) {
    sample.latency = latency_of(n++);
    tracker.record(sample, 0);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(record_one_key)->Name("tracker/record, one key");

void record_with_scopes(benchmark::State& state) {
  TokenTracker tracker;
  UsageSample sample = call();
  sample.scopes = kScopes;
  std::uint64_t n = 0;
  for (auto _ : state) {
    sample.latency = latency_of(n++);
    tracker.record(sample, 0);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(record_with_scopes)->Name("tracker/record, one key, two scopes");

// Each call of another user, in no order: every access is a miss of the processor's caches.
void record_many_keys(benchmark::State& state) {
  std::vector<std::string> users;
  for (int i = 0; i < state.range(0); ++i) users.push_back("user-" + std::to_string(i));
  TokenTracker tracker({.max_keys = 200'000, .max_rows = 500'000});
  UsageSample sample = call();
  std::uint64_t n = 0;
  for (auto _ : state) {
    sample.model = users[n * 7919 % users.size()];
    sample.latency = latency_of(n++);
    tracker.record(sample, 0);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(record_many_keys)->Name("tracker/record, keys in no order")->Arg(100)->Arg(100'000);

void quantile(benchmark::State& state) {
  LatencySketch sketch;
  for (std::uint64_t n = 0; n < 100'000; ++n) sketch.add(latency_of(n));
  for (auto _ : state) benchmark::DoNotOptimize(sketch.quantile_permille(990));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(quantile)->Name("tracker/p99 of 100,000 latencies");

}  // namespace
}  // namespace llmcore
