#include "llmcore/token_tracker.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "llmcore/hash.hpp"
#include "token_tracker_impl.hpp"

namespace llmcore {
namespace {

constexpr std::size_t kLongestName = 256;
constexpr std::int64_t kMostRows = 1'000'000'000;
/// Rows that a call frees for each row that it may have made: more than one, so that what waits to be freed shrinks.
constexpr std::size_t kFreedPerRow = 4;

static_assert(sizeof(RecentCall) == 152 && std::is_trivially_copyable_v<RecentCall>);

constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) noexcept { return a / b - (a % b < 0 ? 1 : 0); }

bool used_anything(Usage usage) noexcept {
  usage.estimated = false;
  return usage != Usage{};
}

void add(UsageTotals& totals, const UsageSample& sample, bool unpriced) {
  totals.calls = add_saturated(totals.calls, 1);
  totals.errors = add_saturated(totals.errors, sample.outcome == Outcome::ok ? 0 : 1);
  totals.cache_hits = add_saturated(totals.cache_hits, sample.cache_hit ? 1 : 0);
  totals.attempts = add_saturated(totals.attempts, sample.attempts);
  totals.usage += sample.usage;
  totals.cost = add_saturated(totals.cost, sample.cost.value_or(0));
  totals.unpriced_calls = add_saturated(totals.unpriced_calls, unpriced ? 1 : 0);
  totals.saved = add_saturated(totals.saved, sample.saved);
  totals.latency.add(sample.latency);
}

/// Eight bytes at a time; which bytes come first in a word does not matter, because no order of rows comes of it.
std::uint64_t hash_of(std::string_view text) noexcept {
  constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15U;
  std::uint64_t hash = text.size() * kOdd;
  while (!text.empty()) {
    std::uint64_t word = 0;
    const std::size_t n = std::min(text.size(), sizeof word);
    std::memcpy(&word, text.data(), n);
    hash = (hash ^ word) * kOdd;
    hash ^= hash >> 29U;
    text.remove_prefix(n);
  }
  return hash ^ (hash >> 32U);
}

/// No more of a name than is kept of it, cut between two characters.
std::string_view held(std::string_view name) noexcept {
  if (name.size() <= kLongestName) return name;
  std::size_t end = kLongestName;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0U) == 0x80U) --end;
  return name.substr(0, end);
}

