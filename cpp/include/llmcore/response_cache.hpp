// Fingerprint -> immutable value, bounded by entries and by bytes, with a time to live and S3-FIFO eviction.
//
// S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023): a small queue (a tenth) takes
// newcomers, a main queue keeps what was asked for again, a ghost queue remembers the keys that left the small one. A
// value seen once, a scan, never pushes out what is in use.
//
// Get, put and erase are O(1) amortised, expire() is O(1) for each entry it drops; expired entries are also dropped
// when met. Memory of a full cache beside the values and the 32 bytes of each key: at most 110 bytes for each entry,
// the ghosts included. Ghosts are at most nine tenths of max_entries, and at most the entries there are when one is
// added; each is known by 64 bits of its key's hash, so that one in 10^15 newcomers may be taken for it.
//
// Externally synchronised; io/sharded_cache.hpp is for many threads. Deterministic: no hash order decides anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "llmcore/fingerprint.hpp"
#include "llmcore/slot_store.hpp"
#include "llmcore/slot_table.hpp"
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
  /// Figure by figure: two caches seen as one.
  ResponseCacheStats& operator+=(const ResponseCacheStats& other) noexcept;
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

  /// What keys are found by: all bits of the key in all bits of the hash.
  [[nodiscard]] static std::uint64_t hash_of(const Fingerprint& key) noexcept;

 protected:
  using Slot = SlotTable::Slot;
  static constexpr Slot kNone = SlotTable::kNone;

  /// Throws std::invalid_argument when config.problem() names one.
  explicit ResponseCacheIndex(const ResponseCacheConfig& config);
  ~ResponseCacheIndex() = default;

  /// The slot of a key's value, or kNone; counts a hit or a miss.
  [[nodiscard]] Slot find(const Fingerprint& key, Instant now) noexcept;
  /// The same if it is there and will not have aged at `bound`; otherwise kNone, and nothing has changed.
  [[nodiscard]] Slot find_young(const Fingerprint& key, Instant bound) noexcept;
  /// A free slot for a new value of `key`, or kNone when it is larger than the whole cache. Releases the key's old
  /// value and whatever has to go for the new one.
  [[nodiscard]] Slot admit(const Fingerprint& key, std::size_t value_bytes, Instant now);
  /// Forgets all keys and ghosts without releasing their slots one by one. Counters go on.
  void reset() noexcept;

  /// A walk over the values by age: the first slot, and the one after it; kNone at the end.
  [[nodiscard]] Slot oldest() const noexcept { return age_.oldest; }
  [[nodiscard]] Slot after(Slot slot) const noexcept { return nodes_[slot].age.newer; }
  [[nodiscard]] const Fingerprint& key_of(Slot slot) const noexcept { return nodes_[slot].key; }
  [[nodiscard]] bool is_aged(Slot slot, Instant now) const noexcept { return aged(nodes_[slot], now); }

 private:
  enum class Place : std::uint8_t { small, main };
  enum class Change : std::uint8_t { admitted, hit, promoted, reinserted, dropped, returned };
  struct Links {
    Slot older = kNone;
    Slot newer = kNone;
  };
  // All that a look touches, in one line of the processor's cache.
  struct alignas(64) Node {
    Fingerprint key;
    Instant stored_at = 0;
    std::uint64_t bytes : 60 = 0;
    std::uint64_t place : 2 = 0;
    std::uint64_t uses : 2 = 0;  // hits since it came to its place
    Links queue;                 // in the queue of its place; `newer` is the next free slot where there is no value
    Links age;                   // among all, by stored_at
  };
  // A key that left the small queue: nothing but its hash.
  struct Ghost {
    std::uint64_t hash = 0;
    Links queue;
  };
  struct List {
    Slot oldest = kNone;
    Slot newest = kNone;
    std::int64_t count = 0;
  };

  /// The value in this slot is no longer wanted.
  virtual void release(Slot slot) noexcept = 0;

  [[nodiscard]] bool aged(const Node& node, Instant now) const noexcept;
  [[nodiscard]] Slot lookup(const Fingerprint& key, std::uint64_t hash) const noexcept;
  [[nodiscard]] List& queue_of(Place place) noexcept { return place == Place::main ? main_ : small_; }
  void hit(Slot slot, std::uint64_t hash) noexcept;
  void enter(Place place, Slot slot) noexcept;
  void move_to_main(Slot slot) noexcept;
  Slot allocate(const Fingerprint& key, std::uint64_t hash);
  void drop(Slot slot, std::uint64_t hash) noexcept;
  void make_room(std::int64_t bytes, Instant now);
  void evict_or_move_one(Instant now);
  void remember(std::uint64_t hash);
  bool forget(std::uint64_t hash) noexcept;
  void forget_ghost(Slot slot) noexcept;
  void note(Change change, std::uint64_t hash) noexcept;

  ResponseCacheConfig config_;
  ResponseCacheStats stats_;  // `entries`, `bytes` and `ghosts` are those of the lists
  SlotStore<Node> nodes_;
  SlotStore<Ghost> ghosts_;
  SlotTable slot_of_key_;
  SlotTable slot_of_ghost_;
  Slot free_ = kNone;
  Slot free_ghost_ = kNone;
  List small_;
  List main_;
  List age_;
  List ghost_;
  std::int64_t bytes_ = 0;
  std::int64_t bytes_in_small_ = 0;
  std::uint64_t history_ = 0;
};

