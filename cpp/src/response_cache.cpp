#include "llmcore/response_cache.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>

#include "llmcore/hash.hpp"

namespace llmcore {
namespace {

constexpr std::int64_t kKeyBytes = sizeof(Fingerprint);
constexpr std::uint8_t kMostUses = 3;
constexpr std::int64_t kMostEntries = 1'000'000'000;  // with as many ghosts, slots still fit in 32 bits
constexpr std::size_t kFewestBuckets = 16;

// The small queue's share of a bound.
constexpr std::int64_t share_of_small(std::int64_t bound) noexcept { return bound / 10; }

}  // namespace

const char* ResponseCacheConfig::problem() const noexcept {
  if (max_entries < 0 || max_entries > kMostEntries) return "max_entries must be between 0 and 1,000,000,000";
  if (max_bytes < 0) return "max_bytes must not be negative; 0 keeps nothing";
  if (ttl < 0) return "ttl must not be negative; 0 keeps entries until they are pushed out";
  return nullptr;
}

std::int64_t ResponseCacheStats::hit_permille() const noexcept {
  const std::int64_t lookups = hits + misses;
  return lookups == 0 ? 0 : hits * 1000 / lookups;
}

ResponseCacheIndex::ResponseCacheIndex(const ResponseCacheConfig& config) : config_(config) {
  if (const char* problem = config.problem()) throw std::invalid_argument(std::string("response cache: ") + problem);
}

bool ResponseCacheIndex::erase(const Fingerprint& key) noexcept {
  const Slot slot = lookup(key);
  if (slot == kNone || nodes_[slot].place == Place::ghost) return false;
  drop(slot);
  return true;
}

std::int64_t ResponseCacheIndex::expire(Instant now) noexcept {
  std::int64_t dropped = 0;
  for (; age_.oldest != kNone && aged(nodes_[age_.oldest], now); ++dropped) drop(age_.oldest);
  stats_.expirations += dropped;
  return dropped;
}

ResponseCacheStats ResponseCacheIndex::stats() const noexcept {
  ResponseCacheStats stats = stats_;
  stats.entries = age_.count;
  stats.bytes = age_.bytes;
  stats.ghosts = ghost_.count;
  return stats;
}

std::uint64_t ResponseCacheIndex::state_hash() const noexcept {
  return mix64(mix64(mix64(history_, age_.count), age_.bytes), ghost_.count);
}

ResponseCacheIndex::Slot ResponseCacheIndex::find(const Fingerprint& key, Instant now) noexcept {
  const Slot slot = lookup(key);
  if (slot != kNone && nodes_[slot].place != Place::ghost) {
    Node& node = nodes_[slot];
    if (!aged(node, now)) {
      ++stats_.hits;
      if (node.uses < kMostUses) {
        ++node.uses;
        note(Change::hit, slot);
      }
      return slot;
    }
    ++stats_.expirations;
    drop(slot);
  }
  ++stats_.misses;
  return kNone;
}

ResponseCacheIndex::Slot ResponseCacheIndex::admit(const Fingerprint& key, std::size_t value_bytes, Instant now) {
  Place place = Place::small;
  std::uint8_t uses = 0;
  const std::int64_t most = config_.max_entries == 0 ? 0 : config_.max_bytes;
  const bool fits = most >= kKeyBytes && value_bytes <= static_cast<std::uint64_t>(most - kKeyBytes);
  if (const Slot old = lookup(key); old != kNone) {
    const Node& node = nodes_[old];
    if (node.place == Place::ghost) {
      place = Place::main;
      if (fits) drop(old);
    } else {
      if (aged(node, now)) {
        ++stats_.expirations;
      } else {
        place = node.place;
        uses = node.uses;
      }
      drop(old);
    }
  }
  if (!fits) {
    ++stats_.rejected;
    return kNone;
  }
  const auto bytes = static_cast<std::int64_t>(value_bytes) + kKeyBytes;
  make_room(bytes, now);
  const Slot slot = allocate(key);
  Node& node = nodes_[slot];
  // Held at the newest so that the ages stay in order even when the clock goes back.
  node.stored_at = age_.newest == kNone ? now : std::max(now, nodes_[age_.newest].stored_at);
  node.bytes = bytes;
  link(age_, &Node::age, slot);
  move_to(place, slot);
  node.uses = uses;
  ++stats_.insertions;
  note(Change::admitted, slot);
  const std::string_view identity(reinterpret_cast<const char*>(key.bytes.data()), key.bytes.size());
  history_ = mix64(mix64(mix64(history_, identity), bytes), node.stored_at);
  return slot;
}

void ResponseCacheIndex::reset() noexcept {
  nodes_.clear();
  buckets_.clear();
  free_ = kNone;
  small_ = main_ = ghost_ = age_ = List{};
  history_ = 0;
}

bool ResponseCacheIndex::aged(const Node& node, Instant now) const noexcept {
  return config_.ttl > 0 && now >= add_saturated(node.stored_at, config_.ttl);
}

std::size_t ResponseCacheIndex::bucket_of(const Fingerprint& key) const noexcept {
  return FingerprintHash{}(key) & (buckets_.size() - 1);
}

ResponseCacheIndex::Slot ResponseCacheIndex::lookup(const Fingerprint& key) const noexcept {
  if (buckets_.empty()) return kNone;
  Slot slot = buckets_[bucket_of(key)];
  while (slot != kNone && nodes_[slot].key != key) slot = nodes_[slot].chain;
  return slot;
}

// --- lists -----------------------------------------------------------------------------------------------------------

ResponseCacheIndex::List& ResponseCacheIndex::queue_of(Place place) noexcept {
  switch (place) {
    case Place::main: return main_;
    case Place::ghost: return ghost_;
    default: return small_;
  }
}

void ResponseCacheIndex::link(List& list, Links Node::* links, Slot slot) noexcept {
  Node& node = nodes_[slot];
  (node.*links).older = list.newest;
  (node.*links).newer = kNone;
  (list.newest == kNone ? list.oldest : (nodes_[list.newest].*links).newer) = slot;
  list.newest = slot;
  ++list.count;
  list.bytes += node.bytes;
}

void ResponseCacheIndex::unlink(List& list, Links Node::* links, Slot slot) noexcept {
  const Node& node = nodes_[slot];
  const Links at = node.*links;
  (at.older == kNone ? list.oldest : (nodes_[at.older].*links).newer) = at.newer;
  (at.newer == kNone ? list.newest : (nodes_[at.newer].*links).older) = at.older;
  --list.count;
  list.bytes -= node.bytes;
}

// To the newest end of a queue, its own included.
void ResponseCacheIndex::move_to(Place place, Slot slot) noexcept {
  Node& node = nodes_[slot];
  if (node.place != Place::nowhere) unlink(queue_of(node.place), &Node::queue, slot);
  node.place = place;
  link(queue_of(place), &Node::queue, slot);
}

// --- nodes -----------------------------------------------------------------------------------------------------------

ResponseCacheIndex::Slot ResponseCacheIndex::allocate(const Fingerprint& key) {
  Slot slot = free_;
  if (slot == kNone) {
    if (nodes_.size() == buckets_.size()) rehash();
    slot = static_cast<Slot>(nodes_.size());
    nodes_.emplace_back();
  } else {
    free_ = nodes_[slot].chain;
  }
  Slot& head = buckets_[bucket_of(key)];
  nodes_[slot].key = key;
  nodes_[slot].chain = head;
  head = slot;
  return slot;
}

// As many buckets as nodes, or up to twice as many. Called when no node is free, so that every one has a key.
void ResponseCacheIndex::rehash() {
  buckets_.assign(std::max(kFewestBuckets, buckets_.size() * 2), kNone);
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Slot& head = buckets_[bucket_of(nodes_[i].key)];
    nodes_[i].chain = head;
    head = static_cast<Slot>(i);
  }
}

