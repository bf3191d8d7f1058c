#include <benchmark/benchmark.h>

#include <cstdint>

#include "llmcore/io/synchronized.hpp"
#include "llmcore/rate_limiter.hpp"

namespace llmcore {
namespace {

constexpr RateLimiterConfig kWide{.requests_per_minute = 1'000'000'000'000, .tokens_per_minute = 0};

void acquire(benchmark::State& state) {
  RateLimiter limiter(kWide, 0);
  Instant now = 0;
  for (auto _ : state) benchmark::DoNotOptimize(limiter.try_acquire(1, now += 3));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(acquire)->Name("limiter/try_acquire");

void refuse(benchmark::State& state) {
  RateLimiter limiter({.requests_per_minute = 1}, 0);
  (void)limiter.try_acquire(1, 0);
  Instant now = 0;
  for (auto _ : state) benchmark::DoNotOptimize(limiter.try_acquire(1, ++now));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(refuse)->Name("limiter/try_acquire, refused");

void reserve_and_settle(benchmark::State& state) {
  RateLimiter limiter({.requests_per_minute = 1'000'000'000'000, .tokens_per_minute = 1'000'000'000'000}, 0);
  Instant now = 0;
  for (auto _ : state) {
    const auto held = limiter.reserve(600, now += 1000);
    if (held) limiter.settle(*held, 150, now);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(reserve_and_settle)->Name("limiter/reserve+settle, requests and tokens");

// One limiter that all threads want all the time. With a clock that stands still: the limiter and the lock alone.
void acquire_together(benchmark::State& state) {
  static io::Synchronized limiter(io::ManualClock(), std::in_place_type<RateLimiter>, kWide);
  for (auto _ : state) benchmark::DoNotOptimize(limiter.try_acquire());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(acquire_together)->Name("limiter/synchronized")->Threads(1)->Threads(2)->Threads(4)->UseRealTime();

void acquire_together_by_the_clock(benchmark::State& state) {
  static io::Synchronized<RateLimiter> limiter(kWide);
  for (auto _ : state) benchmark::DoNotOptimize(limiter.try_acquire());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(acquire_together_by_the_clock)
    ->Name("limiter/synchronized, system clock")
    ->Threads(1)
    ->Threads(2)
    ->Threads(4)
    ->UseRealTime();

}  // namespace
}  // namespace llmcore
