#include "llmcore/io/synchronized.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <barrier>
#include <functional>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "llmcore/engine.hpp"

namespace llmcore {
namespace {

constexpr int kThreads = 8;
constexpr int kEach = 2000;

// Runs work(0) to work(7) in threads that start together.
void at_once(const std::function<void(int)>& work) {
  std::barrier gate(kThreads);
  std::vector<std::jthread> threads;
  threads.reserve(kThreads);
  for (int number = 0; number < kThreads; ++number) {
    threads.emplace_back([&, number] {
      gate.arrive_and_wait();
      work(number);
    });
  }
}

template <class T>
T sum(const std::array<T, kThreads>& parts) {
  return std::accumulate(parts.begin(), parts.end(), T{});
}

Fingerprint key_of(std::size_t number) { return fingerprint("t", "p", "m", std::to_string(number)); }

TEST(SpinLock, LetsInOneAtATimeAndLosesNothing) {
  io::SpinLock lock;
  std::int64_t plain = 0;  // a data race, were it not for the lock
  at_once([&](int) {
    for (int i = 0; i < kEach; ++i) {
      const std::lock_guard<io::SpinLock> hold(lock);
      ++plain;
    }
  });
  EXPECT_EQ(plain, kThreads * kEach);
}

TEST(SpinLock, IsGotBackFromAHolderWhoTakesHisTime) {
  io::SpinLock lock;
  std::atomic<bool> entered = false;
  lock.lock();
  EXPECT_FALSE(lock.try_lock());
  std::jthread waiting([&] {
    const std::lock_guard<io::SpinLock> hold(lock);
    entered = true;
  });
  for (int i = 0; i < 2000; ++i) std::this_thread::yield();
  EXPECT_FALSE(entered);
  lock.unlock();
  waiting.join();
  EXPECT_TRUE(entered);
  EXPECT_TRUE(lock.try_lock());
}

TEST(ManualClock, StandsStillUntilToldAndIsSharedByItsCopies) {
  io::ManualClock clock(Now{5, 7});
  const io::ManualClock copy = clock;
  EXPECT_EQ(copy.mono(), 5);
  clock.advance(10);
  EXPECT_EQ(copy.mono(), 15);
  EXPECT_EQ(copy.wall(), 17);
  clock.set(Now{1, 2});
  EXPECT_EQ(copy.mono(), 1);
  EXPECT_EQ(copy.wall(), 2);
}

TEST(Synchronized, ReadsTheSystemsClockWhereNoneIsInjected) {
  io::Synchronized<RateLimiter> limiter(RateLimiterConfig{.requests_per_minute = 2});
  EXPECT_TRUE(limiter.try_acquire(2));
  EXPECT_FALSE(limiter.try_acquire());
  EXPECT_GT(limiter.time_until(), 0);
  EXPECT_LE(limiter.time_until(), 30 * kSecond);
}

TEST(Synchronized, StepsWithAClockOfItsOwn) {
  io::ManualClock clock(Now{kHour, 0});
  io::Synchronized limiter(clock, std::in_place_type<RateLimiter>, RateLimiterConfig{.requests_per_minute = 2});
  EXPECT_TRUE(limiter.try_acquire(2));
  EXPECT_EQ(limiter.time_until(), 30 * kSecond);
  clock.advance(30 * kSecond - 1);
  EXPECT_FALSE(limiter.try_acquire());
  clock.advance(1);
  EXPECT_TRUE(limiter.try_acquire());
  limiter.pause_for(kMinute);
  clock.advance(kMinute - 1);
  EXPECT_FALSE(limiter.try_acquire());
  clock.advance(1);
  EXPECT_TRUE(limiter.try_acquire());
}

TEST(Synchronized, AdmitsToEightThreadsWhatItWouldToOne) {
  io::ManualClock clock;
  io::Synchronized limiter(clock, std::in_place_type<RateLimiter>, RateLimiterConfig{.requests_per_minute = 1000});
  std::array<std::int64_t, kThreads> admitted{};
  const auto burst = [&](int number) {
    for (int i = 0; i < kEach; ++i) admitted[static_cast<std::size_t>(number)] += limiter.try_acquire() ? 1 : 0;
  };
  at_once(burst);
  EXPECT_EQ(sum(admitted), 1000);
  clock.advance(6 * kSecond);  // a tenth of a minute: a tenth of the limit
  at_once(burst);
  EXPECT_EQ(sum(admitted), 1100);
  EXPECT_EQ(limiter.stats().admitted, 1100);
  EXPECT_EQ(limiter.stats().denied, 2 * kThreads * kEach - 1100);
}

// One thread moves the clock while the others ask: however the readings interleave, the law holds over the whole span.
TEST(Synchronized, HoldsTheLawWhileTimePasses) {
  io::ManualClock clock;
  io::Synchronized limiter(clock, std::in_place_type<RateLimiter>, RateLimiterConfig{.requests_per_minute = 600});
  std::array<std::int64_t, kThreads> admitted{};
  admitted[0] += limiter.try_acquire() ? 1 : 0;  // what comes back to a full bucket would be lost
  at_once([&](int number) {
    for (int i = 0; i < kEach; ++i) {
      if (number == 0) clock.advance(kMillisecond);
      admitted[static_cast<std::size_t>(number)] += limiter.try_acquire() ? 1 : 0;
    }
  });
  constexpr std::int64_t kLaw = 600 + 600 * (kEach * kMillisecond) / kMinute;
  EXPECT_LE(sum(admitted), kLaw);
  while (limiter.try_acquire()) ++admitted[0];
  EXPECT_EQ(sum(admitted), kLaw);  // what was not taken in time is still there
}

TEST(Synchronized, LendsSlotsAndTokensAndGetsThemBack) {
  io::ManualClock clock;
  io::Synchronized limiter(
      clock, std::in_place_type<RateLimiter>,
      RateLimiterConfig{.requests_per_minute = 0, .tokens_per_minute = 1'000'000, .max_in_flight = 3});
  std::atomic<int> inside = 0;
  std::atomic<bool> crowded = false;
  std::array<std::int64_t, kThreads> used{};
  at_once([&](int number) {
    for (int i = 0; i < kEach; ++i) {
      const auto held = limiter.reserve(40 + i % 7);
      if (!held) continue;
      if (++inside > 3) crowded = true;
      --inside;
      if (i % 2 == 0) {
        limiter.refund(*held);
      } else {
        limiter.settle(*held, 5);
        used[static_cast<std::size_t>(number)] += 5;
      }
    }
  });
  EXPECT_FALSE(crowded);
  const RateLimiter::Stats stats = limiter.stats();
  EXPECT_EQ(stats.in_flight, 0);
  EXPECT_EQ(stats.reserved_tokens, 0);
  EXPECT_EQ(stats.available_tokens, 1'000'000 - sum(used));
  EXPECT_EQ(stats.admitted + stats.denied, kThreads * kEach);
}

TEST(Synchronized, DealsOutEachDelayOfASeedOnce) {
  io::Synchronized<SeededBackoff> shared(BackoffConfig{}, std::uint64_t{3});
  SeededBackoff alone(BackoffConfig{}, 3);
  std::array<std::vector<Duration>, kThreads> dealt;
  at_once([&](int number) {
    for (int i = 0; i < kEach; ++i) dealt[static_cast<std::size_t>(number)].push_back(shared.delay(4));
  });
  std::multiset<Duration> all;
  for (const auto& part : dealt) all.insert(part.begin(), part.end());
  std::multiset<Duration> expected;
  for (int i = 0; i < kThreads * kEach; ++i) expected.insert(alone.delay(4));
  EXPECT_EQ(all, expected);
  EXPECT_EQ(shared.stats().delays, kThreads * kEach);
  EXPECT_EQ(shared.stats().total, alone.stats().total);
  EXPECT_EQ(shared.stats().longest, *all.rbegin());
}

TEST(Synchronized, LetsOneProbeThroughWhoeverAsks) {
  io::ManualClock clock;
  io::Synchronized recovery(clock, std::in_place_type<ErrorRecovery>, ErrorRecoveryConfig{});
  at_once([&](int) {
    for (int i = 0; i < kEach; ++i) {
      recovery.call_arrived();
      if (const auto probe = recovery.try_send()) recovery.failed(*probe);
    }
  });
  EXPECT_EQ(recovery.health(), Health::degraded);
  EXPECT_EQ(recovery.stats().calls, kThreads * kEach);
  EXPECT_GE(recovery.stats().errors, 3);

  clock.advance(recovery.time_until_ready());
  std::atomic<int> probes = 0;
  std::atomic<int> others = 0;
  at_once([&](int) {
    for (int i = 0; i < kEach; ++i) {
      if (const auto probe = recovery.try_send()) ++(*probe ? probes : others);
    }
  });
  EXPECT_EQ(probes, 1);
  EXPECT_EQ(others, 0);
  recovery.succeeded(true);
  EXPECT_EQ(recovery.health(), Health::healthy);
}

// The law (P7): a share of the calls, a rate over time, and one second's worth to begin with.
TEST(Synchronized, GrantsNoMoreRetriesThanTheBudgetHolds) {
  io::ManualClock clock;
  io::Synchronized recovery(clock, std::in_place_type<ErrorRecovery>, ErrorRecoveryConfig{});
  std::array<std::int64_t, kThreads> granted{};
  at_once([&](int number) {
    for (int i = 0; i < kEach; ++i) {
      recovery.call_arrived();
      if (recovery.advise(Outcome::timeout, 1) == Verdict::retry) ++granted[static_cast<std::size_t>(number)];
    }
  });
  EXPECT_EQ(sum(granted), kThreads * kEach * 20 / 100 + 10);
  EXPECT_EQ(recovery.stats().retries, sum(granted));
}

TEST(Synchronized, NeverOvershootsABudget) {
  io::ManualClock clock;
  io::Synchronized budget(
      clock, std::in_place_type<Budget>,
      std::vector<BudgetRule>{{.scope = "user=*", .limit = 20'000}, {.scope = "global", .limit = 1'000'000'000}});
  std::array<NanoUsd, kThreads> spent{};
  std::atomic<bool> overshot = false;
  at_once([&](int number) {
    const Scopes scopes{{"user", "ada"}};
    for (int i = 0; i < kEach; ++i) {
      const auto held = budget.reserve(scopes, 20);
      if (!held) continue;
      if (i % 5 == 0) {
        budget.release(*held);
      } else {
        budget.settle(*held, i % 21);
        spent[static_cast<std::size_t>(number)] += i % 21;
      }
      for (const Budget::Account& account : budget.accounts()) {
        if (account.spent + account.reserved > account.limit) overshot = true;
      }
    }
  });
  EXPECT_FALSE(overshot);
  EXPECT_EQ(budget.reserved(), 0);
  for (const Budget::Account& account : budget.accounts()) EXPECT_EQ(account.spent, sum(spent));
  EXPECT_GT(sum(spent), 19'900);
}

TEST(Synchronized, HandsOutEachQueuedCallOnce) {
  io::ManualClock clock;
  io::Synchronized queue(clock, std::in_place_type<RequestQueue>, RequestQueueConfig::server());
  std::array<std::vector<RequestQueue::Id>, kThreads> popped;
  std::atomic<int> refused = 0;
  at_once([&](int number) {
    auto& mine = popped[static_cast<std::size_t>(number)];
    for (int i = 0; i < kEach; ++i) {
      const auto id = static_cast<RequestQueue::Id>(number * kEach + i);
      if (queue.push(id, static_cast<Priority>(i % 3)) != RequestQueue::Admission::accepted) ++refused;
      if (const auto entry = queue.pop()) mine.push_back(entry->id);
    }
  });
  std::set<RequestQueue::Id> all;
  std::size_t count = 0;
  for (const auto& part : popped) {
    all.insert(part.begin(), part.end());
    count += part.size();
  }
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(count, static_cast<std::size_t>(kThreads * kEach));
  EXPECT_EQ(all.size(), count);
  EXPECT_EQ(queue.size(), 0);

  EXPECT_EQ(queue.push(1, Priority::high, kSecond), RequestQueue::Admission::accepted);
  clock.advance(kSecond);
  std::vector<RequestQueue::Entry> expired;
  EXPECT_FALSE(queue.pop(&expired).has_value());
  ASSERT_EQ(expired.size(), 1U);
  EXPECT_EQ(expired[0].id, 1U);
}

TEST(Synchronized, NeverMixesUpWhatACacheKeeps) {
  using Value = std::shared_ptr<const std::string>;
  io::ManualClock clock;
  io::Synchronized cache(clock, std::in_place_type<ResponseCache<Value>>, ResponseCacheConfig{.max_entries = 50});
  std::vector<Fingerprint> keys;
  for (std::size_t i = 0; i < 80; ++i) keys.push_back(key_of(i));
  std::array<std::int64_t, kThreads> hits{};
  std::atomic<bool> mixed = false;
  at_once([&](int number) {
    std::size_t which = static_cast<std::size_t>(number);
    for (int i = 0; i < kEach; ++i) {
      which = (which * 31 + 7) % keys.size();
      if (const std::optional<Value> found = cache.get(keys[which])) {
        ++hits[static_cast<std::size_t>(number)];
        if (**found != std::to_string(which)) mixed = true;
      } else {
        cache.put(keys[which], std::make_shared<const std::string>(std::to_string(which)), 10);
      }
    }
  });
  EXPECT_FALSE(mixed);
  const ResponseCacheStats stats = cache.stats();
  EXPECT_EQ(stats.hits, sum(hits));
  EXPECT_EQ(stats.hits + stats.misses, kThreads * kEach);
  EXPECT_LE(stats.entries, 50);
}

TEST(Synchronized, CountsEveryCallOnceInATracker) {
  io::Synchronized<TokenTracker> tracker;
  at_once([&](int number) {
    for (int i = 0; i < kEach; ++i) {
      UsageSample sample;
      sample.model = number % 2 == 0 ? "a" : "b";
      sample.call_type = "chat";
      sample.attempts = 1;
      sample.usage.output_text = 2;
      sample.cost = 3;
      tracker.record(sample);
    }
  });
  const UsageTotals totals = tracker.totals();
  EXPECT_EQ(totals.calls, kThreads * kEach);
  EXPECT_EQ(totals.usage.output_text, 2 * kThreads * kEach);
  EXPECT_EQ(totals.cost, 3 * kThreads * kEach);
}

TEST(Synchronized, AnswersEachCallOfAnEngineOnceWhoeverDrainsIt) {
  Config config = Config::server();
  config.limits.max_in_flight = 5;
  io::Synchronized<Engine> engine(config);
  std::array<std::vector<CallId>, kThreads> finished;
  const auto drain = [&](int number) {
    bool any = false;
    while (std::optional<Action> action = engine.with([](Engine& e) { return e.poll(); })) {
      any = true;
      if (const auto* send = std::get_if<Send>(&*action)) {
        const AttemptId attempt = send->attempt;
        engine.with([&](Engine& e) { e.handle(Replied{attempt, Usage{.output_text = 7}, nullptr, nullptr}, Now{}); });
      } else if (const auto* finish = std::get_if<Finish>(&*action)) {
        finished[static_cast<std::size_t>(number)].push_back(finish->call);
      }
    }
    return any;
  };
  at_once([&](int number) {
    for (int i = 0; i < kEach / 4; ++i) {
      engine.with([&](Engine& e) {
        Submit call;
        call.call_type = "chat";
        call.targets = {Target{"p", "m", 10, 10, 0, nullptr, false}};
        e.submit(std::move(call), Now{});
      });
      drain(number);
    }
  });
  while (drain(0)) {
  }
  std::set<CallId> all;
  std::size_t count = 0;
  for (const auto& part : finished) {
    all.insert(part.begin(), part.end());
    count += part.size();
  }
  EXPECT_EQ(count, static_cast<std::size_t>(kThreads * kEach / 4));
  EXPECT_EQ(all.size(), count);
  engine.with([](const Engine& e) {
    EXPECT_EQ(e.check(), "");
    EXPECT_EQ(e.stats().in_flight, 0);
    EXPECT_EQ(e.stats().finished, kThreads * kEach / 4);
  });
}

}  // namespace
}  // namespace llmcore
