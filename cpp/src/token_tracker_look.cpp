#include <algorithm>
#include <tuple>
#include <utility>

#include "token_tracker_impl.hpp"

namespace llmcore {

// --- two trackers
// ----------------------------------------------------------------------------------------------------------------

void TokenTracker::Impl::merge(const Impl& other) {
  if (!other.newest_hour_) return;
  steps_ = 0;
  close_all();
  totals_.merge(other.totals_);
  if (!newest_hour_ || *other.newest_hour_ > *newest_hour_) advance(*other.newest_hour_);

  std::vector<Slot> key_here;
  key_here.reserve(other.keys_.size());
  const auto name = [&other](Slot id) {
    return id == kNoSlot ? std::string_view() : std::string_view(other.names_[id]);
  };
  for (Slot at = 0; at < other.keys_.size(); ++at) {
    const Key& theirs = other.keys_[at];
    const Slot key = key_of(name(theirs.model), name(theirs.call_type), name(theirs.scope));
    key_here.push_back(key);
    keys_[key].closed.merge(theirs.closed);
    if (theirs.hour == kNoSlot || !other.rows_[theirs.hour].open) continue;
    const WindowRow& open = other.rows_[theirs.hour];
    keys_[key].closed.merge(open.totals);
    const Slot day = row_of(days_, key, day_of(open.period));
    if (day != kNoSlot) rows_[day].totals.merge(open.totals);
  }
  for (const auto& [from, to] : {std::pair{&other.days_, &days_}, std::pair{&other.hours_, &hours_}}) {
    for (const auto& [period, chain] : from->by_period) {
      for (Slot at = chain.first; at != kNoSlot; at = other.rows_[at].next) {
        const Slot row = row_of(*to, key_here[other.rows_[at].key], period);
        if (row != kNoSlot) rows_[row].totals.merge(other.rows_[at].totals);
      }
    }
  }
  stats_.other = add_saturated(stats_.other, other.stats_.other);
  merge_recent(other);
}

void TokenTracker::Impl::merge_recent(const Impl& other) {
  std::vector<RecentCall> all(recent_.size() + other.recent_.size());
  copy_recent(all.data(), recent_.size());
  const auto theirs = all.begin() + static_cast<std::ptrdiff_t>(recent_.size());
  other.copy_recent(all.data() + recent_.size(), other.recent_.size());
  const auto id_here = [&](std::uint32_t id) {
    const Slot known = name_of(other.names_[id], false);
    return known != kNoSlot ? known : name_of(kOtherUsage, true);
  };
  for (auto call = theirs; call != all.end(); ++call) {
    call->model = id_here(call->model);
    call->call_type = id_here(call->call_type);
  }
  std::stable_sort(all.begin(), all.end(), [](const RecentCall& a, const RecentCall& b) { return a.wall < b.wall; });
  recent_.clear();
  recent_next_ = 0;
  const auto kept = std::min(all.size(), static_cast<std::size_t>(config_.recent_kept));
  recent_.assign(all.end() - static_cast<std::ptrdiff_t>(kept), all.end());
}

// --- reading
// ----------------------------------------------------------------------------------------------------------------

std::vector<TokenTracker::Row> TokenTracker::Impl::rows(UsageWindow window, UsageScope scope) const {
  struct Found {
    std::int64_t period;
    const Key* key;
    const UsageTotals* totals;
  };
  std::vector<Found> found;
  const auto open_row = [this](const Key& key) -> const WindowRow* {
    return key.hour != kNoSlot && rows_[key.hour].open ? &rows_[key.hour] : nullptr;
  };
  const auto wanted = [scope](const Key& key) { return (key.scope != kNoSlot) == (scope == UsageScope::each); };
  if (window == UsageWindow::all) {
    for (Slot slot = 0; slot < keys_.size(); ++slot) {
      if (wanted(keys_[slot])) found.push_back({0, &keys_[slot], &keys_[slot].closed});
    }
  } else {
    for (const auto& [period, chain] : (window == UsageWindow::hour ? hours_ : days_).by_period) {
      for (Slot slot = chain.first; slot != kNoSlot; slot = rows_[slot].next) {
        const Key& key = keys_[rows_[slot].key];
        if (wanted(key)) found.push_back({period, &key, &rows_[slot].totals});
      }
    }
  }

  const auto name = [this](Slot id) { return id == kNoSlot ? std::string_view() : std::string_view(names_[id]); };
  std::sort(found.begin(), found.end(), [&name](const Found& a, const Found& b) {
    const auto order = [&name](const Found& one) {
      return std::tuple(one.period, name(one.key->model), name(one.key->call_type), name(one.key->scope));
    };
    return order(a) < order(b);
  });
  std::vector<Row> rows;
  rows.reserve(found.size());
  for (const Found& one : found) {
    Row row{.model = std::string(name(one.key->model)),
            .call_type = std::string(name(one.key->call_type)),
            .scope = std::string(name(one.key->scope)),
            .period = one.period,
            .totals = *one.totals};
    const WindowRow* open = open_row(*one.key);
    const bool missing = open != nullptr && (window == UsageWindow::all ||
                                             (window == UsageWindow::day && day_of(open->period) == one.period));
    if (missing) row.totals.merge(open->totals);
    rows.push_back(std::move(row));
  }
  return rows;
}

void TokenTracker::Impl::copy_recent(RecentCall* to, std::size_t count) const noexcept {
  count = std::min(count, recent_.size());
  if (count == 0) return;
  // The ring from its oldest on: [next, end) and then [0, next). The last `count` of that.
  const std::size_t newer = std::min(count, recent_next_);
  const std::size_t older = count - newer;
  std::copy_n(recent_.end() - static_cast<std::ptrdiff_t>(older), older, to);
  std::copy_n(recent_.begin() + static_cast<std::ptrdiff_t>(recent_next_ - newer), newer, to + older);
}

std::vector<std::string> TokenTracker::Impl::names() const {
  std::vector<std::string> names;
  names.reserve(names_.size());
  for (Slot id = 0; id < names_.size(); ++id) names.push_back(names_[id]);
  return names;
}

TokenTracker::Stats TokenTracker::Impl::stats() const noexcept {
  Stats stats = stats_;
  stats.keys = static_cast<std::int64_t>(keys_.size());
  stats.rows = static_cast<std::int64_t>(rows_.size()) - free_count_;
  stats.retired = retired_.count;
  return stats;
}

}  // namespace llmcore
