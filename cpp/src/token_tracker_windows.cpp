#include <algorithm>

#include "token_tracker_impl.hpp"

namespace llmcore {

void TokenTracker::Impl::advance(std::int64_t hour) {
  const auto oldest = [](std::int64_t newest, std::int64_t kept) { return add_saturated(newest, 1 - kept); };
  const bool first = !newest_hour_;
  newest_hour_ = hour;
  const std::int64_t oldest_hour = oldest(hour, config_.hours_kept);
  const std::int64_t oldest_day = oldest(day_of(hour), config_.days_kept);
  hours_.oldest = first ? oldest_hour : std::max(hours_.oldest, oldest_hour);
  days_.oldest = first ? oldest_day : std::max(days_.oldest, oldest_day);
  drop_before(hours_, hours_.oldest);
  drop_before(days_, days_.oldest);
}

void TokenTracker::Impl::drop_before(Windows& windows, std::int64_t oldest) {
  while (!windows.by_period.empty() && windows.by_period.begin()->first < oldest) {
    retire(windows, windows.by_period.begin());
  }
}

/// Hangs a window's rows behind those that wait to be freed: O(1).
void TokenTracker::Impl::retire(Windows& windows, std::map<std::int64_t, Chain>::iterator window) {
  const Chain chain = window->second;
  windows.oldest = std::max(windows.oldest, add_saturated(window->first, 1));
  windows.by_period.erase(window);
  ++steps_;
  if (retired_.count == 0) {
    retired_ = chain;
    return;
  }
  rows_[retired_.last].next = chain.first;
  retired_.last = chain.last;
  retired_.count += chain.count;
}

Slot TokenTracker::Impl::find_row(const Windows& windows, Slot key, std::int64_t period) {
  if (period < windows.oldest) return kNoSlot;
  Slot row = keys_[key].*windows.newest;
  for (; row != kNoSlot && rows_[row].period > period; row = rows_[row].older) ++steps_;
  return row != kNoSlot && rows_[row].period == period ? row : kNoSlot;
}

/// The row of a key in a window, a new one if there was none; kNoSlot if that window is not kept or there is no room.
Slot TokenTracker::Impl::row_of(Windows& windows, Slot key, std::int64_t period) {
  if (period < windows.oldest) return kNoSlot;
  const Slot found = find_row(windows, key, period);
  if (found != kNoSlot) return found;
  const Slot row = free_row();
  if (row == kNoSlot) {
    stats_.unkept = add_saturated(stats_.unkept, 1);
    return kNoSlot;
  }
  if (period < windows.oldest) {  // the window was given up to make room for itself
    rows_[row].next = free_;
    free_ = row;
    ++free_count_;
    return kNoSlot;
  }

  Slot newer = kNoSlot;
  Slot older = keys_[key].*windows.newest;
  for (; older != kNoSlot && rows_[older].period > period; older = rows_[older].older) newer = older;
  WindowRow& made = rows_[row];
  made.period = period;
  made.key = key;
  made.older = older;
  made.newer = newer;
  made.is_day = windows.are_days;
  (newer == kNoSlot ? keys_[key].*windows.newest : rows_[newer].older) = row;
  if (older != kNoSlot) rows_[older].newer = row;

  Chain& chain = windows.by_period[period];
  made.next = chain.first;
  chain.first = row;
  if (chain.last == kNoSlot) chain.last = row;
  ++chain.count;
  return row;
}

/// A row that nothing uses, or kNoSlot. Gives up the oldest window before it goes beyond max_rows.
Slot TokenTracker::Impl::free_row() {
  if (free_ == kNoSlot && static_cast<std::int64_t>(rows_.size()) < config_.max_rows) return rows_.push({});
  if (free_ == kNoSlot && retired_.count == 0 && !give_up_a_window()) return kNoSlot;
  if (free_ == kNoSlot) free_one();
  const Slot row = free_;
  free_ = rows_[row].next;
  rows_[row].next = kNoSlot;
  --free_count_;
  return row;
}

bool TokenTracker::Impl::give_up_a_window() {
  for (Windows* windows : {&hours_, &days_}) {
    if (windows->by_period.size() < 2) continue;
    stats_.shortened = add_saturated(stats_.shortened, 1);
    retire(*windows, windows->by_period.begin());
    return true;
  }
  return false;
}

void TokenTracker::Impl::free_one() {
  const Slot slot = retired_.first;
  WindowRow& row = rows_[slot];
  retired_.first = row.next;
  if (--retired_.count == 0) retired_ = {};
  if (row.open) close(slot);

  Slot Key::* const newest = row.is_day ? days_.newest : hours_.newest;
  (row.newer == kNoSlot ? keys_[row.key].*newest : rows_[row.newer].older) = row.older;
  if (row.older != kNoSlot) rows_[row.older].newer = row.newer;
  row = WindowRow{};
  row.next = free_;
  free_ = slot;
  ++free_count_;
  ++steps_;
}

/// From here on the key's total and its day have what is in the row.
void TokenTracker::Impl::close(Slot row) {
  const Slot key = rows_[row].key;
  rows_[row].open = false;
  keys_[key].closed.merge(rows_[row].totals);
  const Slot day = find_row(days_, key, day_of(rows_[row].period));
  if (day != kNoSlot) rows_[day].totals.merge(rows_[row].totals);
}

void TokenTracker::Impl::close_all() {
  for (Slot key = 0; key < keys_.size(); ++key) {
    const Slot row = keys_[key].hour;
    if (row != kNoSlot && rows_[row].open) close(row);
  }
}

}  // namespace llmcore
