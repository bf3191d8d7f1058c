// Keys and configurations that the tests of the response cache share.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>

#include "llmcore/response_cache.hpp"

namespace llmcore::testing {

using Cache = ResponseCache<std::int64_t>;

constexpr std::int64_t kKeyBytes = 32;

/// A key whose bytes are as uniform as a digest's.
inline Fingerprint key_of(std::uint64_t number) {
  Fingerprint key;
  std::mt19937_64 random(number);
  for (std::size_t i = 0; i < key.bytes.size(); i += 8) {
    std::uint64_t word = random();
    for (std::size_t j = 0; j < 8; ++j, word >>= 8U) key.bytes[i + j] = static_cast<std::uint8_t>(word & 0xffU);
  }
  return key;
}

inline ResponseCacheConfig entries(std::int64_t max_entries, Duration ttl = 0) {
  return {max_entries, std::numeric_limits<std::int64_t>::max(), ttl};
}

inline ResponseCacheConfig bytes(std::int64_t max_bytes) { return {1'000'000, max_bytes, 0}; }

inline bool has(Cache& cache, std::uint64_t key, Instant now = 0) { return cache.get(key_of(key), now) != nullptr; }

inline void put(Cache& cache, std::uint64_t key, Instant now = 0, std::size_t size = 10) {
  ASSERT_TRUE(cache.put(key_of(key), static_cast<std::int64_t>(key), size, now));
}

}  // namespace llmcore::testing