/// `Value` is immutable, cheap to move, and empty when default-constructed: a shared pointer to bytes. Its size is told
/// at put().
template <class Value>
class ResponseCache final : public ResponseCacheIndex {
 public:
  /// Throws std::invalid_argument when config.problem() names one.
  explicit ResponseCache(const ResponseCacheConfig& config) : ResponseCacheIndex(config) {}

  /// The value of `key`, or nullptr. Valid until the cache is next changed by anything but get().
  [[nodiscard]] const Value* get(const Fingerprint& key, Instant now) noexcept {
    const Slot slot = find(key, now);
    return slot == kNone ? nullptr : &values_[slot];
  }

  /// The same where the entry will not have aged at `bound` either; otherwise nullptr, with nothing counted or changed:
  /// ask get(). For a host to whom a look at an exact clock is dear: a coarse one and a margin decide about all but the
  /// oldest entries.
  [[nodiscard]] const Value* get_young(const Fingerprint& key, Instant bound) noexcept {
    const Slot slot = find_young(key, bound);
    return slot == kNone ? nullptr : &values_[slot];
  }

  /// Keeps `value`, whose age counts from `now`; a value that the key had is replaced. False if it is larger than the
  /// whole cache: then the key has no value. A `now` before that of an earlier put() counts as that one.
  bool put(const Fingerprint& key, Value value, std::size_t value_bytes, Instant now) {
    const Slot slot = admit(key, value_bytes, now);
    if (slot == kNone) return false;
    if (slot == values_.size()) values_.append();
    values_[slot] = std::move(value);
    return true;
  }

  /// Calls `function(key, value)` with everything that has not aged at `now`, the oldest first; counts and changes
  /// nothing. The function must not touch the cache.
  template <class Function>
  void for_each(Instant now, Function&& function) const {
    for (Slot slot = oldest(); slot != kNone; slot = after(slot)) {
      if (!is_aged(slot, now)) function(key_of(slot), values_[slot]);
    }
  }

  /// Forgets everything but the counters.
  void clear() noexcept {
    reset();
    for (std::size_t slot = 0; bin_ != nullptr && slot < values_.size(); ++slot) release(static_cast<Slot>(slot));
    values_.clear();
  }

  /// From now on whatever leaves the cache goes to the end of `bin` (nullptr: it is destroyed on the spot). For an owner
  /// who holds a lock: what a value's destructor does must not happen under it.
  void throw_into(std::vector<Value>* bin) noexcept { bin_ = bin; }

 private:
  void release(Slot slot) noexcept override {
    Value gone = std::exchange(values_[slot], Value{});
    if (bin_ != nullptr) bin_->push_back(std::move(gone));
  }

  SlotStore<Value> values_;  // by slot; empty where a slot is free
  std::vector<Value>* bin_ = nullptr;
};

}  // namespace llmcore
