#include "llmcore/request_queue.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "llmcore/hash.hpp"

namespace llmcore {
namespace {

constexpr std::size_t index_of(Priority priority) noexcept { return static_cast<std::size_t>(priority); }

// Ids are often consecutive, or far apart by a power of two: every bit of one weighs in the cell that it goes to.
constexpr std::uint32_t hash_of(RequestQueue::Id id) noexcept {
  return static_cast<std::uint32_t>(((id ^ (id >> 32U)) * 0x9e3779b97f4a7c15U) >> 32U);
}

constexpr std::size_t kChildren = 4;

}  // namespace

struct RequestQueue::ByArrival {
  static constexpr Hook Node::* kHook = &Node::arrival;
  static constexpr bool Node::* kInHeap = &Node::arrival_in_heap;
  static Key key_of(const Node& node) noexcept { return {node.seq, node.id}; }
};

struct RequestQueue::ByExpiry {
  static constexpr Hook Node::* kHook = &Node::expiry;
  static constexpr bool Node::* kInHeap = &Node::expiry_in_heap;
  static Key key_of(const Node& node) noexcept {
    constexpr std::uint64_t kSignBit = std::uint64_t{1} << 63U;  // flipped, unsigned order is signed order
    return {static_cast<std::uint64_t>(node.expires_at) ^ kSignBit, node.id};
  }
};

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

// --- the calls -------------------------------------------------------------------------------------------------------

RequestQueue::Admission RequestQueue::push(Id id, Priority priority, Instant deadline, Instant now) {
  const std::uint32_t hash = hash_of(id);
  if (find(id, hash) != kNone) return Admission::duplicate;
  const std::size_t which = index_of(priority);
  if (stats_.waiting[which] >= config_.class_capacity[which]) {
    ++stats_.refused_class;
    return Admission::class_full;
  }
  if (stats_.total >= config_.total_capacity) {
    ++stats_.refused_total;
    return Admission::total_full;
  }
  insert(id, hash, priority, next_seq_++, deadline, now);
  ++stats_.accepted;
  return Admission::accepted;
}

void RequestQueue::restore(Id id, Priority priority, std::uint64_t seq, Instant deadline, Instant now) {
  const std::uint32_t hash = hash_of(id);
  if (find(id, hash) != kNone) return;
  // A seq this queue has not given out yet (its lane was forgotten and made anew): calls still to come stay younger.
  next_seq_ = std::max(next_seq_, seq + 1);
  insert(id, hash, priority, seq, deadline, now);
  ++stats_.restored;
}

Instant RequestQueue::expiry(Priority priority, Instant deadline, Instant now) const noexcept {
  const Duration timeout = config_.class_timeout[index_of(priority)];
  return timeout == 0 ? deadline : std::min(deadline, add_saturated(now, timeout));
}

void RequestQueue::insert(Id id, std::uint32_t hash, Priority priority, std::uint64_t seq, Instant deadline,
                          Instant now) {
  Slot slot = free_;
  if (slot == kNone) {
    slot = static_cast<Slot>(nodes_.size());
    nodes_.emplace_back();
  } else {
    free_ = nodes_[slot].arrival.after;
  }
  Node& node = nodes_[slot];
  node.id = id;
  node.hash = hash;
  node.seq = seq;
  node.queued_at = now;
  node.expires_at = expiry(priority, deadline, now);
  node.priority = priority;
  node.fold = fold_of(node);
  const std::size_t which = index_of(priority);
  slot_of_id_.insert(hash, slot);
  enter<ByArrival>(arrivals_[which], slot);
  if (node.expires_at != kNever) enter<ByExpiry>(expiries_[which], slot);
  fold_ ^= node.fold;
  ++stats_.waiting[which];
  stats_.peak = std::max(stats_.peak, ++stats_.total);
}

RequestQueue::Entry RequestQueue::take(Slot slot) noexcept {
  Node& node = nodes_[slot];
  const std::size_t which = index_of(node.priority);
  slot_of_id_.erase(node.hash, slot);
  leave<ByArrival>(arrivals_[which], slot);
  if (node.expires_at != kNever) leave<ByExpiry>(expiries_[which], slot);
  fold_ ^= node.fold;
  --stats_.waiting[which];
  --stats_.total;
  node.arrival.after = free_;
  free_ = slot;
  return entry_of(slot);
}

RequestQueue::Entry RequestQueue::entry_of(Slot slot) const noexcept {
  const Node& node = nodes_[slot];
  return {node.id, node.priority, node.seq, node.queued_at};
}

std::optional<Priority> RequestQueue::next_class() const noexcept {
  const bool low_is_due = config_.low_share > 0 && since_low_ >= config_.low_share - 1;
  if (low_is_due && stats_.waiting[index_of(Priority::low)] > 0) return Priority::low;
  for (const Priority priority : {Priority::high, Priority::medium, Priority::low}) {
    if (stats_.waiting[index_of(priority)] > 0) return priority;
  }
  return std::nullopt;
}

std::optional<RequestQueue::Entry> RequestQueue::peek() const noexcept {
  const std::optional<Priority> next = next_class();
  if (!next) return std::nullopt;
  return entry_of(first<ByArrival>(arrivals_[index_of(*next)]));
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
  return take(first<ByArrival>(arrivals_[index_of(*next)]));
}

bool RequestQueue::remove(Id id) {
  const Slot slot = find(id, hash_of(id));
  if (slot == kNone) return false;
  take(slot);
  ++stats_.removed;
  return true;
}

std::vector<RequestQueue::Entry> RequestQueue::expire(Instant now) {
  std::vector<Entry> expired;
  for (Slot next = first_to_expire(); next != kNone && nodes_[next].expires_at <= now; next = first_to_expire()) {
    expired.push_back(take(next));
  }
  stats_.expired += static_cast<std::int64_t>(expired.size());
  return expired;
}

Instant RequestQueue::next_expiry() const noexcept {
  const Slot next = first_to_expire();
  return next == kNone ? kNever : nodes_[next].expires_at;
}

RequestQueue::Slot RequestQueue::first_to_expire() const noexcept {
  Slot best = kNone;
  for (const Order& order : expiries_) {
    const Slot slot = first<ByExpiry>(order);
    if (slot == kNone) continue;
    if (best == kNone || ByExpiry::key_of(nodes_[slot]) < ByExpiry::key_of(nodes_[best])) best = slot;
  }
  return best;
}

RequestQueue::Slot RequestQueue::find(Id id, std::uint32_t hash) const noexcept {
  return slot_of_id_.find(hash, [&](Slot slot) { return nodes_[slot].id == id; });
}

bool RequestQueue::contains(Id id) const noexcept { return find(id, hash_of(id)) != kNone; }

std::uint64_t RequestQueue::fold_of(const Node& node) noexcept {
  std::uint64_t hash = mix64(0, node.id);
  hash = mix64(hash, node.priority);
  hash = mix64(hash, node.seq);
  hash = mix64(hash, node.queued_at);
  return mix64(hash, node.expires_at);
}

std::uint64_t RequestQueue::state_hash() const noexcept {
  return mix64(mix64(mix64(mix64(0, fold_), stats_.total), next_seq_), since_low_);
}

// --- the orders ------------------------------------------------------------------------------------------------------

template <class By>
void RequestQueue::enter(Order& order, Slot slot) {
  Node& node = nodes_[slot];
  const Key key = By::key_of(node);
  const bool in_order = order.newest == kNone || By::key_of(nodes_[order.newest]) < key;
  node.*By::kInHeap = !in_order;
  if (!in_order) {
    order.heap.emplace_back();
    sift_up<By>(order, order.heap.size() - 1, {key, slot});
    return;
  }
  node.*By::kHook = {order.newest, kNone};
  (order.newest == kNone ? order.oldest : (nodes_[order.newest].*By::kHook).after) = slot;
  order.newest = slot;
}

template <class By>
void RequestQueue::leave(Order& order, Slot slot) noexcept {
  const Node& node = nodes_[slot];
  const Hook at = node.*By::kHook;
  if (node.*By::kInHeap) {
    const Item last = order.heap.back();
    order.heap.pop_back();
    if (at.before == order.heap.size()) return;  // it was the last itself
    const std::size_t gap = at.before;
    if (gap > 0 && last.key < order.heap[(gap - 1) / kChildren].key) {
      sift_up<By>(order, gap, last);
    } else {
      sift_down<By>(order, gap, last);
    }
    return;
  }
  (at.before == kNone ? order.oldest : (nodes_[at.before].*By::kHook).after) = at.after;
  (at.after == kNone ? order.newest : (nodes_[at.after].*By::kHook).before) = at.before;
}

// Both move a gap at `at` to where `item` belongs, and put it there. A call in the heap knows its position.
template <class By>
void RequestQueue::sift_up(Order& order, std::size_t at, const Item& item) noexcept {
  while (at > 0) {
    const std::size_t parent = (at - 1) / kChildren;
    if (order.heap[parent].key < item.key) break;
    order.heap[at] = order.heap[parent];
    (nodes_[order.heap[at].slot].*By::kHook).before = static_cast<Slot>(at);
    at = parent;
  }
  order.heap[at] = item;
  (nodes_[item.slot].*By::kHook).before = static_cast<Slot>(at);
}

template <class By>
void RequestQueue::sift_down(Order& order, std::size_t at, const Item& item) noexcept {
  const std::size_t size = order.heap.size();
  for (std::size_t child = kChildren * at + 1; child < size; child = kChildren * at + 1) {
    std::size_t least = child;
    for (std::size_t other = child + 1; other < std::min(child + kChildren, size); ++other) {
      if (order.heap[other].key < order.heap[least].key) least = other;
    }
    if (item.key < order.heap[least].key) break;
    order.heap[at] = order.heap[least];
    (nodes_[order.heap[at].slot].*By::kHook).before = static_cast<Slot>(at);
    at = least;
  }
  order.heap[at] = item;
  (nodes_[item.slot].*By::kHook).before = static_cast<Slot>(at);
}

template <class By>
RequestQueue::Slot RequestQueue::first(const Order& order) const noexcept {
  if (order.heap.empty()) return order.oldest;
  if (order.oldest == kNone || order.heap.front().key < By::key_of(nodes_[order.oldest]))
    return order.heap.front().slot;
  return order.oldest;
}

}  // namespace llmcore
