// Spending limits that concurrent calls cannot overshoot.
//
// A rule holds a limit for a scope and a period. The worst case of a call is reserved in every matching rule before it
// is sent and settled to its real cost after: admitted only if spent + reserved + worst case <= limit in all of them
// (P5).
//
// When a period turns, what was spent and told is forgotten; reservations stay and are settled in the period of their
// settling. A wall clock that goes back never opens an old period again. An account with nothing in it is not kept, so
// memory is bounded by the accounts used in a period.
//
// Externally synchronised: one thread at a time, or several with io::Synchronized<Budget>, which asks and reserves in one
// step. Each operation is O(rules x log accounts), and once more O(accounts of a rule) when its period turns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llmcore/types.hpp"

namespace llmcore {

enum class Period : std::uint8_t { hour, day, month, total };

[[nodiscard]] std::string_view to_string(Period period) noexcept;
/// Number of the period that `wall` falls in (UTC): hours or days since the Unix epoch, months since January of year 0,
/// 0 for total.
[[nodiscard]] std::int64_t period_index(Period period, WallTime wall) noexcept;

struct BudgetRule {
  /// "global", "key=value" (user=alice), or "key=*": an account of its own for each value of the key. A value may hold
  /// '='.
  std::string scope = "global";
  Period period = Period::total;
  NanoUsd limit = 0;
  /// Alerts when spent reaches so much of the limit, each once per period. Ascending, from 1; more than 100 is allowed.
  std::vector<std::int64_t> alert_percent{50, 80, 100};

  /// Empty when usable, otherwise what is wrong with it.
  [[nodiscard]] std::string problem() const;
};

/// What a call is charged to: ("user", "alice"), ("model", "gpt-4o"), ... A key with several values is charged to each
/// of them.
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
  /// Money set aside in the accounts of the matching rules. Must be settled or released exactly once, with the budget
  /// it came from.
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

  struct Stats {
    std::int64_t reserved = 0;       ///< calls that money was set aside for
    std::int64_t settled = 0;        ///< of these, over
    std::int64_t released = 0;       ///< of these, never sent
    std::int64_t overdrawn = 0;      ///< of those settled, that cost more than was set aside
    std::int64_t refused = 0;        ///< times that refusal() named a rule
    std::int64_t price_unknown = 0;  ///< of these, because the price was unknown
    std::int64_t alerts = 0;         ///< thresholds told
    std::int64_t accounts = 0;       ///< with something in them
  };

  /// Throws std::invalid_argument when a rule's problem() names one.
  explicit Budget(std::vector<BudgetRule> rules);

  /// Whether any rule watches these scopes.
  [[nodiscard]] bool watches(const Scopes& scopes) const noexcept;
  /// What stands against setting `worst_case` aside; nothing if it would be admitted. An unknown price (empty) is
  /// refused by any rule that watches these scopes.
  [[nodiscard]] std::optional<BudgetRefusal> refusal(const Scopes& scopes, std::optional<NanoUsd> worst_case,
                                                     WallTime wall);
  /// Sets `worst_case` (negative counts as 0) aside in every matching rule. Call refusal() first: this does not ask.
  [[nodiscard]] Reservation reserve(const Scopes& scopes, NanoUsd worst_case, WallTime wall);
  /// The call is over and cost `actual` (negative counts as 0): the reservation ends, the cost is spent in the period
  /// of now, and the thresholds that it reached are returned, by rule and ascending.
  std::vector<BudgetAlert> settle(const Reservation& reservation, NanoUsd actual, WallTime wall);
  /// The call was never sent: the reservation ends, nothing is spent.
  void release(const Reservation& reservation);

  /// Every account with something in it, by rule and scope, as of the newest time that was handed in.
  [[nodiscard]] std::vector<Account> accounts() const;
  /// Sum of what is reserved, each reservation counted once per account that holds it. O(accounts).
  [[nodiscard]] NanoUsd reserved() const noexcept;
  [[nodiscard]] const std::vector<BudgetRule>& rules() const noexcept { return rules_; }
  /// O(rules).
  [[nodiscard]] Stats stats() const noexcept;
  [[nodiscard]] std::uint64_t state_hash() const noexcept;

 private:
  struct Book {
    NanoUsd spent = 0;
    NanoUsd reserved = 0;
    std::size_t alerted = 0;  // thresholds of this period already told
  };
  /// The accounts of one rule. They share a period, so that one that is opened while the clock is behind joins the
  /// others.
  struct Ledger {
    std::int64_t period_index = 0;
    std::map<std::string, Book, std::less<>> books;  // by scope; none is empty
  };
  void turn(WallTime wall);
  void end(const Reservation& reservation);
  void tell(std::size_t rule, const std::string& scope, Book& book, std::vector<BudgetAlert>& alerts);

  std::vector<BudgetRule> rules_;
  std::vector<Ledger> ledgers_;                             // per rule
  WallTime newest_ = std::numeric_limits<WallTime>::min();  // that any call has had
  Stats stats_;
};

}  // namespace llmcore
