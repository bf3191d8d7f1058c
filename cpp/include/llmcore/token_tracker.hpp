// Usage and cost per model x call type x hour, and in all.
//
// Externally synchronised. record: O(log keys). Keys older than the retention are folded away when the hour turns, so memory is bounded by
// keys in use x hours kept.
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

/// One finished call, as the tracker sees it.
struct UsageSample {
  std::string_view model;
  std::string_view call_type;
  Outcome outcome = Outcome::ok;
  bool cache_hit = false;
  std::int64_t attempts = 0;
  Usage usage;
  std::optional<NanoUsd> cost;
  NanoUsd saved = 0;
  Duration latency = 0;
};

class TokenTracker {
 public:
  /// `hours_kept`: how many hours stay apart before they are folded into the totals alone; >= 1.
  explicit TokenTracker(std::int64_t hours_kept = 48);

  void record(const UsageSample& sample, WallTime wall);

  struct Row {
    std::string model;
    std::string call_type;
    std::int64_t hour = 0;  ///< hours since the Unix epoch
    UsageTotals totals;
  };
  [[nodiscard]] const UsageTotals& totals() const noexcept { return totals_; }
  /// By model and call type over all time, sorted.
  [[nodiscard]] std::vector<Row> by_model_and_type() const;
  /// By hour, model and call type for the hours kept, sorted.
  [[nodiscard]] std::vector<Row> by_hour() const;

 private:
  using Key = std::tuple<std::string, std::string>;  // model, call type
  std::int64_t hours_kept_;
  std::int64_t newest_hour_ = 0;
  UsageTotals totals_;
  std::map<Key, UsageTotals, std::less<>> by_key_;
  std::map<std::int64_t, std::map<Key, UsageTotals, std::less<>>> by_hour_;
};

}  // namespace llmcore
