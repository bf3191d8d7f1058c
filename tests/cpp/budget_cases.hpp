// Rules, scopes and figures that the tests of budgets share.
#pragma once

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "llmcore/budget.hpp"

namespace llmcore::testing {

constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
constexpr auto kLeast = std::numeric_limits<std::int64_t>::min();
constexpr Duration kDay = 24 * kHour;
// 2024-02-28T00:00:00Z: the day before a leap day.
constexpr WallTime kStart = 1'709'078'400 * kSecond;

inline BudgetRule rule(std::string scope, Period period, NanoUsd limit, std::vector<std::int64_t> alerts = {}) {
  return {.scope = std::move(scope), .period = period, .limit = limit, .alert_percent = std::move(alerts)};
}

inline const Scopes kAlice{{"user", "alice"}, {"model", "small"}};
inline const Scopes kBob{{"user", "bob"}, {"model", "small"}};
inline const Scopes kNobody{};

/// What a call that costs its worst case leaves behind.
inline std::vector<BudgetAlert> spend(Budget& budget, const Scopes& scopes, NanoUsd cost, WallTime wall) {
  return budget.settle(budget.reserve(scopes, cost, wall), cost, wall);
}

inline std::vector<std::int64_t> percents(const std::vector<BudgetAlert>& alerts) {
  std::vector<std::int64_t> result;
  for (const auto& alert : alerts) result.push_back(alert.percent);
  return result;
}

}  // namespace llmcore::testing
