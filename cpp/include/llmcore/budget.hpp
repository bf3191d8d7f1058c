// Spending limits that concurrent calls cannot overshoot.
//
// A rule holds a limit for a scope and a period. The worst case of a call is reserved in every matching rule before it is sent
// and settled to its real cost after: admitted only if spent + reserved + worst case <= limit in all of them (P5).
// Externally synchronised. Each operation is O(rules that match x log accounts).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "llmcore/types.hpp"

namespace llmcore {

enum class Period : std::uint8_t { hour, day, month, total };

[[nodiscard]] std::string_view to_string(Period period) noexcept;
/// Number of the period that `wall` falls in (UTC): hours or days since the epoch, months since year 0, 0 for total.
[[nodiscard]] std::int64_t period_index(Period period, WallTime wall) noexcept;

struct BudgetRule {
  /// "global", "key=value" (user=alice), or "key=*": an account of its own for each value of the key.
  std::string scope = "global";
  Period period = Period::total;
  NanoUsd limit = 0;
  std::vector<std::int64_t> alert_percent{50, 80, 100};  ///< alerts when spent reaches so much of the limit; ascending

  /// Empty when usable, otherwise what is wrong with it.
  [[nodiscard]] std::string problem() const;
};

/// What a call is charged to: ("user", "alice"), ("model", "gpt-4o"), ...
using Scopes = std::vector<std::pair<std::string, std::string>>;

struct BudgetAlert {
  std::size_t rule = 0;
  std::string scope;  ///< "global" or "key=value"
  Period period = Period::total;
  std::int64_t percent = 0;
  NanoUsd spent = 0;
  NanoUsd limit = 0;
};

/// Why a call was refused.
struct BudgetRefusal {
  std::size_t rule = 0;
  std::string scope;
  Period period = Period::total;
  NanoUsd limit = 0;
  NanoUsd spent = 0;
  NanoUsd reserved = 0;
  NanoUsd needed = 0;
  bool price_unknown = false;
};

class Budget {
 public:
  /// Money set aside in the accounts of the matching rules. Must be settled or released exactly once.
  struct Reservation {
    NanoUsd amount = 0;
    std::vector<std::pair<std::size_t, std::string>> accounts;  // (rule, scope)
  };

  struct Account {
    std::size_t rule = 0;
    std::string scope;
    Period period = Period::total;
    std::int64_t period_index = 0;
    NanoUsd limit = 0;
    NanoUsd spent = 0;
    NanoUsd reserved = 0;
  };

  /// Throws std::invalid_argument when a rule's problem() names one.
  explicit Budget(std::vector<BudgetRule> rules);

  /// Whether any rule watches these scopes.
  [[nodiscard]] bool watches(const Scopes& scopes) const noexcept;
  /// What stands against setting `worst_case` aside; nothing if it would be admitted. An unknown price (empty) is refused by any
  /// rule that watches these scopes.
  [[nodiscard]] std::optional<BudgetRefusal> refusal(const Scopes& scopes, std::optional<NanoUsd> worst_case,
                                                     WallTime wall);
  /// Sets `worst_case` aside in every matching rule. Call refusal() first: this does not ask.
  [[nodiscard]] Reservation reserve(const Scopes& scopes, NanoUsd worst_case, WallTime wall);
  /// The call is over and cost `actual`: the reservation ends, the cost is spent (in the period of now), thresholds that were reached are
  /// returned, each once per period.
  std::vector<BudgetAlert> settle(const Reservation& reservation, NanoUsd actual, WallTime wall);
  /// The call was never sent: the reservation ends, nothing is spent.
  void release(const Reservation& reservation);

  /// Every account with something in it, by rule and scope.
  [[nodiscard]] std::vector<Account> accounts() const;
  /// Sum of what is reserved, each reservation counted once per rule that holds it.
  [[nodiscard]] NanoUsd reserved() const noexcept { return reserved_; }
  [[nodiscard]] const std::vector<BudgetRule>& rules() const noexcept { return rules_; }
  [[nodiscard]] std::uint64_t state_hash() const noexcept;

 private:
  struct Book {
    std::int64_t period_index = 0;
    NanoUsd spent = 0;
    NanoUsd reserved = 0;
    std::size_t alerted = 0;  // thresholds of this period already told
  };
  [[nodiscard]] std::optional<std::string> account_of(const BudgetRule& rule, const Scopes& scopes) const;
  Book& open(std::size_t rule, const std::string& scope, WallTime wall);
  void turn(std::size_t rule, Book& book, WallTime wall) const noexcept;

  std::vector<BudgetRule> rules_;
  std::vector<std::map<std::string, Book, std::less<>>> books_;  // per rule, by scope
  NanoUsd reserved_ = 0;
};

}  // namespace llmcore
