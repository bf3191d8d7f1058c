#include "llmcore/budget.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace llmcore {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
constexpr auto kLeast = std::numeric_limits<std::int64_t>::min();
constexpr Duration kDay = 24 * kHour;
// 2024-02-28T00:00:00Z: the day before a leap day.
constexpr WallTime kStart = 1'709'078'400 * kSecond;

BudgetRule rule(std::string scope, Period period, NanoUsd limit, std::vector<std::int64_t> alerts = {}) {
  return {.scope = std::move(scope), .period = period, .limit = limit, .alert_percent = std::move(alerts)};
}

const Scopes kAlice{{"user", "alice"}, {"model", "small"}};
const Scopes kBob{{"user", "bob"}, {"model", "small"}};
const Scopes kNobody{};

/// What a call that costs its worst case leaves behind.
std::vector<BudgetAlert> spend(Budget& budget, const Scopes& scopes, NanoUsd cost, WallTime wall) {
  return budget.settle(budget.reserve(scopes, cost, wall), cost, wall);
}

std::vector<std::int64_t> percents(const std::vector<BudgetAlert>& alerts) {
  std::vector<std::int64_t> result;
  for (const auto& alert : alerts) result.push_back(alert.percent);
  return result;
}

// --- periods
// ---------------------------------------------------------------------------------------------------------------

TEST(BudgetPeriod, HoursAndDaysAreCountedFromTheUnixEpoch) {
  EXPECT_EQ(period_index(Period::hour, 0), 0);
  EXPECT_EQ(period_index(Period::hour, kHour - 1), 0);
  EXPECT_EQ(period_index(Period::hour, kHour), 1);
  EXPECT_EQ(period_index(Period::hour, -1), -1);
  EXPECT_EQ(period_index(Period::hour, -kHour), -1);
  EXPECT_EQ(period_index(Period::hour, -kHour - 1), -2);
  EXPECT_EQ(period_index(Period::day, kDay - 1), 0);
  EXPECT_EQ(period_index(Period::day, kDay), 1);
  EXPECT_EQ(period_index(Period::day, -1), -1);
}

TEST(BudgetPeriod, TotalIsOnePeriodForEver) {
  for (const WallTime wall : {kLeast, WallTime{-1}, WallTime{0}, kStart, kMost}) {
    EXPECT_EQ(period_index(Period::total, wall), 0);
  }
}

