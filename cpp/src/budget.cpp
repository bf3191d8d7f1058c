#include "llmcore/budget.hpp"

#include <algorithm>
#include <stdexcept>

#include "llmcore/hash.hpp"
#include "shown.hpp"

namespace llmcore {
namespace {

constexpr std::int64_t kDay = 24 * kHour;
constexpr auto kMost = std::numeric_limits<std::int64_t>::max();

/// a / b rounded down; b > 0.
constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) noexcept { return a / b - (a % b < 0 ? 1 : 0); }

/// Months since January of year 0 in the Gregorian calendar, for a day since the Unix epoch.
///
/// Counted in years that begin in March: the leap day then comes last, so within a year only its length varies, and a
/// month begins on the same day of every year. Likewise in a cycle of 400 years only the last century, and in four
/// years only the last, is a day longer; that day must not be taken for the first of the next.
constexpr std::int64_t month_of_day(std::int64_t days) noexcept {
  constexpr std::int64_t kMarchOfYear0 = -719'468;  // the first of it, in days since the Unix epoch
  constexpr std::int64_t kYear = 365;
  constexpr std::int64_t kFourYears = 4 * kYear + 1;
  constexpr std::int64_t kCentury = 25 * kFourYears - 1;
  constexpr std::int64_t kCycle = 4 * kCentury + 1;
  constexpr std::int64_t kFiveMonths = 31 + 30 + 31 + 30 + 31;  // March to July, and again August to December

  std::int64_t rest = days - kMarchOfYear0;
  const std::int64_t cycles = floor_div(rest, kCycle);
  rest -= cycles * kCycle;
  const std::int64_t centuries = std::min<std::int64_t>(rest / kCentury, 3);
  rest -= centuries * kCentury;
  const std::int64_t fours = rest / kFourYears;
  rest -= fours * kFourYears;
  const std::int64_t ones = std::min<std::int64_t>(rest / kYear, 3);
  rest -= ones * kYear;
  const std::int64_t year = 400 * cycles + 100 * centuries + 4 * fours + ones;
  const std::int64_t month = (5 * rest + 2) / kFiveMonths;  // 0 is March; the 2 places the long months within the five
  return 12 * year + month + 2;
}

/// percent of limit, rounded up and at least 1: nothing spent never reaches a threshold. Exact, held at the end of the
/// range.
constexpr NanoUsd threshold(NanoUsd limit, std::int64_t percent) noexcept {
  const std::int64_t whole = limit / 100;
  const std::int64_t rest = limit % 100;
  if (whole > 0 && percent > kMost / whole) return kMost;
  const std::int64_t of_rest = rest * (percent / 100) + (rest * (percent % 100) + 99) / 100;
  return std::max<NanoUsd>(add_saturated(whole * percent, of_rest), 1);
}

std::string quoted(std::string_view text) { return '"' + shown(text) + '"'; }

bool has_blank_end(std::string_view text) noexcept {
  constexpr std::string_view kBlanks = " \t\r\n";
  return kBlanks.find(text.front()) != std::string_view::npos || kBlanks.find(text.back()) != std::string_view::npos;
}

/// What a rule's scope says.
struct Watch {
  std::string_view key;    // empty: everything
  std::string_view value;  // "*": any

  [[nodiscard]] bool sees(const Scopes::value_type& scope) const noexcept {
    return scope.first == key && (value == "*" || scope.second == value);
  }
};

Watch watch_of(const BudgetRule& rule) noexcept {
  const std::string_view scope = rule.scope;
  if (scope == "global") return {};
  const std::size_t split = scope.find('=');
  return {scope.substr(0, split), scope.substr(split + 1)};
}

/// The accounts that a rule keeps for these scopes, each once.
std::vector<std::string> accounts_of(const BudgetRule& rule, const Scopes& scopes) {
  const Watch watch = watch_of(rule);
  if (watch.key.empty()) return {rule.scope};
  std::vector<std::string> accounts;
  for (const auto& scope : scopes) {
    if (!watch.sees(scope)) continue;
    std::string account = scope.first + '=' + scope.second;
    if (std::find(accounts.begin(), accounts.end(), account) == accounts.end()) accounts.push_back(std::move(account));
  }
  return accounts;
}

}  // namespace

