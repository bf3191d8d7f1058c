#include "llmcore/usage_report.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <iterator>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

#include "text.hpp"

namespace llmcore {
namespace {

using Row = TokenTracker::Row;

void append(std::string& out, std::int64_t number) {
  std::array<char, 24> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  out.append(digits.data(), end.ptr);
}

void append_padded(std::string& out, std::int64_t number, std::size_t width) {
  std::string digits;
  append(digits, number);
  if (digits.size() < width) out.append(width - digits.size(), '0');
  out += digits;
}

/// The day of the proleptic Gregorian calendar, as 2024-02-29. Counted in years that begin in March, as budget.cpp does.
std::string date_of(std::int64_t days) {
  const std::int64_t rest = days + 719'468;
  const std::int64_t cycle = rest / 146'097 - (rest % 146'097 < 0 ? 1 : 0);
  const std::int64_t of_cycle = rest - cycle * 146'097;
  const std::int64_t of_years = of_cycle - of_cycle / 1460 + of_cycle / 36'524 - of_cycle / 146'096;
  const std::int64_t year = of_years / 365;
  const std::int64_t of_year = of_cycle - (365 * year + year / 4 - year / 100);
  const std::int64_t march_month = (5 * of_year + 2) / 153;
  const std::int64_t month = march_month < 10 ? march_month + 3 : march_month - 9;
  std::string out;
  append_padded(out, year + cycle * 400 + (month <= 2 ? 1 : 0), 4);
  out += '-';
  append_padded(out, month, 2);
  out += '-';
  append_padded(out, of_year - (153 * march_month + 2) / 5 + 1, 2);
  return out;
}

std::string start_of(UsageWindow window, std::int64_t period) {
  if (window == UsageWindow::day) return date_of(period) + "T00:00:00Z";
  const std::int64_t day = period / 24 - (period % 24 < 0 ? 1 : 0);
  std::string out = date_of(day) + 'T';
  append_padded(out, period - 24 * day, 2);
  return out + ":00:00Z";
}

/// All calls and those of scopes, in the order that the header promises.
std::vector<Row> both(const TokenTracker& tracker, UsageWindow window) {
  std::vector<Row> rows = tracker.rows(window, UsageScope::none);
  std::vector<Row> scoped = tracker.rows(window, UsageScope::each);
  std::vector<Row> all;
  all.reserve(rows.size() + scoped.size());
  std::merge(std::make_move_iterator(rows.begin()), std::make_move_iterator(rows.end()),
             std::make_move_iterator(scoped.begin()), std::make_move_iterator(scoped.end()), std::back_inserter(all),
             [](const Row& a, const Row& b) {
               return std::tie(a.period, a.model, a.call_type, a.scope) <
                      std::tie(b.period, b.model, b.call_type, b.scope);
             });
  return all;
}

// --- JSON
// ------------------------------------------------------------------------------------------------------------------

class Json {
 public:
  void name(std::string_view name) {
    comma();
    append_json_string(out_, name);
    out_ += ':';
    first_ = true;
  }
  void text(std::string_view bytes) {
    comma();
    std::string utf8;
    append_as_utf8(utf8, bytes);
    append_json_string(out_, utf8);
  }
  void number(std::int64_t number) {
    comma();
    append(out_, number);
  }
  void null() {
    comma();
    out_ += "null";
  }
  void open(char bracket) {
    comma();
    out_ += bracket;
    first_ = true;
  }
  void close(char bracket) {
    out_ += bracket;
    first_ = false;
  }
  void member(std::string_view its_name, std::string_view bytes) {
    name(its_name);
    text(bytes);
  }
  void member(std::string_view its_name, std::int64_t value) {
    name(its_name);
    number(value);
  }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  void comma() {
    if (!first_) out_ += ',';
    first_ = false;
  }
  std::string out_;
  bool first_ = true;
};

void write_figures(Json& json, const UsageTotals& t) {
  json.member("calls", t.calls);
  json.member("errors", t.errors);
  json.member("cache_hits", t.cache_hits);
  json.member("attempts", t.attempts);
  json.member("input_tokens", t.usage.input_tokens());
  json.member("output_tokens", t.usage.output_tokens());
  json.member("cached_tokens", t.usage.cached_tokens());
  json.member("cache_write_tokens", t.usage.cache_write_tokens());
  json.member("reasoning_tokens", t.usage.reasoning);
  json.member("total_tokens", t.usage.total_tokens());
  json.member("images", t.usage.images);
  json.member("web_searches", t.usage.web_searches);
  json.member("cost_nano_usd", t.cost);
  json.member("unpriced_calls", t.unpriced_calls);
  json.member("saved_nano_usd", t.saved);
  json.name("latency");
  json.open('{');
  json.member("p50_ns", t.latency.quantile_permille(500));
  json.member("p95_ns", t.latency.quantile_permille(950));
  json.member("p99_ns", t.latency.quantile_permille(990));
  json.member("max_ns", t.latency.max());
  json.close('}');
}

void write_rows(Json& json, std::string_view name, const TokenTracker& tracker, UsageWindow window) {
  json.name(name);
  json.open('[');
  for (const Row& row : both(tracker, window)) {
    json.open('{');
    if (window != UsageWindow::all) json.member("start", start_of(window, row.period));
    json.member("model", row.model);
    json.member("call_type", row.call_type);
    json.name("scope");
    row.scope.empty() ? json.null() : json.text(row.scope);
    write_figures(json, row.totals);
    json.close('}');
  }
  json.close(']');
}

// --- text
// ------------------------------------------------------------------------------------------------------------------

std::string grouped(std::int64_t number) {
  std::string digits;
  append(digits, number);
  const std::size_t sign = number < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > sign + 3;) digits.insert(at -= 3, 1, ',');
  return digits;
}