TEST(BudgetPeriod, MonthsFollowTheCalendar) {
  const auto month = [](std::int64_t year, std::int64_t month_of_year) { return 12 * year + month_of_year - 1; };
  EXPECT_EQ(period_index(Period::month, 0), month(1970, 1));
  EXPECT_EQ(period_index(Period::month, -1), month(1969, 12));
  EXPECT_EQ(period_index(Period::month, kStart), month(2024, 2));
  EXPECT_EQ(period_index(Period::month, kStart + 2 * kDay - 1), month(2024, 2));  // the leap day's last instant
  EXPECT_EQ(period_index(Period::month, kStart + 2 * kDay), month(2024, 3));
  EXPECT_EQ(period_index(Period::month, 951'782'400 * kSecond), month(2000, 2));        // 2000-02-29
  EXPECT_EQ(period_index(Period::month, 4'107'542'400 * kSecond - 1), month(2100, 2));  // no 2100-02-29
  EXPECT_EQ(period_index(Period::month, 4'107'542'400 * kSecond), month(2100, 3));      // 2100-03-01
  EXPECT_EQ(period_index(Period::month, -2'203'891'200 * kSecond), month(1900, 3));     // 1900-03-01
  EXPECT_EQ(period_index(Period::month, -2'203'891'200 * kSecond - 1), month(1900, 2));
}

TEST(BudgetPeriod, MonthsAgreeWithACalendarOnEveryDayThatWallTimeReaches) {
  constexpr std::array<int, 12> kDaysOfMonth{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const auto is_leap = [](int year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; };
  int year = 1970;
  int month = 1;
  int day = 1;
  for (WallTime wall = 0; wall < kMost - kDay; wall += kDay) {
    ASSERT_EQ(period_index(Period::month, wall), 12 * year + month - 1) << year << '-' << month << '-' << day;
    const int days = kDaysOfMonth[static_cast<std::size_t>(month - 1)] + (month == 2 && is_leap(year) ? 1 : 0);
    if (++day > days) {
      day = 1;
      month = month % 12 + 1;
      if (month == 1) ++year;
    }
  }
  EXPECT_EQ(year, 2262);
  year = 1969;
  month = 12;
  day = 31;
  for (WallTime wall = -1; wall > kLeast + kDay; wall -= kDay) {
    ASSERT_EQ(period_index(Period::month, wall), 12 * year + month - 1) << year << '-' << month << '-' << day;
    if (--day == 0) {
      month = month == 1 ? 12 : month - 1;
      if (month == 12) --year;
      day = kDaysOfMonth[static_cast<std::size_t>(month - 1)] + (month == 2 && is_leap(year) ? 1 : 0);
    }
  }
  EXPECT_EQ(year, 1677);
}

TEST(BudgetPeriod, HasNames) {
  EXPECT_EQ(to_string(Period::hour), "hour");
  EXPECT_EQ(to_string(Period::day), "day");
  EXPECT_EQ(to_string(Period::month), "month");
  EXPECT_EQ(to_string(Period::total), "total");
}

// --- rules
// -----------------------------------------------------------------------------------------------------------------

TEST(BudgetRule, GoodRulesHaveNoProblem) {
  EXPECT_EQ(BudgetRule{}.problem(), "");
  for (const char* scope : {"global", "user=alice", "user=*", "tag=a=b", "global=x", "user=a b"}) {
    EXPECT_EQ(rule(scope, Period::day, 0).problem(), "") << scope;
  }
  EXPECT_EQ(rule("global", Period::total, kMost, {1, 100, 150, kMost}).problem(), "");
}

TEST(BudgetRule, SaysWhatIsWrongWithTheScope) {
  EXPECT_THAT(rule("", Period::day, 1).problem(), HasSubstr("empty"));
  EXPECT_THAT(rule("user", Period::day, 1).problem(), HasSubstr("\"user=*\""));
  EXPECT_THAT(rule("=alice", Period::day, 1).problem(), HasSubstr("no key"));
  EXPECT_THAT(rule("user=", Period::day, 1).problem(), HasSubstr("no value"));
  for (const char* scope : {" user=alice", "user =alice", "user= alice", "user=alice\n"}) {
    EXPECT_THAT(rule(scope, Period::day, 1).problem(), HasSubstr("blank")) << scope;
  }
}

TEST(BudgetRule, SaysWhatIsWrongWithTheFigures) {
  EXPECT_THAT(rule("global", Period::day, -1).problem(), HasSubstr("negative"));
  EXPECT_THAT(rule("global", static_cast<Period>(9), 1).problem(), HasSubstr("period"));
  EXPECT_THAT(rule("global", Period::day, 1, {0, 50}).problem(), HasSubstr("below 1"));
  EXPECT_THAT(rule("global", Period::day, 1, {50, 50}).problem(), HasSubstr("ascend"));
  EXPECT_THAT(rule("global", Period::day, 1, {80, 50}).problem(), HasSubstr("ascend"));
}

TEST(Budget, RefusesABadRuleAndNamesIt) {
  try {
    const Budget budget({rule("global", Period::day, 1), rule("user", Period::day, 1)});
    FAIL() << "the rule was taken";
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr("budget rule 2"));
    EXPECT_THAT(error.what(), HasSubstr("\"user\""));
  }
}

// --- matching
// --------------------------------------------------------------------------------------------------------------

TEST(Budget, WatchesWhatItsRulesName) {
  EXPECT_FALSE(Budget({}).watches(kAlice));
  EXPECT_TRUE(Budget({rule("global", Period::day, 1)}).watches(kNobody));
  EXPECT_TRUE(Budget({rule("user=alice", Period::day, 1)}).watches(kAlice));
  EXPECT_FALSE(Budget({rule("user=alice", Period::day, 1)}).watches(kBob));
  EXPECT_TRUE(Budget({rule("user=*", Period::day, 1)}).watches(kBob));
  EXPECT_FALSE(Budget({rule("user=*", Period::day, 1)}).watches(kNobody));
  EXPECT_FALSE(Budget({rule("company=*", Period::day, 1)}).watches(kAlice));
}

TEST(Budget, KeepsAnAccountOfItsOwnForEachValueOfAStar) {
  Budget budget({rule("user=*", Period::day, 100)});
  spend(budget, kAlice, 100, kStart);
  EXPECT_TRUE(budget.refusal(kAlice, 1, kStart));
  EXPECT_FALSE(budget.refusal(kBob, 100, kStart));
  EXPECT_FALSE(budget.refusal(kNobody, 1000, kStart));
  EXPECT_EQ(budget.refusal(kAlice, 1, kStart)->scope, "user=alice");
}

TEST(Budget, ANamedValueLimitsOnlyThatValue) {
  Budget budget({rule("user=alice", Period::day, 100)});
  EXPECT_TRUE(budget.refusal(kAlice, 101, kStart));
  EXPECT_FALSE(budget.refusal(kBob, 101, kStart));
}

TEST(Budget, AValueMayHoldAnEqualsSign) {
  Budget budget({rule("tag=a=b", Period::day, 100)});
  EXPECT_TRUE(budget.refusal({{"tag", "a=b"}}, 101, kStart));
  EXPECT_FALSE(budget.refusal({{"tag=a", "b"}}, 101, kStart));
}

TEST(Budget, ChargesEachValueOfAKeyOnce) {
  Budget budget({rule("tag=*", Period::day, 100)});
  const Scopes scopes{{"tag", "a"}, {"tag", "b"}, {"tag", "a"}};
  const auto reservation = budget.reserve(scopes, 60, kStart);
  EXPECT_EQ(budget.reserved(), 120);
  EXPECT_TRUE(budget.refusal({{"tag", "b"}}, 41, kStart));
  budget.settle(reservation, 60, kStart);
  const auto accounts = budget.accounts();
  ASSERT_EQ(accounts.size(), 2U);
  EXPECT_EQ(accounts[0].scope, "tag=a");
  EXPECT_EQ(accounts[0].spent, 60);
  EXPECT_EQ(accounts[1].scope, "tag=b");
  EXPECT_EQ(accounts[1].spent, 60);
}

// --- admission
// -------------------------------------------------------------------------------------------------------------

TEST(Budget, AdmitsUpToTheLimitAndNotOneMore) {
  Budget budget({rule("global", Period::day, 100)});
  EXPECT_FALSE(budget.refusal(kNobody, 100, kStart));
  EXPECT_TRUE(budget.refusal(kNobody, 101, kStart));
  spend(budget, kNobody, 40, kStart);
  const auto held = budget.reserve(kNobody, 30, kStart);
  EXPECT_FALSE(budget.refusal(kNobody, 30, kStart));
  const auto refusal = budget.refusal(kNobody, 31, kStart);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->rule, 0U);
  EXPECT_EQ(refusal->scope, "global");
  EXPECT_EQ(refusal->period, Period::day);
  EXPECT_EQ(refusal->limit, 100);
  EXPECT_EQ(refusal->spent, 40);
  EXPECT_EQ(refusal->reserved, 30);
  EXPECT_EQ(refusal->needed, 31);
  EXPECT_FALSE(refusal->price_unknown);
  budget.release(held);
  EXPECT_FALSE(budget.refusal(kNobody, 60, kStart));
}

TEST(Budget, AllMatchingRulesMustAgree) {
  Budget budget(
      {rule("global", Period::day, 100), rule("user=alice", Period::month, 50), rule("model=*", Period::hour, 70)});
  EXPECT_FALSE(budget.refusal(kAlice, 50, kStart));
  EXPECT_EQ(budget.refusal(kAlice, 51, kStart)->rule, 1U);
  EXPECT_FALSE(budget.refusal(kBob, 70, kStart));
  EXPECT_EQ(budget.refusal(kBob, 71, kStart)->rule, 2U);
  EXPECT_EQ(budget.refusal(kNobody, 101, kStart)->rule, 0U);
  const auto reservation = budget.reserve(kAlice, 20, kStart);
  EXPECT_EQ(reservation.accounts.size(), 3U);
  EXPECT_EQ(budget.reserved(), 60);
}

TEST(Budget, ALimitOfNothingAdmitsWhatCostsNothing) {
  Budget budget({rule("global", Period::total, 0, {50, 100})});
  EXPECT_TRUE(budget.refusal(kNobody, 1, kStart));
  EXPECT_FALSE(budget.refusal(kNobody, 0, kStart));
  EXPECT_THAT(spend(budget, kNobody, 0, kStart), IsEmpty());
  EXPECT_THAT(percents(budget.settle(budget.reserve(kNobody, 0, kStart), 1, kStart)), ElementsAre(50, 100));
}

TEST(Budget, RefusesAnUnknownPriceWhereARuleWatches) {
  Budget budget({rule("user=alice", Period::day, kMost)});
  const auto refusal = budget.refusal(kAlice, std::nullopt, kStart);
  ASSERT_TRUE(refusal);
  EXPECT_TRUE(refusal->price_unknown);
  EXPECT_EQ(refusal->scope, "user=alice");
  EXPECT_EQ(refusal->needed, 0);
  EXPECT_FALSE(budget.refusal(kBob, std::nullopt, kStart));
}

TEST(Budget, AskingChangesNothing) {
  Budget budget({rule("user=*", Period::day, 100)});
  spend(budget, kAlice, 10, kStart);
  const std::uint64_t hash = budget.state_hash();
  EXPECT_FALSE(budget.refusal(kBob, 10, kStart));
  EXPECT_TRUE(budget.refusal(kBob, 101, kStart));
  EXPECT_EQ(budget.state_hash(), hash);
  EXPECT_EQ(budget.accounts().size(), 1U);
}

TEST(Budget, StaysExactAtTheEndsOfTheRange) {
  Budget budget({rule("global", Period::total, kMost), rule("user=*", Period::total, kMost)});
  const auto first = budget.reserve(kAlice, kMost - 1, kStart);
  EXPECT_FALSE(budget.refusal(kAlice, 1, kStart));
  EXPECT_TRUE(budget.refusal(kAlice, 2, kStart)) << "a saturated sum would fit";
  EXPECT_TRUE(budget.refusal(kAlice, kMost, kStart));
  EXPECT_EQ(budget.reserved(), kMost);
  budget.release(first);
  EXPECT_EQ(budget.reserved(), 0);
  spend(budget, kAlice, kMost, kStart);
  spend(budget, kAlice, kMost, kStart);
  EXPECT_EQ(budget.accounts().front().spent, kMost);
}

TEST(Budget, NegativeAmountsCountAsNothing) {
  Budget budget({rule("global", Period::total, 10)});
  const auto reservation = budget.reserve(kNobody, -5, kStart);
  EXPECT_EQ(reservation.amount, 0);
  budget.settle(reservation, -5, kStart);
  EXPECT_FALSE(budget.refusal(kNobody, -5, kStart));
  EXPECT_TRUE(budget.refusal(kNobody, 11, kStart));
}

TEST(Budget, AnActualCostAboveTheWorstCaseIsStillSpent) {
  Budget budget({rule("global", Period::day, 100)});
  budget.settle(budget.reserve(kNobody, 10, kStart), 130, kStart);
  EXPECT_EQ(budget.accounts().front().spent, 130);
  EXPECT_TRUE(budget.refusal(kNobody, 1, kStart));
}

// --- accounts
// --------------------------------------------------------------------------------------------------------------

TEST(Budget, ListsAccountsByRuleAndScope) {
  Budget budget({rule("user=*", Period::day, 100), rule("global", Period::total, 500)});
  spend(budget, kBob, 5, kStart);
  const auto held = budget.reserve(kAlice, 7, kStart);
  const auto accounts = budget.accounts();
  ASSERT_EQ(accounts.size(), 3U);
  EXPECT_EQ(accounts[0].scope, "user=alice");
  EXPECT_EQ(accounts[0].spent, 0);
  EXPECT_EQ(accounts[0].reserved, 7);
  EXPECT_EQ(accounts[0].limit, 100);
  EXPECT_EQ(accounts[0].period, Period::day);
  EXPECT_EQ(accounts[0].period_index, period_index(Period::day, kStart));
  EXPECT_EQ(accounts[1].scope, "user=bob");
  EXPECT_EQ(accounts[1].spent, 5);
  EXPECT_EQ(accounts[2].rule, 1U);
  EXPECT_EQ(accounts[2].scope, "global");
  EXPECT_EQ(accounts[2].spent, 5);
  EXPECT_EQ(accounts[2].reserved, 7);
  budget.release(held);
}

TEST(Budget, ForgetsAccountsWithNothingInThem) {
  Budget budget({rule("user=*", Period::total, 100)});
  for (int user = 0; user < 100; ++user) {
    const Scopes scopes{{"user", std::to_string(user)}};
    budget.release(budget.reserve(scopes, 10, kStart));
    spend(budget, scopes, 0, kStart);
    EXPECT_FALSE(budget.refusal(scopes, 10, kStart));
  }
  EXPECT_THAT(budget.accounts(), IsEmpty());
}

TEST(Budget, ForgetsTheAccountsOfThePeriodBefore) {
  Budget budget({rule("user=*", Period::hour, 100)});
  for (int user = 0; user < 100; ++user) spend(budget, {{"user", std::to_string(user)}}, 10, kStart);
  const auto held = budget.reserve({{"user", "7"}}, 10, kStart);
  EXPECT_EQ(budget.accounts().size(), 100U);
  EXPECT_FALSE(budget.refusal(kAlice, 1, kStart + kHour));
  const auto accounts = budget.accounts();
  ASSERT_EQ(accounts.size(), 1U);
  EXPECT_EQ(accounts[0].scope, "user=7");
  EXPECT_EQ(accounts[0].spent, 0);
  EXPECT_EQ(accounts[0].reserved, 10);
  budget.release(held);
  EXPECT_THAT(budget.accounts(), IsEmpty());
}

// --- the turn of a period
// --------------------------------------------------------------------------------------------------

TEST(Budget, ANewPeriodStartsWithNothingSpent) {
  struct Case {
    Period period;
    Duration length;  // from kStart to the first instant of the next period
  };
  for (const Case& c : {Case{Period::hour, kHour}, Case{Period::day, kDay}, Case{Period::month, 2 * kDay}}) {
    Budget budget({rule("global", c.period, 100)});
    spend(budget, kNobody, 100, kStart);
    EXPECT_TRUE(budget.refusal(kNobody, 1, kStart + c.length - 1)) << to_string(c.period);
    EXPECT_FALSE(budget.refusal(kNobody, 100, kStart + c.length)) << to_string(c.period);
  }
}

TEST(Budget, ATotalNeverStartsAnew) {
  Budget budget({rule("global", Period::total, 100)});
  spend(budget, kNobody, 100, kStart);
  EXPECT_TRUE(budget.refusal(kNobody, 1, kStart + 10'000 * kDay));
}

TEST(Budget, ReservationsAreCarriedOverAndSettledInThePeriodOfSettling) {
  Budget budget({rule("global", Period::hour, 100)});
  spend(budget, kNobody, 40, kStart);
  const auto reservation = budget.reserve(kNobody, 60, kStart);
  const auto refusal = budget.refusal(kNobody, 41, kStart + kHour);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->spent, 0);
  EXPECT_EQ(refusal->reserved, 60);
  EXPECT_FALSE(budget.refusal(kNobody, 40, kStart + kHour));
  budget.settle(reservation, 50, kStart + kHour);
  ASSERT_EQ(budget.accounts().size(), 1U);
  EXPECT_EQ(budget.accounts()[0].spent, 50);
  EXPECT_EQ(budget.accounts()[0].reserved, 0);
  EXPECT_EQ(budget.accounts()[0].period_index, period_index(Period::hour, kStart + kHour));
}

TEST(Budget, AClockThatGoesBackNeverReopensAnOldPeriod) {
  Budget budget({rule("user=*", Period::hour, 100, {100})});
  spend(budget, kAlice, 100, kStart);
  spend(budget, kAlice, 90, kStart + kHour);
  EXPECT_TRUE(budget.refusal(kAlice, 11, kStart));
  EXPECT_FALSE(budget.refusal(kAlice, 10, kStart));
  EXPECT_THAT(percents(spend(budget, kAlice, 10, kStart - kDay)), ElementsAre(100));
  // An account that is opened while the clock is behind belongs to the newest period too.
  spend(budget, kBob, 100, kStart);
  EXPECT_TRUE(budget.refusal(kBob, 1, kStart + kHour));
  EXPECT_TRUE(budget.refusal(kAlice, 1, kStart + kHour));
  EXPECT_FALSE(budget.refusal(kAlice, 100, kStart + 2 * kHour));
}

TEST(Budget, WorksBeforeTheEpoch) {
  Budget budget({rule("global", Period::month, 100)});
  spend(budget, kNobody, 100, -kDay);
  EXPECT_TRUE(budget.refusal(kNobody, 1, -1));
  EXPECT_FALSE(budget.refusal(kNobody, 1, 0));
}

// --- alerts
// ----------------------------------------------------------------------------------------------------------------

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

// --- the whole
// -------------------------------------------------------------------------------------------------------------

TEST(Budget, TheHashTellsStatesApart) {
  const std::vector<BudgetRule> rules{rule("user=*", Period::hour, 100, {50}), rule("global", Period::total, 100)};
  Budget a(rules);
  Budget b(rules);
  EXPECT_EQ(a.state_hash(), b.state_hash());
  const auto held = a.reserve(kAlice, 10, kStart);
  EXPECT_NE(a.state_hash(), b.state_hash());
  const auto also_held = b.reserve(kAlice, 10, kStart);
  EXPECT_EQ(a.state_hash(), b.state_hash());
  a.settle(held, 10, kStart);
  b.settle(also_held, 9, kStart);
  EXPECT_NE(a.state_hash(), b.state_hash());
  spend(b, kAlice, 1, kStart);
  EXPECT_EQ(a.state_hash(), b.state_hash());
  EXPECT_FALSE(b.refusal(kAlice, 1, kStart + kHour));
  EXPECT_NE(a.state_hash(), b.state_hash()) << "the period decides too";
}

class BudgetProperty : public testing::TestWithParam<std::uint64_t> {};

// P5: with actual <= worst case, no account spends more than its limit in a period, whatever is in flight across its
// turn.
TEST_P(BudgetProperty, NoInterleavingOvershootsAndEverythingIsGivenBack) {
  std::mt19937_64 random(GetParam());
  const auto below = [&random](std::uint64_t bound) { return static_cast<std::int64_t>(random() % bound); };
  Budget budget({rule("global", Period::hour, 400, {50, 100}), rule("user=*", Period::day, 300, {80}),
                 rule("user=a", Period::month, 250), rule("model=*", Period::total, 5000, {1, 2, 99}),
                 rule("tag=*", Period::hour, 120)});
  // The same money once more, kept by hand: what each account spent in each period.
  std::map<std::pair<std::size_t, std::string>, std::map<std::int64_t, NanoUsd>> spent;
  std::map<std::tuple<std::size_t, std::string, std::int64_t, std::int64_t>, int> told;
  std::vector<Budget::Reservation> held;
  WallTime wall = kStart;
  WallTime newest = kStart;
  NanoUsd reserved = 0;
  int admitted = 0;
  int refused = 0;
  for (int step = 0; step < 4000; ++step) {
    wall += below(20) == 0 ? -below(3) * kHour : below(8 * static_cast<std::uint64_t>(kMinute));
    const auto kind = below(10);
    if (kind < 6) {
      Scopes scopes;
      if (below(4) != 0) scopes.emplace_back("user", std::string(1, static_cast<char>('a' + below(3))));
      if (below(4) != 0) scopes.emplace_back("model", std::string(1, static_cast<char>('x' + below(2))));
      for (auto tags = below(3); tags > 0; --tags) scopes.emplace_back("tag", std::to_string(below(3)));
      const NanoUsd worst = below(90);
      newest = std::max(newest, wall);
      if (budget.refusal(scopes, worst, wall)) {
        ++refused;
      } else {
        ++admitted;
        held.push_back(budget.reserve(scopes, worst, wall));
        reserved += worst * static_cast<NanoUsd>(held.back().accounts.size());
      }
    } else if (!held.empty()) {
      const auto at = below(held.size());
      const Budget::Reservation one = held[static_cast<std::size_t>(at)];
      held.erase(held.begin() + at);
      reserved -= one.amount * static_cast<NanoUsd>(one.accounts.size());
      if (kind == 9) {
        budget.release(one);
      } else {
        const NanoUsd actual = below(static_cast<std::uint64_t>(one.amount) + 1);
        newest = std::max(newest, wall);
        for (const auto& alert : budget.settle(one, actual, wall)) {
          const auto index = period_index(alert.period, newest);
          EXPECT_EQ((++told[{alert.rule, alert.scope, index, alert.percent}]), 1);
        }
        for (const auto& account : one.accounts) {
          const auto& of = budget.rules()[account.first];
          NanoUsd& sum = spent[account][period_index(of.period, newest)];
          sum += actual;
          ASSERT_LE(sum, of.limit) << account.second << " at step " << step;
        }
      }
    }
    ASSERT_EQ(budget.reserved(), reserved) << "at step " << step;
    for (const auto& account : budget.accounts()) {
      ASSERT_GE(account.reserved, 0);
      ASSERT_LE(account.spent + account.reserved, account.limit) << account.scope << " at step " << step;
      const auto& by_period = spent[{account.rule, account.scope}];
      const auto mine = by_period.find(account.period_index);
      ASSERT_EQ(account.spent, mine == by_period.end() ? 0 : mine->second) << account.scope << " at step " << step;
    }
  }
  EXPECT_GT(admitted, 200);
  EXPECT_GT(refused, 100);
  for (const auto& one : held) budget.release(one);
  EXPECT_EQ(budget.reserved(), 0);
  // Every threshold that a period's spending reached was told, and no other.
  std::size_t expected = 0;
  for (const auto& [account, by_period] : spent) {
    const auto& of = budget.rules()[account.first];
    for (const auto& [index, sum] : by_period) {
      for (const auto percent : of.alert_percent) expected += sum > 0 && sum * 100 >= of.limit * percent ? 1U : 0U;
    }
  }
  EXPECT_EQ(told.size(), expected);
}

INSTANTIATE_TEST_SUITE_P(Seeds, BudgetProperty, testing::Range<std::uint64_t>(1, 13));

}  // namespace
}  // namespace llmcore
