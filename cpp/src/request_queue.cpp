#include "llmcore/request_queue.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "llmcore/hash.hpp"

namespace llmcore {
namespace {

constexpr std::size_t index_of(Priority priority) noexcept { return static_cast<std::size_t>(priority); }

constexpr std::int64_t signed_size(std::size_t size) noexcept { return static_cast<std::int64_t>(size); }

}  // namespace

RequestQueueConfig RequestQueueConfig::server() noexcept {
  RequestQueueConfig config;
  config.class_capacity = {10'000, 10'000, 10'000};
  config.total_capacity = 10'000;
  config.class_timeout = {0, 0, 0};
  config.low_share = 20;
  return config;
}

const char* RequestQueueConfig::problem() const noexcept {
  for (const std::int64_t capacity : class_capacity) {
    if (capacity < 0) return "class_capacity must not be negative; 0 accepts none of that class";
  }
  if (total_capacity < 0) return "total_capacity must not be negative; 0 accepts no call";
  for (const Duration timeout : class_timeout) {
    if (timeout < 0) return "class_timeout must not be negative; 0 waits as long as the caller's deadline allows";
  }
  if (low_share < 0) return "low_share must not be negative; 0 dispatches in strict order";
  return nullptr;
}

RequestQueue::RequestQueue(const RequestQueueConfig& config) : config_(config) {
  if (const char* problem = config.problem()) throw std::invalid_argument(std::string("request queue: ") + problem);
}

RequestQueue::Admission RequestQueue::push(Id id, Priority priority, Instant deadline, Instant now) {
  if (contains(id)) return Admission::duplicate;
  const std::size_t which = index_of(priority);
  if (signed_size(order_[which].size()) >= config_.class_capacity[which]) {
    ++stats_.refused_class;
    return Admission::class_full;
  }
  if (size() >= config_.total_capacity) {
    ++stats_.refused_total;
    return Admission::total_full;
  }
  insert(id, {priority, next_seq_++, now, expiry(priority, deadline, now)});
  ++stats_.accepted;
  return Admission::accepted;
}

void RequestQueue::restore(Id id, Priority priority, std::uint64_t seq, Instant deadline, Instant now) {
  if (contains(id)) return;
  // A seq this queue has not given out yet (its lane was forgotten and made anew): calls still to come stay younger.
  next_seq_ = std::max(next_seq_, seq + 1);
  insert(id, {priority, seq, now, expiry(priority, deadline, now)});
  ++stats_.restored;
}

Instant RequestQueue::expiry(Priority priority, Instant deadline, Instant now) const noexcept {
  const Duration timeout = config_.class_timeout[index_of(priority)];
  return timeout == 0 ? deadline : std::min(deadline, add_saturated(now, timeout));
}

void RequestQueue::insert(Id id, const Waiting& waiting) {
  waiting_.emplace(id, waiting);
  order_[index_of(waiting.priority)].emplace(waiting.seq, id);
  if (waiting.expires_at != kNever) expiries_.emplace(waiting.expires_at, id);
  fold_ ^= fold(id, waiting);
  stats_.peak = std::max(stats_.peak, size());
}

RequestQueue::Entry RequestQueue::take(Id id) {
  const auto it = waiting_.find(id);
  const Waiting waiting = it->second;
  waiting_.erase(it);
  order_[index_of(waiting.priority)].erase({waiting.seq, id});
  if (waiting.expires_at != kNever) expiries_.erase({waiting.expires_at, id});
  fold_ ^= fold(id, waiting);
  return {id, waiting.priority, waiting.seq, waiting.queued_at};
}

std::optional<Priority> RequestQueue::next_class() const noexcept {
  const bool low_is_due = config_.low_share > 0 && since_low_ >= config_.low_share - 1;
  if (low_is_due && !order_[index_of(Priority::low)].empty()) return Priority::low;
  for (const Priority priority : {Priority::high, Priority::medium, Priority::low}) {
    if (!order_[index_of(priority)].empty()) return priority;
  }
  return std::nullopt;
}

std::optional<RequestQueue::Entry> RequestQueue::peek() const noexcept {
  const std::optional<Priority> next = next_class();
  if (!next) return std::nullopt;
  const Id id = order_[index_of(*next)].begin()->second;
  const Waiting& waiting = waiting_.find(id)->second;
  return Entry{id, waiting.priority, waiting.seq, waiting.queued_at};
}

std::optional<RequestQueue::Entry> RequestQueue::pop() {
  const std::optional<Priority> next = next_class();
  if (!next) return std::nullopt;
  if (*next == Priority::low) {
    since_low_ = 0;
  } else if (since_low_ < config_.low_share - 1) {
    ++since_low_;
  }
  ++stats_.dispatched;
  return take(order_[index_of(*next)].begin()->second);
}

bool RequestQueue::remove(Id id) {
  if (!contains(id)) return false;
  take(id);
  ++stats_.removed;
  return true;
}

std::vector<RequestQueue::Entry> RequestQueue::expire(Instant now) {
  std::vector<Entry> expired;
  while (!expiries_.empty() && expiries_.begin()->first <= now) expired.push_back(take(expiries_.begin()->second));
  stats_.expired += signed_size(expired.size());
  return expired;
}

Instant RequestQueue::next_expiry() const noexcept { return expiries_.empty() ? kNever : expiries_.begin()->first; }

bool RequestQueue::contains(Id id) const noexcept { return waiting_.find(id) != waiting_.end(); }

std::int64_t RequestQueue::size() const noexcept { return signed_size(waiting_.size()); }

RequestQueue::Stats RequestQueue::stats() const noexcept {
  Stats stats = stats_;
  for (std::size_t i = 0; i < kPriorityCount; ++i) stats.waiting[i] = signed_size(order_[i].size());
  stats.total = size();
  return stats;
}

std::uint64_t RequestQueue::fold(Id id, const Waiting& waiting) noexcept {
  std::uint64_t hash = mix64(0, id);
  hash = mix64(hash, waiting.priority);
  hash = mix64(hash, waiting.seq);
  hash = mix64(hash, waiting.queued_at);
  return mix64(hash, waiting.expires_at);
}

std::uint64_t RequestQueue::state_hash() const noexcept {
  return mix64(mix64(mix64(mix64(0, fold_), size()), next_seq_), since_low_);
}

}  // namespace llmcore
