// No interleaving of calls overshoots a limit or keeps what it held.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "budget_cases.hpp"
#include "llmcore/budget.hpp"

namespace llmcore {
namespace {

using testing::kStart;
using testing::rule;

class BudgetProperty : public ::testing::TestWithParam<std::uint64_t> {};

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

INSTANTIATE_TEST_SUITE_P(Seeds, BudgetProperty, ::testing::Range<std::uint64_t>(1, 13));

}  // namespace
}  // namespace llmcore
