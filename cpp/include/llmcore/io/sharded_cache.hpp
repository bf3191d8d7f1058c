// A ResponseCache for many threads at once: the keys are spread over shards, each a cache behind a lock of its own.
//
// Thread-safe, all of it: a get() is a lock, a look and a copy of the value (a shared pointer, say). What a value's
// destructor does never happens under a lock, so it may use the cache. Complexity and memory are ResponseCache's.
//
// Each shard has an equal share of the bounds, and S3-FIFO decides within it. So one value may take at most max_bytes /
// shards(), and a shard that many popular keys fall into evicts a little early; keys are spread by a hash of all their
// bytes. Which thread comes first decides what is evicted: an Engine, which must be the same in every replay, has a
// ResponseCache of its own instead.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "llmcore/io/clock.hpp"
#include "llmcore/io/spin_lock.hpp"
#include "llmcore/response_cache.hpp"

namespace llmcore::io {

template <class Value>
class ShardedCache {
 public:
  /// As many shards as asked for or fewer: a power of two, with at least 64 entries in each. Throws
  /// std::invalid_argument when config.problem() names one.
  explicit ShardedCache(const ResponseCacheConfig& config, std::size_t shards = 16) {
    constexpr std::int64_t kFewestEntries = 64;
    std::int64_t count = 1;
    while (count * 2 <= static_cast<std::int64_t>(shards) && config.max_entries / (count * 2) >= kFewestEntries)
      count *= 2;
    shards_.reserve(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) {
      ResponseCacheConfig share = config;
      share.max_entries = config.max_entries / count + (i < config.max_entries % count ? 1 : 0);
      share.max_bytes = config.max_bytes / count;
      shards_.push_back(std::make_unique<Shard>(share));
    }
  }

  /// The value of `key` at `now` (io::mono() where it is left out).
  [[nodiscard]] std::optional<Value> get(const Fingerprint& key, Instant now) {
    return with(key, [&](ResponseCache<Value>& cache) {
      const Value* value = cache.get(key, now);
      return value != nullptr ? std::optional<Value>(*value) : std::nullopt;
    });
  }
  [[nodiscard]] std::optional<Value> get(const Fingerprint& key) { return get(key, io::mono()); }

  /// Keeps `value`; false if it is larger than a whole shard. See ResponseCache::put().
  bool put(const Fingerprint& key, Value value, std::size_t value_bytes, Instant now) {
    return with(key, [&](ResponseCache<Value>& cache) { return cache.put(key, std::move(value), value_bytes, now); });
  }
  bool put(const Fingerprint& key, Value value, std::size_t value_bytes) {
    return put(key, std::move(value), value_bytes, io::mono());
  }

  /// Forgets a key's value; false if there was none.
  bool erase(const Fingerprint& key) {
    return with(key, [&](ResponseCache<Value>& cache) { return cache.erase(key); });
  }

  /// Drops every entry whose time is over at `now`; how many. One shard after the other.
  std::int64_t expire(Instant now) {
    std::int64_t dropped = 0;
    for (const auto& shard : shards_) {
      dropped += locked(*shard, [&](ResponseCache<Value>& cache) { return cache.expire(now); });
    }
    return dropped;
  }

  /// Forgets everything but the counters. One shard after the other.
  void clear() {
    for (const auto& shard : shards_) {
      locked(*shard, [](ResponseCache<Value>& cache) { cache.clear(); });
    }
  }

  /// The sum over all shards, each as it was when its turn came.
  [[nodiscard]] ResponseCacheStats stats() const {
    ResponseCacheStats all;
    for (const auto& shard : shards_) {
      const std::lock_guard<SpinLock> hold(shard->lock);
      all += shard->cache.stats();
    }
    return all;
  }
  [[nodiscard]] std::size_t shards() const noexcept { return shards_.size(); }

 private:
  // A line of the processor's cache of its own: threads at work in two shards do not slow each other down.
  struct alignas(64) Shard {
    explicit Shard(const ResponseCacheConfig& config) : cache(config) {}
    mutable SpinLock lock;
    ResponseCache<Value> cache;
  };

  // While it lives, what leaves the cache goes elsewhere.
  class Bin {
   public:
    Bin(ResponseCache<Value>& cache, std::vector<Value>& gone) : cache_(cache) { cache.throw_into(&gone); }
    ~Bin() { cache_.throw_into(nullptr); }
    Bin(const Bin&) = delete;
    Bin& operator=(const Bin&) = delete;

   private:
    ResponseCache<Value>& cache_;
  };

  template <class Function>
  auto with(const Fingerprint& key, Function&& function) {
    // The high bits: the low ones choose the cell inside a shard.
    const std::uint64_t high = ResponseCacheIndex::hash_of(key) >> 40U;
    return locked(*shards_[high & (shards_.size() - 1)], std::forward<Function>(function));
  }

  template <class Function>
  static auto locked(Shard& shard, Function&& function) {
    std::vector<Value> gone;  // outlives the lock
    const std::lock_guard<SpinLock> hold(shard.lock);
    const Bin bin(shard.cache, gone);
    return std::forward<Function>(function)(shard.cache);
  }

  std::vector<std::unique_ptr<Shard>> shards_;  // a power of two of them
};

}  // namespace llmcore::io
