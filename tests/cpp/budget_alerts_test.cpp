// What a budget tells: its counters, and which thresholds were crossed, once and in order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "budget_cases.hpp"
#include "llmcore/budget.hpp"

namespace llmcore {
namespace {

using testing::kAlice;
using testing::kBob;
using testing::kMost;
using testing::kNobody;
using testing::kStart;
using testing::percents;
using testing::rule;
using testing::spend;

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Budget, CountsWhatItDid) {
  Budget budget({rule("user=*", Period::day, 100, {50, 100})});
  (void)spend(budget, kAlice, 60, kStart);
  const auto sent = budget.reserve(kAlice, 20, kStart);
  (void)budget.settle(sent, 45, kStart);
  budget.release(budget.reserve(kBob, 20, kStart));
  EXPECT_TRUE(budget.refusal(kAlice, 1, kStart));
  EXPECT_TRUE(budget.refusal(kBob, std::nullopt, kStart));
  EXPECT_FALSE(budget.refusal(kBob, 1, kStart));
  const Budget::Stats stats = budget.stats();
  EXPECT_EQ(stats.reserved, 3);
  EXPECT_EQ(stats.settled, 2);
  EXPECT_EQ(stats.released, 1);
  EXPECT_EQ(stats.overdrawn, 1);
  EXPECT_EQ(stats.refused, 2);
  EXPECT_EQ(stats.price_unknown, 1);
  EXPECT_EQ(stats.alerts, 2);
  EXPECT_EQ(stats.accounts, 1);
}

TEST(Budget, TellsEachThresholdOncePerPeriod) {
  Budget budget({rule("global", Period::hour, 200, {50, 80, 100})});
  EXPECT_THAT(spend(budget, kNobody, 99, kStart), IsEmpty());
  const auto alerts = spend(budget, kNobody, 1, kStart);
  ASSERT_EQ(alerts.size(), 1U);
  EXPECT_EQ(alerts[0].rule, 0U);
  EXPECT_EQ(alerts[0].scope, "global");
  EXPECT_EQ(alerts[0].period, Period::hour);
  EXPECT_EQ(alerts[0].percent, 50);
  EXPECT_EQ(alerts[0].spent, 100);
  EXPECT_EQ(alerts[0].limit, 200);
  EXPECT_THAT(spend(budget, kNobody, 10, kStart), IsEmpty());
  EXPECT_THAT(percents(spend(budget, kNobody, 50, kStart)), ElementsAre(80));
  EXPECT_THAT(percents(spend(budget, kNobody, 40, kStart)), ElementsAre(100));
  EXPECT_THAT(spend(budget, kNobody, 500, kStart), IsEmpty());
  EXPECT_THAT(percents(spend(budget, kNobody, 100, kStart + kHour)), ElementsAre(50));
}

TEST(Budget, TellsSeveralThresholdsCrossedAtOnceInOrder) {
  Budget budget({rule("global", Period::hour, 100, {10, 50, 100, 150}), rule("user=*", Period::day, 1000, {1, 8})});
  const auto alerts = spend(budget, kAlice, 80, kStart);
  EXPECT_THAT(percents(alerts), ElementsAre(10, 50, 1, 8));
  EXPECT_EQ(alerts[2].scope, "user=alice");
  EXPECT_THAT(percents(spend(budget, kAlice, 70, kStart)), ElementsAre(100, 150));
}

TEST(Budget, TellsEachValueOfAStarApart) {
  Budget budget({rule("user=*", Period::hour, 100, {50})});
  EXPECT_THAT(percents(spend(budget, kAlice, 50, kStart)), ElementsAre(50));
  EXPECT_THAT(percents(spend(budget, kBob, 50, kStart)), ElementsAre(50));
  EXPECT_THAT(spend(budget, kAlice, 1, kStart), IsEmpty());
}

TEST(Budget, ReservingAndReleasingTellNothing) {
  Budget budget({rule("global", Period::hour, 100, {1})});
  budget.release(budget.reserve(kNobody, 100, kStart));
  EXPECT_THAT(budget.settle(budget.reserve(kNobody, 100, kStart), 0, kStart), IsEmpty());
}

TEST(Budget, ThresholdsAreExactForEveryLimit) {
  const auto spent_at_alert = [](NanoUsd limit, std::int64_t percent, NanoUsd expected) {
    Budget just_below({rule("global", Period::total, limit, {percent})});
    EXPECT_THAT(spend(just_below, kNobody, expected - 1, kStart), IsEmpty()) << limit << " at " << percent;
    Budget reached({rule("global", Period::total, limit, {percent})});
    EXPECT_EQ(spend(reached, kNobody, expected, kStart).size(), 1U) << limit << " at " << percent;
  };
  spent_at_alert(1, 1, 1);
  spent_at_alert(3, 50, 2);
  spent_at_alert(99, 80, 80);
  spent_at_alert(101, 1, 2);
  spent_at_alert(199, 33, 66);
  spent_at_alert(50, 250, 125);
  spent_at_alert(kMost, 100, kMost);
  spent_at_alert(kMost, 99, kMost / 100 * 99 + 7);  // ends in 07: 6.93 rounded up
  spent_at_alert(kMost, 500, kMost);                // held at the end of the range
  spent_at_alert(7, kMost, 645'636'042'579'834'307);
}

}  // namespace
}  // namespace llmcore
