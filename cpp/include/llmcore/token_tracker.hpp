// Usage, cost and latency per model x call type x scope: over all time, by hour and by day (UTC), and in all.
//
// A scope says whose call it was ("user=ada", a tenant, a project). Every call counts once in the row of its model and
// call type without a scope, and once in that of each scope it names.
//
// Bounded: `max_keys` combinations have rows of their own, later ones share the rows named "(other)"; of all windows the
// newest `max_rows` rows are kept, whole hours (then days) being given up early rather than one row more. A key or a row
// takes about 300 bytes, and its latency sketch 8 bytes for each different latency up to 64, then 1 KiB for each octave
// seen (11 for 100 ms to 100 s). What is no longer kept stays in the rows of all time and in the totals. Sums are held
// at the ends of their range instead of wrapping.
//
// record is O(1) for each scope and O(hours kept) for a call that is late by hours, whatever the number of keys: nothing
// is rehashed, copied or swept at once. Turning the hour moves no row; rows that are no longer kept are freed a few with
// each call. Externally synchronised.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
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
  /// Whose call it was. An empty one or one that is named twice counts once; of more than 16 the rest is left out.
  std::span<const std::string_view> scopes{};
};

/// One of the newest calls, packed: plain integers at fixed places, so that many are copied at once. Ids are indices
/// into TokenTracker::names().
struct RecentCall {
  static constexpr NanoUsd kNoCost = -1;

  WallTime wall = 0;
  Duration latency = 0;
  NanoUsd cost = kNoCost;  ///< kNoCost: unknown, or nothing to price
  NanoUsd saved = 0;
  std::int64_t input_uncached = 0;
  std::int64_t cache_read = 0;
  std::int64_t cache_write_5m = 0;
  std::int64_t cache_write_1h = 0;
  std::int64_t output_text = 0;
  std::int64_t reasoning = 0;
  std::int64_t audio_input = 0;
  std::int64_t audio_cache_read = 0;
  std::int64_t audio_output = 0;
  std::int64_t image_input = 0;
  std::int64_t image_output = 0;
  std::int64_t images = 0;
  std::int64_t web_searches = 0;
  std::uint32_t model = 0;
  std::uint32_t call_type = 0;
  std::uint32_t attempts = 0;
  std::uint8_t outcome = 0;  ///< the value of Outcome
  std::uint8_t cache_hit = 0;
  std::uint8_t estimated = 0;
  std::uint8_t reserved = 0;
};

struct TokenTrackerConfig {
  /// How many hours and days (UTC), the newest included, have rows of their own.
  std::int64_t hours_kept = 48;
  std::int64_t days_kept = 31;
  std::int64_t recent_kept = 1024;  ///< how many of the newest calls recent() has; 0: none. 152 bytes each
  std::int64_t max_keys = 100'000;
  std::int64_t max_rows = 200'000;

  /// Nullptr when usable, otherwise what is wrong with it.
  [[nodiscard]] const char* problem() const noexcept;
};

/// Which rows: over all time, or of each hour or day.
enum class UsageWindow : std::uint8_t { all, hour, day };
/// Rows of all calls, or of those that named a scope, apart by scope.
enum class UsageScope : std::uint8_t { none, each };

class TokenTracker {
 public:
  /// Throws std::invalid_argument when config.problem() names one.
  explicit TokenTracker(const TokenTrackerConfig& config = {});
  TokenTracker(const TokenTracker& other);
  TokenTracker(TokenTracker&&) noexcept;
  TokenTracker& operator=(TokenTracker other) noexcept;
  ~TokenTracker();

  /// Counts the call in the hour and the day of `wall`; in the totals alone when those are no longer kept.
  void record(const UsageSample& sample, WallTime wall);
  /// Adds what another tracker counted. Of windows and calls the newest of both are kept. O(rows of the other).
  void merge(const TokenTracker& other);

  struct Row {
    std::string model;
    std::string call_type;
    std::string scope;        ///< empty: all calls
    std::int64_t period = 0;  ///< hours or days since the Unix epoch; 0 over all time
    UsageTotals totals;
  };
  /// All calls.
  [[nodiscard]] const UsageTotals& totals() const noexcept;
  /// Sorted by period, model, call type and scope. O(rows log rows).
  [[nodiscard]] std::vector<Row> rows(UsageWindow window = UsageWindow::all, UsageScope scope = UsageScope::none) const;

  /// The newest calls, oldest first.
  [[nodiscard]] std::vector<RecentCall> recent() const;
  /// How many recent() has.
  [[nodiscard]] std::size_t recent_count() const noexcept;
  /// Copies the newest `count` calls (at most recent_count()) to `to`, oldest first: at most two memcpy.
  void copy_recent(RecentCall* to, std::size_t count) const noexcept;
  /// Every name met so far, by id; ids never change.
  [[nodiscard]] std::vector<std::string> names() const;

  struct Stats {
    std::int64_t keys = 0;        ///< combinations of model, call type and scope with rows of their own
    std::int64_t rows = 0;        ///< of hours and days, those still to be freed included
    std::int64_t retired = 0;     ///< of these, rows that are no longer kept and still to be freed
    std::int64_t other = 0;       ///< times that a call was counted as "(other)"
    std::int64_t shortened = 0;   ///< windows given up early because of max_rows
    std::int64_t unkept = 0;      ///< times that a call found no room in its window, and is in the rest alone
    std::int64_t most_steps = 0;  ///< table entries visited and rows freed by the record() that did most
  };
  [[nodiscard]] Stats stats() const noexcept;
  [[nodiscard]] const TokenTrackerConfig& config() const noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace llmcore
