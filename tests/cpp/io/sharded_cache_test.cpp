#include "llmcore/io/sharded_cache.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace llmcore::io {
namespace {

using Text = std::shared_ptr<const std::string>;
using Cache = ShardedCache<Text>;

Fingerprint key_of(std::uint64_t number) { return fingerprint("default", "", "", std::to_string(number)); }

Text text_of(std::uint64_t number) { return std::make_shared<const std::string>("answer " + std::to_string(number)); }

ResponseCacheConfig entries(std::int64_t count, Duration ttl = 0) {
  return {count, std::numeric_limits<std::int64_t>::max(), ttl};
}

TEST(ShardedCache, GivesBackWhatWasPutWhicheverShardItFellInto) {
  Cache cache(entries(10'000));
  EXPECT_EQ(cache.shards(), 16U);
  for (std::uint64_t i = 0; i < 500; ++i) EXPECT_TRUE(cache.put(key_of(i), text_of(i), 10, 0));
  for (std::uint64_t i = 0; i < 500; ++i) EXPECT_EQ(**cache.get(key_of(i), 0), *text_of(i));
  EXPECT_FALSE(cache.get(key_of(500), 0));
  EXPECT_TRUE(cache.erase(key_of(7)));
  EXPECT_FALSE(cache.erase(key_of(7)));
  const ResponseCacheStats stats = cache.stats();
  EXPECT_EQ(stats.hits, 500);
  EXPECT_EQ(stats.misses, 1);
  EXPECT_EQ(stats.insertions, 500);
  EXPECT_EQ(stats.entries, 499);
  EXPECT_EQ(stats.bytes, 499 * (10 + 32));
  cache.clear();
  EXPECT_EQ(cache.stats().entries, 0);
  EXPECT_FALSE(cache.get(key_of(1), 0));
}

TEST(ShardedCache, TheSharesAddUpToTheBoundAndNoShardIsTooSmallToDecide) {
  for (const std::int64_t bound : {0, 1, 63, 64, 127, 128, 200, 1000, 1037}) {
    Cache cache(entries(bound));
    EXPECT_LE(cache.shards() * 64, std::max<std::size_t>(64, static_cast<std::size_t>(bound)));
    for (std::uint64_t i = 0; i < 5000; ++i) cache.put(key_of(i), nullptr, 1, 0);
    EXPECT_EQ(cache.stats().entries, bound) << bound;
  }
  EXPECT_EQ(Cache(entries(10'000), 1).shards(), 1U);
  EXPECT_EQ(Cache(entries(10'000), 5).shards(), 4U);
  EXPECT_THROW(Cache(entries(-1)), std::invalid_argument);
}

TEST(ShardedCache, AValueMayTakeAShareOfTheBytes) {
  Cache cache({10'000, 16'000, 0});
  EXPECT_TRUE(cache.put(key_of(1), nullptr, 1000 - 32, 0));
  EXPECT_FALSE(cache.put(key_of(1), nullptr, 1000 - 31, 0));
  EXPECT_FALSE(cache.get(key_of(1), 0));
  EXPECT_EQ(cache.stats().rejected, 1);
}

TEST(ShardedCache, EntriesAgeByTheTimeHandedInOrByTheClock) {
  Cache cache(entries(1000, 100));
  for (std::uint64_t i = 0; i < 50; ++i) cache.put(key_of(i), text_of(i), 1, static_cast<Instant>(i));
  EXPECT_EQ(cache.expire(109), 10);
  EXPECT_FALSE(cache.get(key_of(10), 110));
  EXPECT_TRUE(cache.get(key_of(11), 110));
  Cache lasting(entries(1000, kHour));
  lasting.put(key_of(1), text_of(1), 1);
  EXPECT_TRUE(lasting.get(key_of(1)));
  EXPECT_FALSE(lasting.get(key_of(1), now().mono + kHour));
}

// A value that uses the cache when it goes: with its lock held it would wait for itself for ever.
TEST(ShardedCache, DestructorsOfValuesMayUseTheCache) {
  struct Nosy {
    explicit Nosy(ShardedCache<std::shared_ptr<Nosy>>& of) : cache(of) {}
    ~Nosy() { (void)cache.stats(); }
    ShardedCache<std::shared_ptr<Nosy>>& cache;
  };
  ShardedCache<std::shared_ptr<Nosy>> cache(entries(64, 10), 1);
  const auto put = [&](std::uint64_t number, Instant now) {
    cache.put(key_of(number), std::make_shared<Nosy>(cache), 1, now);
  };
  for (std::uint64_t i = 0; i < 200; ++i) put(i, 0);
  EXPECT_GT(cache.stats().evictions, 0);
  put(199, 0);
  cache.erase(key_of(199));
  EXPECT_GT(cache.expire(10), 0);
  put(1, 10);
  EXPECT_FALSE(cache.get(key_of(1), 20));
  put(2, 20);
  cache.clear();
  EXPECT_EQ(cache.stats().entries, 0);
}

TEST(ShardedCache, EightThreadsNeverMeetAWrongValueAndEveryLookIsCounted) {
  constexpr std::uint64_t kThreads = 8;
  constexpr std::uint64_t kEach = 4000;
  constexpr std::uint64_t kKeys = 600;
  std::vector<Fingerprint> keys;
  std::vector<Text> texts;
  for (std::uint64_t i = 0; i < kKeys; ++i) {
    keys.push_back(key_of(i));
    texts.push_back(text_of(i));
  }
  Cache cache(entries(400, 1000), 4);
  std::atomic<std::int64_t> hits{0};
  std::atomic<std::int64_t> looks{0};
  std::atomic<std::int64_t> puts{0};
  std::atomic<bool> wrong{false};
  std::vector<std::thread> threads;
  for (std::uint64_t number = 0; number < kThreads; ++number) {
    threads.emplace_back([&, number] {
      std::uint64_t random = number + 1;
      for (std::uint64_t i = 0; i < kEach; ++i) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        const std::uint64_t which = (random >> 33U) % kKeys;
        const auto now = static_cast<Instant>(i);
        ++looks;
        if (const auto found = cache.get(keys[which], now)) {
          ++hits;
          if (**found != *texts[which]) wrong = true;
        } else {
          cache.put(keys[which], std::make_shared<const std::string>(*texts[which]), 10, now);
          ++puts;
        }
        if (i % 97 == 0) cache.erase(keys[(which + 1) % kKeys]);
        if (i % 501 == 0) cache.expire(now);
        if (i % 1999 == number) cache.clear();
        if (i % 301 == 0 && cache.stats().entries > 400) wrong = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(wrong);
  const ResponseCacheStats stats = cache.stats();
  EXPECT_EQ(stats.hits, hits);
  EXPECT_EQ(stats.hits + stats.misses, looks);
  EXPECT_EQ(stats.insertions, puts);
  EXPECT_GT(stats.hits, 0);
  EXPECT_GT(stats.evictions, 0);
}

}  // namespace
}  // namespace llmcore::io
