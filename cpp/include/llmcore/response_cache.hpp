// Fingerprint -> immutable value, bounded by entries and by bytes, with a time to live and S3-FIFO eviction.
//
// S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023): a small queue (a tenth) takes newcomers, a
// main queue keeps what was asked for again, a ghost queue remembers the keys that left the small one. A value seen once, a
// scan, never pushes out what is in use. Get and put are O(1) amortised. Expired entries are dropped when met.
// Externally synchronised. Deterministic: no hash order decides anything.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "llmcore/fingerprint.hpp"
#include "llmcore/types.hpp"

namespace llmcore {

struct ResponseCacheConfig {
  std::int64_t max_entries = 10'000;
  std::int64_t max_bytes = 256 * 1024 * 1024;  ///< of values and keys together
  Duration ttl = kHour;                        ///< 0: entries do not age

  /// Nullptr when usable, otherwise what is wrong with it.
  [[nodiscard]] const char* problem() const noexcept;
};

struct ResponseCacheStats {
  std::int64_t hits = 0;
  std::int64_t misses = 0;
  std::int64_t insertions = 0;
  std::int64_t evictions = 0;    ///< pushed out by newer ones
  std::int64_t expirations = 0;  ///< aged out
  std::int64_t rejected = 0;     ///< larger than the whole cache
  std::int64_t entries = 0;
  std::int64_t bytes = 0;

  /// Hits in thousandths of all lookups; 0 before the first.
  [[nodiscard]] std::int64_t hit_permille() const noexcept;
};

/// `Value` is cheap to copy and immutable: a shared pointer to bytes. Its size is told at put().
template <class Value>
class ResponseCache;  // see the definition below

}  // namespace llmcore
