// Fingerprint -> immutable value, bounded by entries and by bytes, with a time to live and S3-FIFO eviction.
//
// S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023): a small queue (a tenth) takes
// newcomers, a main queue keeps what was asked for again, a ghost queue remembers the keys that left the small one. A
// value seen once, a scan, never pushes out what is in use.
//
// Get, put and erase are O(1) amortised, expire() is O(1) for each entry it drops; expired entries are also dropped
// when met. Memory beside the values: about 100 bytes for each entry and for each ghost. Ghosts are at most nine tenths
// of max_entries, and at most the entries there are when one is added.
//
// Externally synchronised. Deterministic: no hash order decides anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "llmcore/fingerprint.hpp"
#include "llmcore/types.hpp"

namespace llmcore {

struct ResponseCacheConfig {
  std::int64_t max_entries = 10'000;           ///< 0: keeps nothing; at most 1,000,000,000
  std::int64_t max_bytes = 256 * 1024 * 1024;  ///< of values and keys together; 0: keeps nothing
  Duration ttl = kHour;                        ///< 0: entries do not age

  /// Nullptr when usable, otherwise what is wrong with it.
  [[nodiscard]] const char* problem() const noexcept;
};

struct ResponseCacheStats {
  std::int64_t hits = 0;
  std::int64_t misses = 0;
  std::int64_t insertions = 0;   ///< replacements included
  std::int64_t evictions = 0;    ///< pushed out by newer ones
  std::int64_t expirations = 0;  ///< aged out
  std::int64_t rejected = 0;     ///< larger than the whole cache
  std::int64_t entries = 0;
  std::int64_t bytes = 0;   ///< of values and keys, as told at put()
  std::int64_t ghosts = 0;  ///< keys remembered without a value

  /// Hits in thousandths of all lookups, rounded down; 0 before the first.
  [[nodiscard]] std::int64_t hit_permille() const noexcept;
};

/// The part of a ResponseCache that does not depend on what it keeps: which keys are in, in which slots, and which
/// leave.
class ResponseCacheIndex {
 public:
  ResponseCacheIndex(const ResponseCacheIndex&) = delete;
  ResponseCacheIndex& operator=(const ResponseCacheIndex&) = delete;

  /// Forgets a key's value; false if there was none.
  bool erase(const Fingerprint& key) noexcept;
  /// Drops every entry whose time is over at `now`; how many.
  std::int64_t expire(Instant now) noexcept;
  [[nodiscard]] ResponseCacheStats stats() const noexcept;
  /// Folds every change ever made since construction or clear(), in order: equal for equal inputs. O(1).
  [[nodiscard]] std::uint64_t state_hash() const noexcept;

 protected:
  using Slot = std::uint32_t;
  static constexpr Slot kNone = std::numeric_limits<Slot>::max();

  /// Throws std::invalid_argument when config.problem() names one.
  explicit ResponseCacheIndex(const ResponseCacheConfig& config);
  ~ResponseCacheIndex() = default;

  /// The slot of a key's value, or kNone; counts a hit or a miss.
  [[nodiscard]] Slot find(const Fingerprint& key, Instant now) noexcept;
  /// A free slot for a new value of `key`, or kNone when it is larger than the whole cache. Releases the key's old
  /// value and whatever has to go for the new one.
  [[nodiscard]] Slot admit(const Fingerprint& key, std::size_t value_bytes, Instant now);
  /// Forgets all keys and ghosts without releasing their slots one by one. Counters go on.
  void reset() noexcept;

 private:
  enum class Place : std::uint8_t { nowhere, small, main, ghost };
  enum class Change : std::uint8_t { admitted, hit, promoted, reinserted, dropped, ghosted };
  struct Links {
    Slot older = kNone;
    Slot newer = kNone;
  };
  struct Node {
    Fingerprint key;
    Instant stored_at = 0;
    std::int64_t bytes = 0;
    Links queue;         // in the queue of its place
    Links age;           // among all that have a value, by stored_at
    Slot chain = kNone;  // next in the same bucket, or next free
    Place place = Place::nowhere;
    std::uint8_t uses = 0;  // hits since it came to its place: 0 to 3
  };
  struct List {
    Slot oldest = kNone;
    Slot newest = kNone;
    std::int64_t count = 0;
    std::int64_t bytes = 0;
  };

  /// The value in this slot is no longer wanted.
  virtual void release(Slot slot) noexcept = 0;

  [[nodiscard]] bool aged(const Node& node, Instant now) const noexcept;
  [[nodiscard]] Slot lookup(const Fingerprint& key) const noexcept;
  [[nodiscard]] std::size_t bucket_of(const Fingerprint& key) const noexcept;
  [[nodiscard]] List& queue_of(Place place) noexcept;
  void link(List& list, Links Node::* links, Slot slot) noexcept;
  void unlink(List& list, Links Node::* links, Slot slot) noexcept;
  void move_to(Place place, Slot slot) noexcept;
  Slot allocate(const Fingerprint& key);
  void drop(Slot slot) noexcept;
  void make_room(std::int64_t bytes, Instant now) noexcept;
  void evict_or_move_one(Instant now) noexcept;
  void turn_into_ghost(Slot slot) noexcept;
  void rehash();
  void note(Change change, Slot slot) noexcept;

  ResponseCacheConfig config_;
  ResponseCacheStats stats_;
  std::vector<Node> nodes_;
  std::vector<Slot> buckets_;  // heads of chains; a power of two of them
  Slot free_ = kNone;
  List small_;
  List main_;
  List ghost_;
  List age_;
  std::uint64_t history_ = 0;
};

/// `Value` is immutable and cheap to move: a shared pointer to bytes. Its size is told at put().
template <class Value>
class ResponseCache final : public ResponseCacheIndex {
 public:
  /// Throws std::invalid_argument when config.problem() names one.
  explicit ResponseCache(const ResponseCacheConfig& config) : ResponseCacheIndex(config) {}

  /// The value of `key`, or nullptr. Valid until the cache is next changed by anything but get().
  [[nodiscard]] const Value* get(const Fingerprint& key, Instant now) noexcept {
    const Slot slot = find(key, now);
    return slot == kNone ? nullptr : &*values_[slot];
  }

  /// Keeps `value`, whose age counts from `now`; a value that the key had is replaced. False if it is larger than the
  /// whole cache: then the key has no value. A `now` before that of an earlier put() counts as that one.
  bool put(const Fingerprint& key, Value value, std::size_t value_bytes, Instant now) {
    const Slot slot = admit(key, value_bytes, now);
    if (slot == kNone) return false;
    if (slot >= values_.size()) values_.resize(std::size_t{slot} + 1);
    values_[slot] = std::move(value);
    return true;
  }

  /// Forgets everything but the counters.
  void clear() noexcept {
    reset();
    values_.clear();
  }

 private:
  void release(Slot slot) noexcept override { values_[slot].reset(); }

  std::vector<std::optional<Value>> values_;  // by slot; empty where a slot is free or a ghost's
};

}  // namespace llmcore
