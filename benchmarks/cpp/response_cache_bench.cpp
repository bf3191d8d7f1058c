#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "llmcore/io/sharded_cache.hpp"
#include "llmcore/response_cache.hpp"

namespace llmcore {
namespace {

using Value = std::shared_ptr<const std::string>;

constexpr std::size_t kEntries = 10'000;

std::vector<Fingerprint> keys(std::size_t count) {
  std::vector<Fingerprint> made;
  made.reserve(count);
  for (std::size_t i = 0; i < count; ++i) made.push_back(fingerprint("default", "", "", std::to_string(i)));
  return made;
}

ResponseCacheConfig config(std::size_t entries) {
  return {static_cast<std::int64_t>(entries), std::int64_t{1} << 40U, kHour};
}

void hit(benchmark::State& state) {
  const auto known = keys(kEntries);
  const Value value = std::make_shared<const std::string>(2000, 'x');
  ResponseCache<Value> cache(config(kEntries));
  for (const Fingerprint& key : known) cache.put(key, value, value->size(), 0);
  std::size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(cache.get(known[at], 1));
    at = (at + 7919) % kEntries;  // coprime: all of them, in no order that a prefetcher knows
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(hit)->Name("cache/hit, 10000 entries");

void miss(benchmark::State& state) {
  const auto known = keys(2 * kEntries);
  const Value value = std::make_shared<const std::string>(2000, 'x');
  ResponseCache<Value> cache(config(kEntries));
  for (std::size_t i = 0; i < kEntries; ++i) cache.put(known[i], value, value->size(), 0);
  std::size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(cache.get(known[kEntries + at], 1));
    at = (at + 7919) % kEntries;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(miss)->Name("cache/miss, 10000 entries");

// Every put pushes another entry out.
void put_with_eviction(benchmark::State& state) {
  const auto known = keys(8 * kEntries);
  const Value value = std::make_shared<const std::string>(2000, 'x');
  ResponseCache<Value> cache(config(kEntries));
  for (const Fingerprint& key : known) cache.put(key, value, value->size(), 0);
  std::size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(cache.put(known[at], value, value->size(), 1));
    at = at + 1 == known.size() ? 0 : at + 1;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(put_with_eviction)->Name("cache/put with eviction, 10000 entries");

// One cache for all threads, which ask for the same keys, each in another order.
void sharded_hit(benchmark::State& state) {
  static const auto known = keys(kEntries);
  static const auto cache = [] {
    auto made = std::make_unique<io::ShardedCache<Value>>(config(2 * kEntries));
    const Value value = std::make_shared<const std::string>(2000, 'x');
    for (const Fingerprint& key : known) made->put(key, value, value->size(), 0);
    return made;
  }();
  auto at = static_cast<std::size_t>(state.thread_index()) * 2503;
  for (auto _ : state) {
    benchmark::DoNotOptimize(cache->get(known[at], 1));
    at = (at + 7919) % kEntries;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(sharded_hit)->Name("sharded cache/hit")->Threads(1)->Threads(4)->UseRealTime();

}  // namespace
}  // namespace llmcore