void ResponseCacheIndex::drop(Slot slot) noexcept {
  Node& node = nodes_[slot];
  note(Change::dropped, slot);
  unlink(queue_of(node.place), &Node::queue, slot);
  if (node.place != Place::ghost) {
    unlink(age_, &Node::age, slot);
    release(slot);
  }
  Slot* at = &buckets_[bucket_of(node.key)];
  while (*at != slot) at = &nodes_[*at].chain;
  *at = node.chain;
  node.place = Place::nowhere;
  node.chain = free_;
  free_ = slot;
}

// --- eviction --------------------------------------------------------------------------------------------------------

void ResponseCacheIndex::make_room(std::int64_t bytes, Instant now) noexcept {
  while (age_.count >= config_.max_entries || age_.bytes > config_.max_bytes - bytes) evict_or_move_one(now);
}

// One step of S3-FIFO. It ends: a step takes an entry out, or out of the small queue, or spends one of its uses.
void ResponseCacheIndex::evict_or_move_one(Instant now) noexcept {
  const bool small_is_full = small_.count >= std::max<std::int64_t>(1, share_of_small(config_.max_entries)) ||
                             small_.bytes >= share_of_small(config_.max_bytes);
  const bool from_small = small_.count > 0 && (small_is_full || main_.count == 0);
  const Slot slot = from_small ? small_.oldest : main_.oldest;
  Node& node = nodes_[slot];
  if (aged(node, now)) {
    ++stats_.expirations;
    drop(slot);
  } else if (from_small && node.uses > 0) {
    node.uses = 0;
    move_to(Place::main, slot);
    note(Change::promoted, slot);
  } else if (from_small) {
    ++stats_.evictions;
    turn_into_ghost(slot);
  } else if (node.uses > 0) {
    --node.uses;
    move_to(Place::main, slot);
    note(Change::reinserted, slot);
  } else {
    ++stats_.evictions;
    drop(slot);
  }
}

void ResponseCacheIndex::turn_into_ghost(Slot slot) noexcept {
  unlink(age_, &Node::age, slot);
  release(slot);
  move_to(Place::ghost, slot);
  note(Change::ghosted, slot);
  // As many as the main queue may hold, and never more than there are entries: values that fill the cache by their
  // bytes must not leave an army of ghosts.
  const std::int64_t most = std::min(config_.max_entries - share_of_small(config_.max_entries), age_.count);
  while (ghost_.count > most) drop(ghost_.oldest);
}

void ResponseCacheIndex::note(Change change, Slot slot) noexcept {
  history_ = mix64(history_, std::uint64_t{slot} << 3U | static_cast<std::uint64_t>(change));
}

}  // namespace llmcore
