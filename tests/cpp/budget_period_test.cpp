// The periods of a budget, and what happens when one ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "budget_cases.hpp"
#include "llmcore/budget.hpp"

namespace llmcore {
namespace {

using testing::kAlice;
using testing::kBob;
using testing::kDay;
using testing::kLeast;
using testing::kMost;
using testing::kNobody;
using testing::kStart;
using testing::percents;
using testing::rule;
using testing::spend;

using ::testing::ElementsAre;

// --- periods ---------------------------------------------------------------------------------------------------------

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

// --- the turn of a period --------------------------------------------------------------------------------------------

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

}  // namespace
}  // namespace llmcore