/// With six decimals, rounded half away from zero.
std::string dollars(NanoUsd nano) {
  const std::int64_t micro = nano / 1000 + (nano % 1000 >= 500 ? 1 : 0) - (nano % 1000 <= -500 ? 1 : 0);
  std::string out = micro < 0 ? "-" : "";
  out += grouped(micro / 1'000'000 < 0 ? -(micro / 1'000'000) : micro / 1'000'000);
  out += '.';
  append_padded(out, micro % 1'000'000 < 0 ? -(micro % 1'000'000) : micro % 1'000'000, 6);
  return out;
}

std::string milliseconds(Duration ns) {
  return grouped(ns / kMillisecond + (ns % kMillisecond >= kMillisecond / 2 ? 1 : 0));
}

std::string printable(std::string_view name) {
  std::string utf8;
  append_as_utf8(utf8, name.empty() ? std::string_view("-") : name);
  std::replace_if(
      utf8.begin(), utf8.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, ' ');
  return utf8;
}

/// Columns as wide as their widest cell; the first `words` of them start at the left, the others end at the right.
void append_table(std::string& out, const std::vector<std::vector<std::string>>& lines, std::size_t words) {
  std::vector<std::size_t> widths(lines.front().size());
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], characters_of(line[i]));
  }
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      const std::string blank(widths[i] - characters_of(line[i]), ' ');
      if (i > 0) out += "  ";
      out += i < words ? line[i] + blank : blank + line[i];
    }
    out.erase(out.find_last_not_of(' ') + 1);
    out += '\n';
  }
}

void add_figures(std::vector<std::string>& line, const UsageTotals& t) {
  for (const std::int64_t number : {t.calls, t.errors, t.cache_hits, t.usage.input_tokens(), t.usage.output_tokens()}) {
    line.push_back(grouped(number));
  }
  line.push_back(dollars(t.cost));
  for (const std::int64_t permille : {500, 950, 990})
    line.push_back(milliseconds(t.latency.quantile_permille(permille)));
}

std::vector<std::string> headings(std::vector<std::string> words) {
  for (const char* figure : {"calls", "errors", "cached", "input", "output", "USD", "p50 ms", "p95 ms", "p99 ms"}) {
    words.emplace_back(figure);
  }
  return words;
}

void say_left_out(std::string& out, std::size_t all, std::size_t shown) {
  if (all > shown) out += "and " + grouped(static_cast<std::int64_t>(all - shown)) + " more\n";
}

