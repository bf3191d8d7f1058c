// The inside of a TokenTracker. token_tracker.cpp: a call is counted. token_tracker_windows.cpp: hours and days come and
// go. token_tracker_look.cpp: what is read, and two trackers into one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "linear_index.hpp"
#include "llmcore/token_tracker.hpp"
#include "slab.hpp"

namespace llmcore {

inline constexpr std::string_view kOtherUsage = "(other)";
inline constexpr std::size_t kMostUsageScopes = 16;

// What a key did in the newest hour that it was seen in is in that hour's row alone, the open one, so that a call costs one
// addition instead of three; closing the row adds it to the key's total and to its day. All that reads knows of open rows.
class TokenTracker::Impl {
 public:
  explicit Impl(const TokenTrackerConfig& config);

  void record(const UsageSample& sample, WallTime wall);
  void merge(const Impl& other);
  [[nodiscard]] std::vector<Row> rows(UsageWindow window, UsageScope scope) const;

  [[nodiscard]] const UsageTotals& totals() const noexcept { return totals_; }
  [[nodiscard]] const TokenTrackerConfig& config() const noexcept { return config_; }
  [[nodiscard]] std::size_t recent_count() const noexcept { return recent_.size(); }
  void copy_recent(RecentCall* to, std::size_t count) const noexcept;
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] Stats stats() const noexcept;

 private:
  [[nodiscard]] static std::int64_t day_of(std::int64_t hour) noexcept { return hour / 24 - (hour % 24 < 0 ? 1 : 0); }

  struct Key {
    Slot model = kNoSlot;
    Slot call_type = kNoSlot;
    Slot scope = kNoSlot;  // kNoSlot: all calls
    Slot hour = kNoSlot;   // its row of the newest hour; the others hang on it
    Slot day = kNoSlot;
    UsageTotals closed;  // everything but what is in the open row
  };
  struct WindowRow {
    std::int64_t period = 0;
    Slot key = kNoSlot;
    Slot next = kNoSlot;   // in its window, among those to be freed, or among the free ones
    Slot older = kNoSlot;  // of the same key
    Slot newer = kNoSlot;
    bool is_day = false;
    bool open = false;
    UsageTotals totals;
  };
  struct Chain {
    Slot first = kNoSlot;
    Slot last = kNoSlot;
    std::int64_t count = 0;
  };
  struct Windows {
    std::map<std::int64_t, Chain> by_period;  // those kept, by hours or days since the epoch
    std::int64_t oldest = 0;                  // that may be kept; means something once there was a call
    Slot Key::* newest = nullptr;             // where a key's rows begin
    bool are_days = false;
  };
  /// The keys that one call counts in, each once.
  struct Touched {
    std::array<Slot, kMostUsageScopes + 1> keys{};
    std::size_t count = 0;
  };

  [[nodiscard]] Slot name_of(std::string_view name, bool make);
  [[nodiscard]] Slot find_key(Slot model, Slot call_type, Slot scope);
  [[nodiscard]] Slot key_of(std::string_view model, std::string_view call_type, std::string_view scope);
  [[nodiscard]] const Touched& touch(const UsageSample& sample);
  void count(Slot key, const UsageSample& sample, bool unpriced, std::int64_t hour);
  void remember(const RecentCall& call);
  void merge_recent(const Impl& other);

  void advance(std::int64_t hour);
  void drop_before(Windows& windows, std::int64_t oldest);
  void retire(Windows& windows, std::map<std::int64_t, Chain>::iterator window);
  [[nodiscard]] Slot find_row(const Windows& windows, Slot key, std::int64_t period);
  Slot row_of(Windows& windows, Slot key, std::int64_t period);
  [[nodiscard]] Slot free_row();
  bool give_up_a_window();
  void free_one();
  void close(Slot row);
  void close_all();

  TokenTrackerConfig config_;
  UsageTotals totals_;
  Slab<std::string> names_;
  LinearIndex name_index_;
  Slab<Key> keys_;
  LinearIndex key_index_;
  Slab<WindowRow> rows_;
  Windows hours_{.by_period = {}, .oldest = 0, .newest = &Key::hour, .are_days = false};
  Windows days_{.by_period = {}, .oldest = 0, .newest = &Key::day, .are_days = true};
  std::optional<std::int64_t> newest_hour_;
  Chain retired_;
  Slot free_ = kNoSlot;
  std::int64_t free_count_ = 0;
  std::vector<RecentCall> recent_;  // a ring once it is full
  std::size_t recent_next_ = 0;
  Touched touched_;  // by the last call
  Stats stats_;
  std::int64_t steps_ = 0;
};

}  // namespace llmcore