std::string_view to_string(Period period) noexcept {
  switch (period) {
    case Period::hour: return "hour";
    case Period::day: return "day";
    case Period::month: return "month";
    case Period::total: return "total";
  }
  return "total";
}

std::int64_t period_index(Period period, WallTime wall) noexcept {
  switch (period) {
    case Period::hour: return floor_div(wall, kHour);
    case Period::day: return floor_div(wall, kDay);
    case Period::month: return month_of_day(floor_div(wall, kDay));
    case Period::total: return 0;
  }
  return 0;
}

std::string BudgetRule::problem() const {
  if (scope.empty()) return R"(scope is empty: write "global", "key=value" or "key=*")";
  if (scope != "global") {
    const std::size_t split = scope.find('=');
    if (split == std::string::npos) {
      return "scope " + quoted(scope) + R"( is neither "global" nor "key=value": for each value of a key write )" +
             quoted(scope + "=*");
    }
    if (split == 0) return "scope " + quoted(scope) + " has no key before the '='";
    if (split + 1 == scope.size())
      return "scope " + quoted(scope) + " has no value after the '=': write * for each value";
    const Watch watch = watch_of(*this);
    if (has_blank_end(watch.key) || has_blank_end(watch.value)) {
      return "scope " + quoted(scope) + " has a blank around its key or value, so that it would never match: remove it";
    }
  }
  const std::string whose = "the budget of " + quoted(scope);
  if (period > Period::total) return whose + " has an unknown period: it must be hour, day, month or total";
  if (limit < 0) return whose + " has a negative limit: 0 admits only what costs nothing";
  std::int64_t last = 0;
  for (const std::int64_t percent : alert_percent) {
    if (percent < 1) return whose + " has an alert threshold below 1 percent";
    if (percent <= last) return whose + " has alert thresholds that do not ascend";
    last = percent;
  }
  return {};
}

Budget::Budget(std::vector<BudgetRule> rules) : rules_(std::move(rules)), ledgers_(rules_.size()) {
  for (std::size_t rule = 0; rule < rules_.size(); ++rule) {
    const std::string problem = rules_[rule].problem();
    if (!problem.empty()) throw std::invalid_argument("budget rule " + std::to_string(rule + 1) + ": " + problem);
  }
}

bool Budget::watches(const Scopes& scopes) const noexcept {
  return std::any_of(rules_.begin(), rules_.end(), [&scopes](const BudgetRule& rule) {
    const Watch watch = watch_of(rule);
    return watch.key.empty() ||
           std::any_of(scopes.begin(), scopes.end(), [&watch](const auto& scope) { return watch.sees(scope); });
  });
}

std::optional<BudgetRefusal> Budget::refusal(const Scopes& scopes, std::optional<NanoUsd> worst_case, WallTime wall) {
  turn(wall);
  const NanoUsd needed = std::max<NanoUsd>(worst_case.value_or(0), 0);
  for (std::size_t rule = 0; rule < rules_.size(); ++rule) {
    const NanoUsd limit = rules_[rule].limit;
    for (const std::string& scope : accounts_of(rules_[rule], scopes)) {
      const auto& books = ledgers_[rule].books;
      const auto found = books.find(scope);
      const Book book = found == books.end() ? Book{} : found->second;
      // Subtracted step by step: a sum could leave the range and look as if it fitted.
      const bool fits = worst_case.has_value() && book.spent <= limit && book.reserved <= limit - book.spent &&
                        needed <= limit - book.spent - book.reserved;
      if (fits) continue;
      ++stats_.refused;
      stats_.price_unknown += worst_case.has_value() ? 0 : 1;
      return BudgetRefusal{.rule = rule,
                           .scope = scope,
                           .period = rules_[rule].period,
                           .limit = limit,
                           .spent = book.spent,
                           .reserved = book.reserved,
                           .needed = needed,
                           .price_unknown = !worst_case.has_value()};
    }
  }
  return std::nullopt;
}

Budget::Reservation Budget::reserve(const Scopes& scopes, NanoUsd worst_case, WallTime wall) {
  turn(wall);
  Reservation reservation{.amount = std::max<NanoUsd>(worst_case, 0), .accounts = {}};
  for (std::size_t rule = 0; rule < rules_.size(); ++rule) {
    for (std::string& scope : accounts_of(rules_[rule], scopes)) {
      if (reservation.amount > 0) {
        Book& book = ledgers_[rule].books[scope];
        book.reserved = add_saturated(book.reserved, reservation.amount);
      }
      reservation.accounts.emplace_back(rule, std::move(scope));
    }
  }
  ++stats_.reserved;
  return reservation;
}

