#include "llmcore/response_cache.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <string>

#include "llmcore/hash.hpp"

namespace llmcore {
namespace {

constexpr std::int64_t kKeyBytes = sizeof(Fingerprint);
constexpr std::uint64_t kMostUses = 3;
constexpr std::int64_t kMostEntries = 1'000'000'000;              // slots fit in 32 bits
constexpr std::int64_t kMostBytesOfOne = std::int64_t{1} << 59U;  // what a node can say

// The small queue's share of a bound.
constexpr std::int64_t share_of_small(std::int64_t bound) noexcept { return bound / 10; }

std::uint64_t word_of(const Fingerprint& key, std::size_t number) noexcept {
  std::uint64_t word = 0;
  const std::uint8_t* bytes = key.bytes.data() + sizeof(word) * number;
  if constexpr (std::endian::native == std::endian::little) {
    std::memcpy(&word, bytes, sizeof(word));
  } else {
    for (std::size_t i = 0; i < sizeof(word); ++i) word |= std::uint64_t{bytes[i]} << (8 * i);
  }
  return word;
}

// Inline, where comparing the arrays would call memcmp.
bool same(const Fingerprint& a, const Fingerprint& b) noexcept {
  return ((word_of(a, 0) ^ word_of(b, 0)) | (word_of(a, 1) ^ word_of(b, 1)) | (word_of(a, 2) ^ word_of(b, 2)) |
          (word_of(a, 3) ^ word_of(b, 3))) == 0;
}

constexpr std::uint32_t low_half(std::uint64_t hash) noexcept { return static_cast<std::uint32_t>(hash); }

// Lists of slots: `Links Node::*` says which of a node's links are meant.
template <class List, class Node, class Links, class Slot>
void link(SlotStore<Node>& nodes, List& list, Links Node::* links, Slot slot) noexcept {
  nodes[slot].*links = {list.newest, SlotTable::kNone};
  (list.newest == SlotTable::kNone ? list.oldest : (nodes[list.newest].*links).newer) = slot;
  list.newest = slot;
  ++list.count;
}

template <class List, class Node, class Links, class Slot>
void unlink(SlotStore<Node>& nodes, List& list, Links Node::* links, Slot slot) noexcept {
  const Links at = nodes[slot].*links;
  (at.older == SlotTable::kNone ? list.oldest : (nodes[at.older].*links).newer) = at.newer;
  (at.newer == SlotTable::kNone ? list.newest : (nodes[at.newer].*links).older) = at.older;
  --list.count;
}

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

ResponseCacheStats& ResponseCacheStats::operator+=(const ResponseCacheStats& other) noexcept {
  hits += other.hits;
  misses += other.misses;
  insertions += other.insertions;
  evictions += other.evictions;
  expirations += other.expirations;
  rejected += other.rejected;
  entries += other.entries;
  bytes += other.bytes;
  ghosts += other.ghosts;
  return *this;
}

// Keys that hosts make up themselves may share their first bytes.
std::uint64_t ResponseCacheIndex::hash_of(const Fingerprint& key) noexcept {
  std::uint64_t hash = word_of(key, 0) * 0x9e3779b97f4a7c15U + word_of(key, 1) * 0xc2b2ae3d27d4eb4fU +
                       word_of(key, 2) * 0x165667b19e3779f9U + word_of(key, 3) * 0xd6e8feb86659fd93U;
  hash ^= hash >> 32U;
  hash *= 0xd6e8feb86659fd93U;
  return hash ^ (hash >> 32U);
}

ResponseCacheIndex::ResponseCacheIndex(const ResponseCacheConfig& config) : config_(config) {
  if (const char* problem = config.problem()) throw std::invalid_argument(std::string("response cache: ") + problem);
}

bool ResponseCacheIndex::erase(const Fingerprint& key) noexcept {
  const std::uint64_t hash = hash_of(key);
  const Slot slot = lookup(key, hash);
  if (slot == kNone) return false;
  drop(slot, hash);
  return true;
}

std::int64_t ResponseCacheIndex::expire(Instant now) noexcept {
  std::int64_t dropped = 0;
  for (; age_.oldest != kNone && aged(nodes_[age_.oldest], now); ++dropped) {
    drop(age_.oldest, hash_of(nodes_[age_.oldest].key));
  }
  stats_.expirations += dropped;
  return dropped;
}

ResponseCacheStats ResponseCacheIndex::stats() const noexcept {
  ResponseCacheStats stats = stats_;
  stats.entries = age_.count;
  stats.bytes = bytes_;
  stats.ghosts = ghost_.count;
  return stats;
}

std::uint64_t ResponseCacheIndex::state_hash() const noexcept {
  return mix64(mix64(mix64(history_, age_.count), bytes_), ghost_.count);
}

ResponseCacheIndex::Slot ResponseCacheIndex::find(const Fingerprint& key, Instant now) noexcept {
  const std::uint64_t hash = hash_of(key);
  const Slot slot = lookup(key, hash);
  if (slot != kNone) {
    if (!aged(nodes_[slot], now)) {
      hit(slot, hash);
      return slot;
    }
    ++stats_.expirations;
    drop(slot, hash);
  }
  ++stats_.misses;
  return kNone;
}

ResponseCacheIndex::Slot ResponseCacheIndex::find_young(const Fingerprint& key, Instant bound) noexcept {
  const std::uint64_t hash = hash_of(key);
  const Slot slot = lookup(key, hash);
  if (slot == kNone || aged(nodes_[slot], bound)) return kNone;
  hit(slot, hash);
  return slot;
}

void ResponseCacheIndex::hit(Slot slot, std::uint64_t hash) noexcept {
  Node& node = nodes_[slot];
  ++stats_.hits;
  if (node.uses < kMostUses) {
    ++node.uses;
    note(Change::hit, hash);
  }
}

ResponseCacheIndex::Slot ResponseCacheIndex::admit(const Fingerprint& key, std::size_t value_bytes, Instant now) {
  Place place = Place::small;
  std::uint64_t uses = 0;
  const std::int64_t most = config_.max_entries == 0 ? 0 : std::min(config_.max_bytes, kMostBytesOfOne);
  const bool fits = most >= kKeyBytes && value_bytes <= static_cast<std::uint64_t>(most - kKeyBytes);
  const std::uint64_t hash = hash_of(key);
  if (const Slot old = lookup(key, hash); old != kNone) {
    const Node& node = nodes_[old];
    if (aged(node, now)) {
      ++stats_.expirations;
    } else {
      place = static_cast<Place>(node.place);
      uses = node.uses;
    }
    drop(old, hash);
  } else if (fits && forget(hash)) {
    place = Place::main;
  }
  if (!fits) {
    ++stats_.rejected;
    return kNone;
  }
  const auto bytes = static_cast<std::int64_t>(value_bytes) + kKeyBytes;
  make_room(bytes, now);
  const Slot slot = allocate(key, hash);
  Node& node = nodes_[slot];
  // Held at the newest so that the ages stay in order even when the clock goes back.
  node.stored_at = age_.newest == kNone ? now : std::max(now, nodes_[age_.newest].stored_at);
  node.bytes = static_cast<std::uint64_t>(bytes) & (~std::uint64_t{0} >> 4U);
  node.uses = uses & kMostUses;
  link(nodes_, age_, &Node::age, slot);
  enter(place, slot);
  bytes_ += bytes;
  ++stats_.insertions;
  note(Change::admitted, mix64(mix64(hash, bytes), node.stored_at));
  return slot;
}

void ResponseCacheIndex::reset() noexcept {
  nodes_.clear();
  ghosts_.clear();
  slot_of_key_.clear();
  slot_of_ghost_.clear();
  free_ = free_ghost_ = kNone;
  small_ = main_ = age_ = ghost_ = List{};
  bytes_ = bytes_in_small_ = 0;
  history_ = 0;
}

bool ResponseCacheIndex::aged(const Node& node, Instant now) const noexcept {
  return config_.ttl > 0 && now >= add_saturated(node.stored_at, config_.ttl);
}

ResponseCacheIndex::Slot ResponseCacheIndex::lookup(const Fingerprint& key, std::uint64_t hash) const noexcept {
  return slot_of_key_.find(low_half(hash), [&](Slot slot) { return same(nodes_[slot].key, key); });
}

// --- entries ---------------------------------------------------------------------------------------------------------

// To the newest end of a queue.
void ResponseCacheIndex::enter(Place place, Slot slot) noexcept {
  Node& node = nodes_[slot];
  node.place = static_cast<std::uint64_t>(place) & 1U;
  if (place == Place::small) bytes_in_small_ += static_cast<std::int64_t>(node.bytes);
  link(nodes_, queue_of(place), &Node::queue, slot);
}

void ResponseCacheIndex::move_to_main(Slot slot) noexcept {
  const Node& node = nodes_[slot];
  const auto place = static_cast<Place>(node.place);
  if (place == Place::small) bytes_in_small_ -= static_cast<std::int64_t>(node.bytes);
  unlink(nodes_, queue_of(place), &Node::queue, slot);
  enter(Place::main, slot);
}

ResponseCacheIndex::Slot ResponseCacheIndex::allocate(const Fingerprint& key, std::uint64_t hash) {
  Slot slot = free_;
  if (slot == kNone) {
    slot = static_cast<Slot>(nodes_.size());
    nodes_.append();
  } else {
    free_ = nodes_[slot].queue.newer;
  }
  nodes_[slot].key = key;
  slot_of_key_.insert(low_half(hash), slot);
  return slot;
}

void ResponseCacheIndex::drop(Slot slot, std::uint64_t hash) noexcept {
  Node& node = nodes_[slot];
  note(Change::dropped, hash);
  const auto place = static_cast<Place>(node.place);
  if (place == Place::small) bytes_in_small_ -= static_cast<std::int64_t>(node.bytes);
  bytes_ -= static_cast<std::int64_t>(node.bytes);
  unlink(nodes_, queue_of(place), &Node::queue, slot);
  unlink(nodes_, age_, &Node::age, slot);
  slot_of_key_.erase(low_half(hash), slot);
  node.queue.newer = free_;
  free_ = slot;
  release(slot);
}

// --- eviction --------------------------------------------------------------------------------------------------------

void ResponseCacheIndex::make_room(std::int64_t bytes, Instant now) {
  while (age_.count >= config_.max_entries || bytes_ > config_.max_bytes - bytes) evict_or_move_one(now);
}

// One step of S3-FIFO. It ends: a step takes an entry out, or out of the small queue, or spends one of its uses.
void ResponseCacheIndex::evict_or_move_one(Instant now) {
  const bool small_is_full = small_.count >= std::max<std::int64_t>(1, share_of_small(config_.max_entries)) ||
                             bytes_in_small_ >= share_of_small(config_.max_bytes);
  const bool from_small = small_.count > 0 && (small_is_full || main_.count == 0);
  const Slot slot = from_small ? small_.oldest : main_.oldest;
  Node& node = nodes_[slot];
  const std::uint64_t hash = hash_of(node.key);
  if (aged(node, now)) {
    ++stats_.expirations;
    drop(slot, hash);
  } else if (from_small && node.uses > 0) {
    node.uses = 0;
    move_to_main(slot);
    note(Change::promoted, hash);
  } else if (from_small) {
    ++stats_.evictions;
    drop(slot, hash);
    remember(hash);
  } else if (node.uses > 0) {
    --node.uses;
    move_to_main(slot);
    note(Change::reinserted, hash);
  } else {
    ++stats_.evictions;
    drop(slot, hash);
  }
}

// --- ghosts ----------------------------------------------------------------------------------------------------------

void ResponseCacheIndex::remember(std::uint64_t hash) {
  const auto most_ever = config_.max_entries - share_of_small(config_.max_entries);
  // As many as the main queue may hold, and never more than there are entries: values that fill the cache by their
  // bytes must not leave an army of ghosts.
  const std::int64_t most = std::min(most_ever, age_.count);
  while (ghost_.count > 0 && ghost_.count >= most) forget_ghost(ghost_.oldest);
  if (most == 0) return;
  Slot slot = free_ghost_;
  if (slot == kNone) {
    slot = static_cast<Slot>(ghosts_.size());
    ghosts_.append();
  } else {
    free_ghost_ = ghosts_[slot].queue.newer;
  }
  ghosts_[slot].hash = hash;
  link(ghosts_, ghost_, &Ghost::queue, slot);
  slot_of_ghost_.insert(low_half(hash), slot);
}

// Whether there was such a ghost.
bool ResponseCacheIndex::forget(std::uint64_t hash) noexcept {
  const Slot slot = slot_of_ghost_.find(low_half(hash), [&](Slot at) { return ghosts_[at].hash == hash; });
  if (slot == kNone) return false;
  note(Change::returned, hash);
  forget_ghost(slot);
  return true;
}

void ResponseCacheIndex::forget_ghost(Slot slot) noexcept {
  Ghost& ghost = ghosts_[slot];
  slot_of_ghost_.erase(low_half(ghost.hash), slot);
  unlink(ghosts_, ghost_, &Ghost::queue, slot);
  ghost.queue.newer = free_ghost_;
  free_ghost_ = slot;
}

void ResponseCacheIndex::note(Change change, std::uint64_t hash) noexcept {
  history_ = mix64(history_, hash + static_cast<std::uint64_t>(change));
}

}  // namespace llmcore
