// The retry budget: what calls and time earn, and what lapses.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <random>

#include "error_recovery_cases.hpp"
#include "llmcore/error_recovery.hpp"

namespace llmcore {
namespace {

using testing::drain;
using testing::make;

__extension__ using Wide = __int128;

TEST(RetryBudget, BeginsWithOneSecondsWorth) {
  auto recovery = make();
  EXPECT_EQ(drain(recovery, 0), 10);
  EXPECT_EQ(recovery.stats().retries, 10);
  EXPECT_EQ(recovery.stats().retries_refused, 1);
}

TEST(RetryBudget, FiveCallsEarnOneRetry) {
  ErrorRecoveryConfig config;
  config.retries_per_second = 0;
  auto recovery = make(config);
  for (int i = 0; i < 4; ++i) recovery.call_arrived();
  EXPECT_EQ(drain(recovery, 0), 0);
  recovery.call_arrived();
  EXPECT_EQ(drain(recovery, 0), 1);
  for (int i = 0; i < 500; ++i) recovery.call_arrived();
  EXPECT_EQ(drain(recovery, 0), 100);
  EXPECT_EQ(recovery.stats().calls, 505);
}

TEST(RetryBudget, TimeEarnsToTheNanosecond) {
  auto recovery = make();
  EXPECT_EQ(drain(recovery, 0), 10);
  EXPECT_EQ(drain(recovery, 100 * kMillisecond - 1), 0);
  EXPECT_EQ(drain(recovery, 100 * kMillisecond), 1);
  EXPECT_EQ(drain(recovery, 300 * kMillisecond), 2);
}

TEST(RetryBudget, AskingOftenLosesNoFractions) {
  ErrorRecoveryConfig config;
  config.retries_per_second = 3;
  config.retry_percent = 0;
  auto recovery = make(config);
  std::int64_t granted = drain(recovery, 0);
  for (Instant now = 0; now <= 60 * kSecond; now += 997'001) granted += drain(recovery, now);
  granted += drain(recovery, 60 * kSecond);
  EXPECT_EQ(granted, 3 + 3 * 60);
}

TEST(RetryBudget, WhatWasEarnedLapsesInsteadOfPayingForAStorm) {
  auto recovery = make();
  for (int second = 0; second < 3600; ++second) {
    for (int i = 0; i < 100; ++i) recovery.call_arrived();
    ASSERT_FALSE(recovery.sent(second * kSecond));
    recovery.succeeded(false);
  }
  const std::int64_t granted = drain(recovery, 3600 * kSecond);
  EXPECT_LE(granted, 20 * (10 + 20));  // at most 20 s of both earnings
  EXPECT_GE(granted, 9 * (10 + 20));   // at least the 9 s since the last full window
}

TEST(RetryBudget, CreditLapsesAtTheEndOfTheWindowAfterTheOneItWasEarnedIn) {
  ErrorRecoveryConfig config;
  config.retries_per_second = 0;
  config.retry_percent = 100;
  const auto left_at = [&](Instant earned, Instant asked) {
    auto recovery = make(config);
    static_cast<void>(recovery.sent(earned));
    recovery.call_arrived();
    return drain(recovery, asked);
  };
  EXPECT_EQ(left_at(0, 20 * kSecond - 1), 1);
  EXPECT_EQ(left_at(0, 20 * kSecond), 0);
  EXPECT_EQ(left_at(10 * kSecond - 1, 20 * kSecond - 1), 1);
  EXPECT_EQ(left_at(10 * kSecond - 1, 20 * kSecond), 0);
  EXPECT_EQ(left_at(10 * kSecond, 30 * kSecond - 1), 1);
  EXPECT_EQ(left_at(10 * kSecond, 30 * kSecond), 0);
}

TEST(RetryBudget, AfterALongSilenceTimeHasEarnedAtMostTwentySecondsWorth) {
  for (const Instant start : {Instant{0}, std::numeric_limits<Instant>::min(), Instant{-kHour}}) {
    auto recovery = make({}, start);
    const std::int64_t granted = drain(recovery, kNever - 1);
    EXPECT_GE(granted, 100) << start;
    EXPECT_LE(granted, 200) << start;
  }
}

TEST(RetryBudget, AClockThatGoesBackEarnsNothing) {
  auto recovery = make();
  EXPECT_EQ(drain(recovery, kSecond), 20);
  EXPECT_EQ(drain(recovery, 0), 0);
  EXPECT_EQ(drain(recovery, kSecond), 0);
}

TEST(RetryBudget, HoldsItsLawUnderRandomCallsAndTimes) {
  std::mt19937_64 random(77);
  for (int run = 0; run < 200; ++run) {
    ErrorRecoveryConfig config;
    config.retry_percent = static_cast<std::int64_t>(random() % 150);
    config.retries_per_second = static_cast<std::int64_t>(random() % 30);
    if (run % 2 == 0) config = {};
    const auto start = static_cast<Instant>(random() % 1000) * kMinute - kHour;
    auto recovery = make(config, start);
    const std::array<Duration, 4> steps{kMillisecond, 100 * kMillisecond, 5 * kSecond, 60 * kSecond};
    const Duration step = steps[random() % steps.size()];
    Instant now = start;
    for (int i = 0; i < 2000; ++i) {
      switch (random() % 4) {
        case 0: recovery.call_arrived(); break;
        case 1: static_cast<void>(recovery.sent(now)); break;
        default: static_cast<void>(recovery.advise(Outcome::overloaded, std::nullopt, 0, 1, now));
      }
      if (random() % 3 == 0) now += static_cast<Instant>(random() % static_cast<std::uint64_t>(step));
      const ErrorRecovery::Stats stats = recovery.stats();
      // retries <= percent of calls + rate x time + rate, in units of 1/100 retry x nanoseconds.
      const Wide earned = Wide{config.retry_percent} * stats.calls * kSecond +
                          Wide{config.retries_per_second} * 100 * (now - start) +
                          Wide{config.retries_per_second} * 100 * kSecond;
      ASSERT_TRUE(Wide{stats.retries} * 100 * kSecond <= earned) << "run " << run << " step " << i;
    }
  }
}

/// The retry budget in closed form: what time earned up to t is floor(rate x t), split by window of ten seconds.
class RetryBudgetModel {
 public:
  RetryBudgetModel(std::int64_t percent, std::int64_t per_second) : percent_(percent), rate_(per_second * 100) {
    earned_[0] = rate_;
  }
  void call() { earned_[window_] += percent_; }
  void earn(Instant now) {
    while (at_ < now) {
      const Instant to = std::min(now, (window_ + 1) * 10 * kSecond);
      earned_[window_] += total(to) - total(at_);
      at_ = to;
      if (at_ == (window_ + 1) * 10 * kSecond) ++window_;
    }
    earned_.erase(earned_.begin(), earned_.lower_bound(window_ - 1));
  }
  bool take(Instant now) {
    earn(now);
    std::int64_t sum = 0;
    for (const auto& entry : earned_) sum += entry.second;
    if (sum < 100) return false;
    std::int64_t owed = 100;
    for (auto& entry : earned_) {
      const std::int64_t part = std::min(owed, entry.second);
      entry.second -= part;
      owed -= part;
    }
    return true;
  }

 private:
  [[nodiscard]] std::int64_t total(Instant at) const { return static_cast<std::int64_t>(Wide{rate_} * at / kSecond); }

  std::int64_t percent_;
  std::int64_t rate_;
  std::map<std::int64_t, std::int64_t> earned_;
  std::int64_t window_ = 0;
  Instant at_ = 0;
};

TEST(RetryBudget, AgreesWithItsClosedFormUnderRandomCallsAndTimes) {
  std::mt19937_64 random(4242);
  std::int64_t granted = 0;
  std::int64_t refused = 0;
  for (int run = 0; run < 100; ++run) {
    ErrorRecoveryConfig config;
    config.retry_percent = static_cast<std::int64_t>(random() % 100);
    config.retries_per_second = static_cast<std::int64_t>(random() % 4);
    auto recovery = make(config);
    RetryBudgetModel model(config.retry_percent, config.retries_per_second);
    Instant now = 0;
    for (int i = 0; i < 1000; ++i) {
      switch (random() % 4) {
        case 0:
          recovery.call_arrived();
          model.call();
          break;
        case 1:
          static_cast<void>(recovery.sent(now));
          model.earn(now);
          break;
        default: {
          const bool expected = model.take(now);
          const Verdict verdict = recovery.advise(Outcome::connection, std::nullopt, 0, 1, now);
          ASSERT_EQ(verdict, expected ? Verdict::retry : Verdict::fail_over) << "run " << run << " step " << i;
          ++(expected ? granted : refused);
        }
      }
      const auto jump = static_cast<std::uint64_t>(random() % 50 == 0 ? 25 * kSecond : kSecond / 2);
      now += static_cast<Instant>(random() % jump);
    }
  }
  EXPECT_GT(granted, 1000);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace llmcore
