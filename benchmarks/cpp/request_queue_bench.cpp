#include <benchmark/benchmark.h>

#include <cstdint>

#include "llmcore/request_queue.hpp"

namespace llmcore {
namespace {

constexpr RequestQueue::Id kResident = 1000;

// A queue in which calls of all classes wait, each with a deadline of its own.
RequestQueue filled(RequestQueue::Id& next) {
  RequestQueue queue(RequestQueueConfig::server());
  for (next = 1; next <= kResident; ++next) {
    queue.push(next, static_cast<Priority>(next % 3), static_cast<Instant>(next) + kMinute, static_cast<Instant>(next));
  }
  return queue;
}

// What a lane does for each call: one comes, one goes. Deadlines in the order of arrival, as a common timeout makes them.
void push_and_pop(benchmark::State& state) {
  RequestQueue::Id next = 0;
  RequestQueue queue = filled(next);
  for (auto _ : state) {
    const auto now = static_cast<Instant>(next);
    benchmark::DoNotOptimize(queue.push(next, static_cast<Priority>(next % 3), now + kMinute, now));
    benchmark::DoNotOptimize(queue.pop());
    ++next;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(push_and_pop)->Name("queue/push+pop, 1000 wait");

// The same, where callers choose deadlines in no order.
void push_and_pop_any_deadline(benchmark::State& state) {
  RequestQueue::Id next = 0;
  RequestQueue queue = filled(next);
  std::uint64_t random = 1;
  for (auto _ : state) {
    random = random * 6364136223846793005U + 1442695040888963407U;
    const auto now = static_cast<Instant>(next);
    const auto deadline = now + kSecond + static_cast<Instant>(random >> 29U);
    benchmark::DoNotOptimize(queue.push(next, static_cast<Priority>(next % 3), deadline, now));
    benchmark::DoNotOptimize(queue.pop());
    ++next;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(push_and_pop_any_deadline)->Name("queue/push+pop, 1000 wait, deadlines in no order");

// Single flight asks for nothing else: an id that waits already.
void duplicate(benchmark::State& state) {
  RequestQueue::Id next = 0;
  RequestQueue queue = filled(next);
  for (auto _ : state) {
    benchmark::DoNotOptimize(queue.push(1 + next % kResident, Priority::low, kNever, 0));
    next += 7;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(duplicate)->Name("queue/push of a duplicate");

// A burst against a full queue: what a refusal costs.
void refusal(benchmark::State& state) {
  RequestQueueConfig config = RequestQueueConfig::server();
  config.total_capacity = static_cast<std::int64_t>(kResident);
  RequestQueue queue(config);
  RequestQueue::Id next = 1;
  for (; next <= kResident; ++next) queue.push(next, Priority::medium, kMinute, 0);
  for (auto _ : state) benchmark::DoNotOptimize(queue.push(next++, Priority::medium, kMinute, 0));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(refusal)->Name("queue/push into a full queue");

// A retry comes back to its place, one of many that do.
void pop_and_restore(benchmark::State& state) {
  RequestQueue::Id next = 0;
  RequestQueue queue = filled(next);
  for (auto _ : state) {
    const auto entry = queue.pop();
    queue.restore(entry->id, entry->priority, entry->seq, kNever, 0);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(pop_and_restore)->Name("queue/pop+restore");

}  // namespace
}  // namespace llmcore