RecentCall recent_of(const UsageSample& sample, WallTime wall, Slot model, Slot call_type) noexcept {
  RecentCall call;
  call.wall = wall;
  call.latency = sample.latency;
  call.cost = sample.cost.value_or(RecentCall::kNoCost);
  call.saved = sample.saved;
  call.input_uncached = sample.usage.input_uncached;
  call.cache_read = sample.usage.cache_read;
  call.cache_write_5m = sample.usage.cache_write_5m;
  call.cache_write_1h = sample.usage.cache_write_1h;
  call.output_text = sample.usage.output_text;
  call.reasoning = sample.usage.reasoning;
  call.audio_input = sample.usage.audio_input;
  call.audio_cache_read = sample.usage.audio_cache_read;
  call.audio_output = sample.usage.audio_output;
  call.image_input = sample.usage.image_input;
  call.image_output = sample.usage.image_output;
  call.images = sample.usage.images;
  call.web_searches = sample.usage.web_searches;
  call.model = model;
  call.call_type = call_type;
  call.attempts = static_cast<std::uint32_t>(std::clamp<std::int64_t>(sample.attempts, 0, 0xFFFF'FFFF));
  call.outcome = static_cast<std::uint8_t>(sample.outcome);
  call.cache_hit = sample.cache_hit ? 1 : 0;
  call.estimated = sample.usage.estimated ? 1 : 0;
  return call;
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

const char* TokenTrackerConfig::problem() const noexcept {
  if (hours_kept < 1) return "hours_kept must be at least 1, the hour of now";
  if (days_kept < 1) return "days_kept must be at least 1, the day of now";
  if (recent_kept < 0 || recent_kept > kMostRows) return "recent_kept must be between 0 and 1,000,000,000";
  if (max_keys < 1 || max_keys > kMostRows) return "max_keys must be between 1 and 1,000,000,000";
  if (max_rows < 2 || max_rows > kMostRows) return "max_rows must be between 2 and 1,000,000,000";
  return nullptr;
}

TokenTracker::Impl::Impl(const TokenTrackerConfig& config) : config_(config) {
  if (const char* problem = config.problem()) throw std::invalid_argument(std::string("token tracker: ") + problem);
  recent_.reserve(static_cast<std::size_t>(config.recent_kept));
}

// --- names and keys
// ----------------------------------------------------------------------------------------------------------------

Slot TokenTracker::Impl::name_of(std::string_view name, bool make) {
  name = held(name);
  const std::uint64_t hash = hash_of(name);
  const Slot found = name_index_.find(hash, steps_, [&](Slot slot) { return names_[slot] == name; });
  if (found != kNoSlot || !make) return found;
  names_.push(std::string(name));
  return name_index_.insert(hash, steps_);
}

Slot TokenTracker::Impl::find_key(Slot model, Slot call_type, Slot scope) {
  const std::uint64_t hash = mix64(mix64(model, call_type), scope);
  return key_index_.find(hash, steps_, [&](Slot slot) {
    const Key& key = keys_[slot];
    return key.model == model && key.call_type == call_type && key.scope == scope;
  });
}

Slot TokenTracker::Impl::key_of(std::string_view model, std::string_view call_type, std::string_view scope) {
  const bool full = static_cast<std::int64_t>(keys_.size()) >= config_.max_keys;
  const bool is_other = model == kOtherUsage && call_type == kOtherUsage && (scope.empty() || scope == kOtherUsage);
  const bool make = !full || is_other;
  const Slot model_id = name_of(model, make);
  const Slot type_id = name_of(call_type, make);
  const Slot scope_id = scope.empty() ? kNoSlot : name_of(scope, make);
  const bool known = model_id != kNoSlot && type_id != kNoSlot && (scope.empty() || scope_id != kNoSlot);
  const Slot found = known ? find_key(model_id, type_id, scope_id) : kNoSlot;
  if (found != kNoSlot) return found;
  if (!make) {
    stats_.other = add_saturated(stats_.other, 1);
    return key_of(kOtherUsage, kOtherUsage, scope.empty() ? scope : kOtherUsage);
  }
  Key key;
  key.model = model_id;
  key.call_type = type_id;
  key.scope = scope_id;
  keys_.push(std::move(key));
  return key_index_.insert(mix64(mix64(model_id, type_id), scope_id), steps_);
}

const TokenTracker::Impl::Touched& TokenTracker::Impl::touch(const UsageSample& sample) {
  // The next call is often of the same model and call type, and for the same.
  const auto is = [this](Slot id, std::string_view name) { return id != kNoSlot && names_[id] == name; };
  const auto is_of = [&](Slot key) {
    return is(keys_[key].model, sample.model) && is(keys_[key].call_type, sample.call_type);
  };
  const bool same = touched_.count > 0 && is_of(touched_.keys[0]);
  const std::size_t before = same ? touched_.count : 0;
  if (!same) touched_.keys[0] = key_of(sample.model, sample.call_type, {});
  touched_.count = 1;
  for (const std::string_view scope : sample.scopes) {
    if (scope.empty() || touched_.count == touched_.keys.size()) continue;
    const std::size_t at = touched_.count;
    const bool again = at < before && is_of(touched_.keys[at]) && is(keys_[touched_.keys[at]].scope, scope);
    const Slot key = again ? touched_.keys[at] : key_of(sample.model, sample.call_type, scope);
    const auto end = touched_.keys.begin() + static_cast<std::ptrdiff_t>(at);
    if (std::find(touched_.keys.begin(), end, key) == end) touched_.keys[touched_.count++] = key;
  }
  return touched_;
}

// --- counting
// ----------------------------------------------------------------------------------------------------------------

void TokenTracker::Impl::record(const UsageSample& sample, WallTime wall) {
  steps_ = 0;
  const bool unpriced = !sample.cost.has_value() && used_anything(sample.usage);
  add(totals_, sample, unpriced);
  const std::int64_t hour = floor_div(wall, kHour);
  if (!newest_hour_ || hour > *newest_hour_) advance(hour);
  const Touched& touched = touch(sample);
  for (std::size_t i = 0; i < touched.count; ++i) count(touched.keys[i], sample, unpriced, hour);
  if (config_.recent_kept > 0) {
    const Key& key = keys_[touched.keys[0]];
    remember(recent_of(sample, wall, key.model, key.call_type));
  }
  for (std::size_t i = 0; i < kFreedPerRow * touched.count && retired_.count > 0; ++i) free_one();
  stats_.most_steps = std::max(stats_.most_steps, steps_);
}

void TokenTracker::Impl::count(Slot key, const UsageSample& sample, bool unpriced, std::int64_t hour) {
  Slot row = keys_[key].hour;
  if (row != kNoSlot && rows_[row].open) {
    if (rows_[row].period == hour) {
      add(rows_[row].totals, sample, unpriced);
      return;
    }
    if (rows_[row].period < hour) close(row);
  }
  const std::int64_t day = day_of(hour);
  row = find_row(hours_, key, hour);
  if (row == kNoSlot) {
    row_of(days_, key, day);  // first: making room for one row may cost another
    row = row_of(hours_, key, hour);
    if (row != kNoSlot && keys_[key].hour == row) {
      rows_[row].open = true;
      add(rows_[row].totals, sample, unpriced);
      return;
    }
  }
  if (row != kNoSlot) add(rows_[row].totals, sample, unpriced);
  add(keys_[key].closed, sample, unpriced);
  row = row_of(days_, key, day);
  if (row != kNoSlot) add(rows_[row].totals, sample, unpriced);
}

void TokenTracker::Impl::remember(const RecentCall& call) {
  if (recent_.size() < static_cast<std::size_t>(config_.recent_kept)) {
    recent_.push_back(call);
    return;
  }
  recent_[recent_next_] = call;
  if (++recent_next_ == recent_.size()) recent_next_ = 0;
}

// --- the class itself
// ----------------------------------------------------------------------------------------------------------------

TokenTracker::TokenTracker(const TokenTrackerConfig& config) : impl_(std::make_unique<Impl>(config)) {}
TokenTracker::TokenTracker(const TokenTracker& other) : impl_(std::make_unique<Impl>(*other.impl_)) {}
TokenTracker::TokenTracker(TokenTracker&&) noexcept = default;
TokenTracker& TokenTracker::operator=(TokenTracker other) noexcept {
  impl_ = std::move(other.impl_);
  return *this;
}
TokenTracker::~TokenTracker() = default;

void TokenTracker::record(const UsageSample& sample, WallTime wall) { impl_->record(sample, wall); }
void TokenTracker::merge(const TokenTracker& other) {
  if (&other == this) return merge(TokenTracker(other));
  impl_->merge(*other.impl_);
}
const UsageTotals& TokenTracker::totals() const noexcept { return impl_->totals(); }
std::vector<TokenTracker::Row> TokenTracker::rows(UsageWindow window, UsageScope scope) const {
  return impl_->rows(window, scope);
}
std::vector<RecentCall> TokenTracker::recent() const {
  std::vector<RecentCall> calls(impl_->recent_count());
  impl_->copy_recent(calls.data(), calls.size());
  return calls;
}
std::size_t TokenTracker::recent_count() const noexcept { return impl_->recent_count(); }
void TokenTracker::copy_recent(RecentCall* to, std::size_t count) const noexcept { impl_->copy_recent(to, count); }
std::vector<std::string> TokenTracker::names() const { return impl_->names(); }
TokenTracker::Stats TokenTracker::stats() const noexcept { return impl_->stats(); }
const TokenTrackerConfig& TokenTracker::config() const noexcept { return impl_->config(); }

}  // namespace llmcore
