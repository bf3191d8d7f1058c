// Which entries stay: those that are asked for again, more of them than LRU would keep.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <list>
#include <random>
#include <unordered_map>
#include <vector>

#include "llmcore/response_cache.hpp"
#include "response_cache_cases.hpp"

namespace llmcore {
namespace {

using testing::Cache;
using testing::entries;
using testing::has;
using testing::put;

TEST(ResponseCache, WhatWasAskedForAgainOutlivesAScan) {
  Cache cache(entries(100));
  for (std::uint64_t i = 0; i < 50; ++i) put(cache, i);
  for (std::uint64_t i = 0; i < 50; ++i) EXPECT_TRUE(has(cache, i));
  for (std::uint64_t i = 1000; i < 6000; ++i) put(cache, i);
  for (std::uint64_t i = 0; i < 50; ++i) EXPECT_TRUE(has(cache, i)) << i;
}

TEST(ResponseCache, AKeyThatComesBackSoonAfterItLeftGoesToTheMainQueue) {
  Cache cache(entries(100));
  for (std::uint64_t i = 0; i < 101; ++i) put(cache, i);
  EXPECT_FALSE(has(cache, 0));
  EXPECT_EQ(cache.stats().ghosts, 1);
  put(cache, 0);
  EXPECT_EQ(cache.stats().ghosts, 1) << "its ghost went, and another's came";
  for (std::uint64_t i = 1000; i < 6000; ++i) put(cache, i);
  EXPECT_TRUE(has(cache, 0)) << "a scan passes through the small queue only";
}

TEST(ResponseCache, AReplacedValueKeepsItsStanding) {
  Cache cache(entries(100));
  put(cache, 1);
  EXPECT_TRUE(has(cache, 1));
  put(cache, 1);
  for (std::uint64_t i = 1000; i < 6000; ++i) put(cache, i);
  EXPECT_TRUE(has(cache, 1));
}

/// Hits of a trace of keys on a cache that is filled on every miss.
std::int64_t s3fifo_hits(const std::vector<std::uint64_t>& trace, std::int64_t size) {
  Cache cache(entries(size));
  for (const std::uint64_t key : trace) {
    if (!has(cache, key)) put(cache, key);
  }
  return cache.stats().hits;
}

std::int64_t lru_hits(const std::vector<std::uint64_t>& trace, std::size_t size) {
  std::list<std::uint64_t> order;
  std::unordered_map<std::uint64_t, std::list<std::uint64_t>::iterator> where;
  std::int64_t hits = 0;
  for (const std::uint64_t key : trace) {
    if (const auto it = where.find(key); it != where.end()) {
      ++hits;
      order.splice(order.begin(), order, it->second);
      continue;
    }
    if (order.size() == size) {
      where.erase(order.back());
      order.pop_back();
    }
    order.push_front(key);
    where[key] = order.begin();
  }
  return hits;
}

/// Keys from a Zipf law, with a scan of keys that never come back after every 5,000 of them.
std::vector<std::uint64_t> zipf_trace(double exponent, std::size_t length, std::size_t scan) {
  constexpr std::size_t kKeys = 10'000;
  std::vector<double> sums(kKeys);
  double sum = 0;
  for (std::size_t i = 0; i < kKeys; ++i) sums[i] = sum += 1.0 / std::pow(static_cast<double>(i + 1), exponent);
  std::mt19937_64 random(99);
  std::vector<std::uint64_t> trace;
  std::uint64_t fresh = 1'000'000;
  for (std::size_t i = 0; i < length; ++i) {
    const double at = static_cast<double>(random() >> 11U) / 9007199254740992.0 * sum;
    trace.push_back(static_cast<std::uint64_t>(std::lower_bound(sums.begin(), sums.end(), at) - sums.begin()));
    if (i % 5000 == 4999) {
      for (std::size_t j = 0; j < scan; ++j) trace.push_back(fresh++);
    }
  }
  return trace;
}

TEST(ResponseCache, HitsMoreOftenThanLruWhenScansPassThrough) {
  for (const double exponent : {0.8, 1.0}) {
    const auto trace = zipf_trace(exponent, 60'000, 2000);
    const std::int64_t s3fifo = s3fifo_hits(trace, 1000);
    const std::int64_t lru = lru_hits(trace, 1000);
    EXPECT_GT(s3fifo, lru * 115 / 100) << "exponent " << exponent;
  }
}

TEST(ResponseCache, HitsMoreOftenThanLruWithoutScansToo) {
  for (const double exponent : {0.6, 0.8, 1.0, 1.2}) {
    const auto trace = zipf_trace(exponent, 60'000, 0);
    EXPECT_GT(s3fifo_hits(trace, 500), lru_hits(trace, 500)) << "exponent " << exponent;
  }
}

}  // namespace
}  // namespace llmcore
