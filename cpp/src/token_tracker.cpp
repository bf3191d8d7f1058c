#include "llmcore/token_tracker.hpp"

#include <algorithm>
#include <stdexcept>

namespace llmcore {
namespace {

using KeyView = std::tuple<std::string_view, std::string_view>;

std::int64_t hour_of(WallTime wall) noexcept { return wall / kHour - (wall % kHour < 0 ? 1 : 0); }

bool used_anything(Usage usage) noexcept {
  usage.estimated = false;
  return usage != Usage{};
}

void add(UsageTotals& totals, const UsageSample& sample) {
  totals.calls = add_saturated(totals.calls, 1);
  totals.errors = add_saturated(totals.errors, sample.outcome == Outcome::ok ? 0 : 1);
  totals.cache_hits = add_saturated(totals.cache_hits, sample.cache_hit ? 1 : 0);
  totals.attempts = add_saturated(totals.attempts, sample.attempts);
  totals.usage += sample.usage;
  totals.cost = add_saturated(totals.cost, sample.cost.value_or(0));
  const bool unpriced = !sample.cost.has_value() && used_anything(sample.usage);
  totals.unpriced_calls = add_saturated(totals.unpriced_calls, unpriced ? 1 : 0);
  totals.saved = add_saturated(totals.saved, sample.saved);
  totals.latency.add(sample.latency);
}

// Strings are made only for a key that is new.
template <typename Table>
UsageTotals& at(Table& table, const KeyView& key) {
  const auto place = table.lower_bound(key);
  if (place != table.end() && KeyView(place->first) == key) return place->second;
  const auto& [model, call_type] = key;
  return table.try_emplace(place, typename Table::key_type(model, call_type))->second;
}

template <typename Table>
void append(std::vector<TokenTracker::Row>& rows, const Table& table, std::int64_t hour) {
  for (const auto& [key, totals] : table) {
    const auto& [model, call_type] = key;
    rows.push_back({.model = model, .call_type = call_type, .hour = hour, .totals = totals});
  }
}

}  // namespace

void UsageTotals::merge(const UsageTotals& other) {
  calls = add_saturated(calls, other.calls);
  errors = add_saturated(errors, other.errors);
  cache_hits = add_saturated(cache_hits, other.cache_hits);
  attempts = add_saturated(attempts, other.attempts);
  usage += other.usage;
  cost = add_saturated(cost, other.cost);
  unpriced_calls = add_saturated(unpriced_calls, other.unpriced_calls);
  saved = add_saturated(saved, other.saved);
  latency.merge(other.latency);
}

TokenTracker::TokenTracker(std::int64_t hours_kept) : hours_kept_(hours_kept) {
  if (hours_kept < 1) throw std::invalid_argument("token tracker: hours_kept must be at least 1, the hour of now");
}

void TokenTracker::record(const UsageSample& sample, WallTime wall) {
  const KeyView key(sample.model, sample.call_type);
  add(totals_, sample);
  add(at(by_key_, key), sample);

  const std::int64_t hour = hour_of(wall);
  const std::int64_t newest = by_hour_.empty() ? hour : std::max(hour, by_hour_.rbegin()->first);
  const std::int64_t oldest = add_saturated(newest, 1 - hours_kept_);
  by_hour_.erase(by_hour_.begin(), by_hour_.lower_bound(oldest));
  if (hour >= oldest) add(at(by_hour_[hour], key), sample);
}

std::vector<TokenTracker::Row> TokenTracker::by_model_and_type() const {
  std::vector<Row> rows;
  rows.reserve(by_key_.size());
  append(rows, by_key_, 0);
  return rows;
}

std::vector<TokenTracker::Row> TokenTracker::by_hour() const {
  std::vector<Row> rows;
  for (const auto& [hour, table] : by_hour_) append(rows, table, hour);
  return rows;
}

}  // namespace llmcore
