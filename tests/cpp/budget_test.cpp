// What a budget watches, admits, and keeps accounts of.
#include "llmcore/budget.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "budget_cases.hpp"

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
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// --- rules -----------------------------------------------------------------------------------------------------------

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

// --- matching --------------------------------------------------------------------------------------------------------

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

// --- admission -------------------------------------------------------------------------------------------------------

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

// --- accounts --------------------------------------------------------------------------------------------------------

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

// --- the whole -------------------------------------------------------------------------------------------------------

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

}  // namespace
}  // namespace llmcore
