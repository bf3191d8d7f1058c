// Usage and cost per model x call type x hour, and in all.
//
// Sums are held at the ends of their range instead of wrapping. Externally synchronised. record: O(log keys). Hours
// older than the retention are dropped when a newer hour begins (the totals keep what was in them), so memory is
// bounded by keys x hours kept.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "llmcore/latency_sketch.hpp"
#include "llmcore/outcome.hpp"
#include "llmcore/types.hpp"

namespace llmcore {

struct UsageTotals {
  std::int64_t calls = 0;
  std::int64_t errors = 0;      ///< outcome other than ok
  std::int64_t cache_hits = 0;  ///< answered from the cache or by joining another call
  std::int64_t attempts = 0;
  Usage usage;
  NanoUsd cost = 0;                 ///< of the calls whose price is known
  std::int64_t unpriced_calls = 0;  ///< calls that used tokens at an unknown price
  NanoUsd saved = 0;
  LatencySketch latency;

  void merge(const UsageTotals& other);
};

/// One finished call, as the tracker sees it. The views need to live no longer than the call of record().
struct UsageSample {
  std::string_view model;
  std::string_view call_type;
  Outcome outcome = Outcome::ok;
  bool cache_hit = false;
  std::int64_t attempts = 0;
  Usage usage;
  std::optional<NanoUsd> cost;  ///< empty: unknown, or nothing to price
  NanoUsd saved = 0;
  Duration latency = 0;
};

class TokenTracker {
 public:
  /// `hours_kept`: how many hours, the newest included, stay apart before they are in the totals alone. Throws
  /// std::invalid_argument when it is less than 1.
  explicit TokenTracker(std::int64_t hours_kept = 48);

  /// Counts the call in the hour of `wall`; in the totals alone when that hour is no longer kept.
  void record(const UsageSample& sample, WallTime wall);

  struct Row {
    std::string model;
    std::string call_type;
    std::int64_t hour = 0;  ///< hours since the Unix epoch
    UsageTotals totals;
  };
  [[nodiscard]] const UsageTotals& totals() const noexcept { return totals_; }
  /// By model and call type over all time, sorted; their hour is 0.
  [[nodiscard]] std::vector<Row> by_model_and_type() const;
  /// By hour, model and call type for the hours kept, sorted.
  [[nodiscard]] std::vector<Row> by_hour() const;

 private:
  using Key = std::tuple<std::string, std::string>;  // model, call type
  struct KeyOrder {
    using KeyView = std::tuple<std::string_view, std::string_view>;
    using is_transparent = void;
    bool operator()(const KeyView& a, const KeyView& b) const noexcept { return a < b; }
  };
  using Table = std::map<Key, UsageTotals, KeyOrder>;

  std::int64_t hours_kept_;
  UsageTotals totals_;
  Table by_key_;
  std::map<std::int64_t, Table> by_hour_;  // by hours since the epoch; the last is the newest there was
};

}  // namespace llmcore