std::vector<BudgetAlert> Budget::settle(const Reservation& reservation, NanoUsd actual, WallTime wall) {
  turn(wall);
  std::vector<BudgetAlert> alerts;
  end(reservation);
  ++stats_.settled;
  if (actual > reservation.amount) ++stats_.overdrawn;
  if (actual <= 0) return alerts;
  for (const auto& [rule, scope] : reservation.accounts) {
    if (rule >= rules_.size()) continue;
    Book& book = ledgers_[rule].books[scope];
    book.spent = add_saturated(book.spent, actual);
    tell(rule, scope, book, alerts);
  }
  return alerts;
}

void Budget::release(const Reservation& reservation) {
  end(reservation);
  ++stats_.released;
}

void Budget::end(const Reservation& reservation) {
  for (const auto& [rule, scope] : reservation.accounts) {
    if (rule >= rules_.size()) continue;
    auto& books = ledgers_[rule].books;
    const auto found = books.find(scope);
    if (found == books.end()) continue;
    Book& book = found->second;
    book.reserved -= std::min(book.reserved, reservation.amount);
    if (book.spent == 0 && book.reserved == 0) books.erase(found);
  }
}

std::vector<Budget::Account> Budget::accounts() const {
  std::vector<Account> accounts;
  for (std::size_t rule = 0; rule < rules_.size(); ++rule) {
    const Ledger& ledger = ledgers_[rule];
    for (const auto& [scope, book] : ledger.books) {
      accounts.push_back({.rule = rule,
                          .scope = scope,
                          .period = rules_[rule].period,
                          .period_index = ledger.period_index,
                          .limit = rules_[rule].limit,
                          .spent = book.spent,
                          .reserved = book.reserved});
    }
  }
  return accounts;
}

NanoUsd Budget::reserved() const noexcept {
  NanoUsd sum = 0;
  for (const Ledger& ledger : ledgers_) {
    for (const auto& [scope, book] : ledger.books) sum = add_saturated(sum, book.reserved);
  }
  return sum;
}

Budget::Stats Budget::stats() const noexcept {
  Stats stats = stats_;
  for (const Ledger& ledger : ledgers_) stats.accounts += static_cast<std::int64_t>(ledger.books.size());
  return stats;
}

std::uint64_t Budget::state_hash() const noexcept {
  std::uint64_t hash = mix64(0, rules_.size());
  for (const Ledger& ledger : ledgers_) {
    hash = mix64(mix64(hash, ledger.period_index), ledger.books.size());
    for (const auto& [scope, book] : ledger.books) {
      hash = mix64(hash, std::string_view(scope));
      hash = mix64(mix64(mix64(hash, book.spent), book.reserved), book.alerted);
    }
  }
  return hash;
}

void Budget::turn(WallTime wall) {
  if (wall <= newest_) return;
  newest_ = wall;
  for (std::size_t rule = 0; rule < rules_.size(); ++rule) {
    Ledger& ledger = ledgers_[rule];
    const std::int64_t index = period_index(rules_[rule].period, wall);
    if (index == ledger.period_index) continue;
    ledger.period_index = index;
    for (auto book = ledger.books.begin(); book != ledger.books.end();) {
      if (book->second.reserved == 0) {
        book = ledger.books.erase(book);
      } else {
        book->second.spent = 0;
        book->second.alerted = 0;
        ++book;
      }
    }
  }
}

void Budget::tell(std::size_t rule, const std::string& scope, Book& book, std::vector<BudgetAlert>& alerts) {
  const BudgetRule& of = rules_[rule];
  while (book.alerted < of.alert_percent.size() && book.spent >= threshold(of.limit, of.alert_percent[book.alerted])) {
    alerts.push_back({.rule = rule,
                      .scope = scope,
                      .period = of.period,
                      .percent = of.alert_percent[book.alerted],
                      .spent = book.spent,
                      .limit = of.limit});
    ++book.alerted;
    ++stats_.alerts;
  }
}

}  // namespace llmcore