void append_rows(std::string& out, std::vector<Row> rows, bool scoped, std::size_t most) {
  if (rows.empty()) return;
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return std::pair(b.totals.cost, b.totals.calls) < std::pair(a.totals.cost, a.totals.calls);
  });
  std::vector<std::vector<std::string>> lines{headings(scoped ? std::vector<std::string>{"scope", "model", "call type"}
                                                              : std::vector<std::string>{"model", "call type"})};
  for (std::size_t i = 0; i < std::min(most, rows.size()); ++i) {
    std::vector<std::string>& line = lines.emplace_back();
    if (scoped) line.push_back(printable(rows[i].scope));
    line.push_back(printable(rows[i].model));
    line.push_back(printable(rows[i].call_type));
    add_figures(line, rows[i].totals);
  }
  out += '\n';
  append_table(out, lines, scoped ? 3 : 2);
  say_left_out(out, rows.size(), most);
}

void append_days(std::string& out, const std::vector<Row>& rows, std::size_t most) {
  std::map<std::int64_t, UsageTotals, std::greater<>> days;
  for (const Row& row : rows) days[row.period].merge(row.totals);
  if (days.empty()) return;
  std::vector<std::vector<std::string>> lines{headings({"day (UTC)"})};
  for (const auto& [day, totals] : days) {
    if (lines.size() > most) break;
    lines.push_back({date_of(day)});
    add_figures(lines.back(), totals);
  }
  out += '\n';
  append_table(out, lines, 1);
  say_left_out(out, days.size(), most);
}

void append_budgets(std::string& out, const std::vector<Budget::Account>& budgets, std::size_t most) {
  if (budgets.empty()) return;
  std::vector<std::vector<std::string>> lines{{"budget", "period", "spent USD", "reserved USD", "limit USD", "spent"}};
  for (std::size_t i = 0; i < std::min(most, budgets.size()); ++i) {
    const Budget::Account& account = budgets[i];
    // In whole percent of the limit, rounded down, without leaving the range.
    const std::int64_t percent = account.limit >= 100 ? account.spent / (account.limit / 100) : 0;
    lines.push_back({printable(account.scope), std::string(to_string(account.period)), dollars(account.spent),
                     dollars(account.reserved), dollars(account.limit),
                     account.limit >= 100 ? grouped(percent) + " %" : "-"});
  }
  out += '\n';
  append_table(out, lines, 2);
  say_left_out(out, budgets.size(), most);
}

}  // namespace

std::string usage_report_json(const TokenTracker& tracker, const std::vector<Budget::Account>& budgets) {
  Json json;
  json.open('{');
  json.member("schema", "llmcore.usage.v1");
  json.name("totals");
  json.open('{');
  write_figures(json, tracker.totals());
  json.close('}');
  write_rows(json, "all", tracker, UsageWindow::all);
  write_rows(json, "days", tracker, UsageWindow::day);
  write_rows(json, "hours", tracker, UsageWindow::hour);
  json.name("budgets");
  json.open('[');
  for (const Budget::Account& account : budgets) {
    json.open('{');
    json.member("scope", account.scope);
    json.member("period", to_string(account.period));
    json.member("limit_nano_usd", account.limit);
    json.member("spent_nano_usd", account.spent);
    json.member("reserved_nano_usd", account.reserved);
    json.close('}');
  }
  json.close(']');
  const TokenTracker::Stats stats = tracker.stats();
  json.name("tracker");
  json.open('{');
  json.member("keys", stats.keys);
  json.member("rows", stats.rows);
  json.member("other", stats.other);
  json.member("shortened", stats.shortened);
  json.member("unkept", stats.unkept);
  json.close('}');
  json.close('}');
  return json.take();
}

std::string usage_report_text(const TokenTracker& tracker, const std::vector<Budget::Account>& budgets,
                              std::size_t rows) {
  const UsageTotals& totals = tracker.totals();
  std::string out = grouped(totals.calls) + " calls, " + grouped(totals.errors) + " errors, " +
                    grouped(totals.cache_hits) + " from the cache; " + grouped(totals.usage.input_tokens()) +
                    " tokens in, " + grouped(totals.usage.output_tokens()) + " out; " + dollars(totals.cost) +
                    " USD spent, " + dollars(totals.saved) + " saved\n";
  if (totals.unpriced_calls > 0)
    out += grouped(totals.unpriced_calls) + " calls at an unknown price are not in these sums\n";
  append_rows(out, tracker.rows(), false, rows);
  append_rows(out, tracker.rows(UsageWindow::all, UsageScope::each), true, rows);
  append_days(out, tracker.rows(UsageWindow::day), rows);
  append_budgets(out, budgets, rows);
  return out;
}

}  // namespace llmcore
