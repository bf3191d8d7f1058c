// What the cache keeps, within which bounds and for how long.
#include "llmcore/response_cache.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "response_cache_cases.hpp"

namespace llmcore {
namespace {

using testing::bytes;
using testing::Cache;
using testing::entries;
using testing::has;
using testing::key_of;
using testing::kKeyBytes;
using testing::put;

// --- configuration ---------------------------------------------------------------------------------------------------

TEST(ResponseCacheConfig, TheDefaultIsUsable) { EXPECT_EQ(ResponseCacheConfig{}.problem(), nullptr); }

TEST(ResponseCacheConfig, EveryBadFieldIsNamedAndTheConstructorThrowsWithIt) {
  std::map<std::string, ResponseCacheConfig> bad;
  bad["max_entries"].max_entries = -1;
  bad["max_entries must"].max_entries = 1'000'000'001;
  bad["max_bytes"].max_bytes = -1;
  bad["ttl"].ttl = -1;
  for (const auto& [field, config] : bad) {
    ASSERT_NE(config.problem(), nullptr) << field;
    EXPECT_NE(std::string(config.problem()).find(field), std::string::npos) << config.problem();
    try {
      const Cache cache(config);
      FAIL() << field << " was accepted";
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find(config.problem()), std::string::npos) << error.what();
    }
  }
}

// --- what it keeps ---------------------------------------------------------------------------------------------------

TEST(ResponseCache, GivesBackWhatWasPutAndCountsHitsAndMisses) {
  Cache cache(entries(10));
  EXPECT_EQ(cache.stats().hit_permille(), 0);
  EXPECT_EQ(cache.get(key_of(1), 0), nullptr);
  put(cache, 1);
  put(cache, 2);
  ASSERT_NE(cache.get(key_of(1), 0), nullptr);
  EXPECT_EQ(*cache.get(key_of(1), 0), 1);
  EXPECT_EQ(*cache.get(key_of(2), 0), 2);
  EXPECT_EQ(cache.get(key_of(3), 0), nullptr);
  const ResponseCacheStats stats = cache.stats();
  EXPECT_EQ(stats.hits, 3);
  EXPECT_EQ(stats.misses, 2);
  EXPECT_EQ(stats.hit_permille(), 600);
  EXPECT_EQ(stats.insertions, 2);
  EXPECT_EQ(stats.entries, 2);
  EXPECT_EQ(stats.bytes, 2 * (10 + kKeyBytes));
}

TEST(ResponseCache, KeysThatShareTheirFirstBytesStayApart) {
  Cache cache(entries(100));
  Fingerprint key;
  for (std::uint8_t i = 0; i < 50; ++i) {
    key.bytes[31] = i;
    EXPECT_TRUE(cache.put(key, i, 1, 0));
  }
  for (std::uint8_t i = 0; i < 50; ++i) {
    key.bytes[31] = i;
    const std::int64_t* value = cache.get(key, 0);
    ASSERT_NE(value, nullptr);
    EXPECT_EQ(*value, i);
  }
  key.bytes[31] = 20;
  EXPECT_TRUE(cache.erase(key));
  EXPECT_EQ(cache.get(key, 0), nullptr);
  key.bytes[31] = 21;
  EXPECT_NE(cache.get(key, 0), nullptr);
}

TEST(ResponseCache, ReplacesTheValueOfAKey) {
  Cache cache(entries(10));
  EXPECT_TRUE(cache.put(key_of(1), 111, 100, 0));
  EXPECT_TRUE(cache.put(key_of(1), 222, 7, 0));
  EXPECT_EQ(*cache.get(key_of(1), 0), 222);
  EXPECT_EQ(cache.stats().entries, 1);
  EXPECT_EQ(cache.stats().bytes, 7 + kKeyBytes);
  EXPECT_EQ(cache.stats().insertions, 2);
  EXPECT_EQ(cache.stats().evictions, 0);
}

TEST(ResponseCache, EraseForgetsAValue) {
  Cache cache(entries(10));
  put(cache, 1);
  EXPECT_TRUE(cache.erase(key_of(1)));
  EXPECT_FALSE(cache.erase(key_of(1)));
  EXPECT_FALSE(cache.erase(key_of(2)));
  EXPECT_FALSE(has(cache, 1));
  EXPECT_EQ(cache.stats().entries, 0);
  EXPECT_EQ(cache.stats().bytes, 0);
}

TEST(ResponseCache, ClearForgetsEverythingButTheCounters) {
  Cache cache(entries(10));
  const auto fresh = cache.state_hash();
  for (std::uint64_t i = 0; i < 30; ++i) put(cache, i);
  EXPECT_TRUE(has(cache, 29));
  EXPECT_GT(cache.stats().ghosts, 0);
  EXPECT_TRUE(cache.erase(key_of(28)));
  cache.clear();
  EXPECT_EQ(cache.state_hash(), fresh);
  EXPECT_FALSE(has(cache, 29));
  const ResponseCacheStats stats = cache.stats();
  EXPECT_EQ(stats.entries, 0);
  EXPECT_EQ(stats.bytes, 0);
  EXPECT_EQ(stats.ghosts, 0);
  EXPECT_EQ(stats.insertions, 30);
  EXPECT_EQ(stats.hits, 1);
  for (std::uint64_t i = 0; i < 30; ++i) put(cache, i);
  EXPECT_TRUE(has(cache, 29));
  EXPECT_EQ(cache.stats().entries, 10);
}

TEST(ResponseCache, LetsGoOfEveryValueThatIsNoLongerKept) {
  ResponseCache<std::shared_ptr<const std::string>> cache(entries(10, 100));
  std::vector<std::weak_ptr<const std::string>> all;
  const auto give = [&](std::uint64_t key, Instant now) {
    auto value = std::make_shared<const std::string>(std::to_string(key));
    all.emplace_back(value);
    cache.put(key_of(key), std::move(value), 1, now);
  };
  const auto alive = [&] {
    return std::count_if(all.begin(), all.end(), [](const auto& weak) { return !weak.expired(); });
  };
  for (std::uint64_t key = 0; key < 50; ++key) give(key, 0);
  EXPECT_EQ(alive(), 10) << "evicted ones and ghosts hold nothing";
  for (std::uint64_t key = 40; key < 50; ++key) give(key, 50);
  EXPECT_EQ(alive(), cache.stats().entries) << "nor do replaced ones";
  EXPECT_TRUE(cache.erase(key_of(49)));
  EXPECT_EQ(alive(), 9);
  EXPECT_EQ(cache.get(key_of(48), 150), nullptr);
  EXPECT_EQ(alive(), 8) << "nor aged ones that were met";
  EXPECT_EQ(cache.expire(150), 8);
  EXPECT_EQ(alive(), 0);
  give(7, 200);
  cache.clear();
  EXPECT_EQ(alive(), 0);
}

// --- bounds ----------------------------------------------------------------------------------------------------------

TEST(ResponseCache, NeverHoldsMoreThanItsEntries) {
  for (const std::int64_t most : {1, 2, 3, 9, 10, 11, 100}) {
    Cache cache(entries(most));
    for (std::uint64_t i = 0; i < 500; ++i) {
      put(cache, i);
      EXPECT_TRUE(has(cache, i)) << "what was just put is there";
      EXPECT_LE(cache.stats().entries, most);
      EXPECT_LE(cache.stats().ghosts, most);
    }
    EXPECT_EQ(cache.stats().entries, most);
    EXPECT_EQ(cache.stats().evictions, 500 - most);
  }
}

TEST(ResponseCache, NeverHoldsMoreThanItsBytes) {
  std::mt19937_64 random(5);
  Cache cache(bytes(10'000));
  for (int i = 0; i < 5000; ++i) {
    const std::uint64_t key = random() % 300;
    if (random() % 3 == 0) static_cast<void>(has(cache, key));
    const std::size_t size = random() % (i % 10 == 0 ? 12'000 : 500);
    const bool fits = size + 32 <= 10'000;
    EXPECT_EQ(cache.put(key_of(key), 0, size, 0), fits);
    EXPECT_EQ(has(cache, key), fits);
    EXPECT_LE(cache.stats().bytes, 10'000);
  }
}

TEST(ResponseCache, AValueAsLargeAsTheCacheFitsAndOneByteMoreIsRejected) {
  Cache cache(bytes(1000));
  put(cache, 1);
  EXPECT_TRUE(cache.put(key_of(2), 2, 1000 - 32, 0));
  EXPECT_FALSE(has(cache, 1));
  EXPECT_TRUE(has(cache, 2));
  EXPECT_EQ(cache.stats().bytes, 1000);
  EXPECT_FALSE(cache.put(key_of(3), 3, 1000 - 31, 0));
  EXPECT_FALSE(cache.put(key_of(3), 3, std::numeric_limits<std::size_t>::max(), 0));
  EXPECT_TRUE(has(cache, 2)) << "a rejected value pushes nothing out";
  EXPECT_EQ(cache.stats().rejected, 2);
  EXPECT_EQ(cache.stats().insertions, 2);
}

TEST(ResponseCache, ARejectedValueLeavesNoOlderOneBehind) {
  Cache cache(bytes(1000));
  put(cache, 1);
  EXPECT_FALSE(cache.put(key_of(1), 2, 5000, 0));
  EXPECT_FALSE(has(cache, 1));
  EXPECT_EQ(cache.stats().bytes, 0);
}

TEST(ResponseCache, WithoutRoomForAnyEntryOrByteItKeepsNothing) {
  for (const ResponseCacheConfig& config :
       {ResponseCacheConfig{0, 1000, 0}, ResponseCacheConfig{10, 0, 0}, ResponseCacheConfig{10, 31, 0}}) {
    Cache cache(config);
    EXPECT_FALSE(cache.put(key_of(1), 1, 0, 0));
    EXPECT_FALSE(has(cache, 1));
    EXPECT_EQ(cache.stats().rejected, 1);
  }
  Cache one_key(ResponseCacheConfig{10, 32, 0});
  EXPECT_TRUE(one_key.put(key_of(1), 1, 0, 0));
}

TEST(ResponseCache, GhostsAreNeverMoreThanEntriesWhenBytesAreTheBound) {
  Cache cache(bytes(100 * (1000 + kKeyBytes)));
  for (std::uint64_t i = 0; i < 20'000; ++i) put(cache, i, 0, 1000);
  EXPECT_EQ(cache.stats().entries, 100);
  EXPECT_LE(cache.stats().ghosts, 100);
}

// --- time ------------------------------------------------------------------------------------------------------------

TEST(ResponseCache, AnEntryLivesToTheLastNanosecondOfItsTime) {
  Cache cache(entries(10, 100));
  put(cache, 1, 5);
  EXPECT_TRUE(has(cache, 1, 104));
  EXPECT_TRUE(has(cache, 1, 104)) << "a hit does not make it younger";
  EXPECT_FALSE(has(cache, 1, 105));
  EXPECT_EQ(cache.stats().expirations, 1);
  EXPECT_EQ(cache.stats().entries, 0);
  EXPECT_EQ(cache.stats().misses, 1);
  EXPECT_FALSE(has(cache, 1, 50)) << "once dropped it is gone";
}

TEST(ResponseCache, ReplacingAValueResetsItsAge) {
  Cache cache(entries(10, 100));
  put(cache, 1, 0);
  put(cache, 1, 60);
  EXPECT_TRUE(has(cache, 1, 159));
  EXPECT_FALSE(has(cache, 1, 160));
}

TEST(ResponseCache, WithoutATimeToLiveNothingAges) {
  Cache cache(entries(10, 0));
  put(cache, 1, 0);
  EXPECT_EQ(cache.expire(kNever), 0);
  EXPECT_TRUE(has(cache, 1, kNever));
}

TEST(ResponseCache, ExpireDropsAllThatAgedAndNothingElse) {
  Cache cache(entries(100, 100));
  for (std::uint64_t i = 0; i < 50; ++i) put(cache, i, static_cast<Instant>(i));
  put(cache, 10, 60);  // younger again, though its key is old
  EXPECT_EQ(cache.expire(99), 0);
  EXPECT_EQ(cache.expire(120), 20);
  EXPECT_EQ(cache.stats().expirations, 20);
  EXPECT_EQ(cache.stats().entries, 30);
  EXPECT_TRUE(has(cache, 10, 120));
  EXPECT_FALSE(has(cache, 20, 120));
  EXPECT_TRUE(has(cache, 21, 120));
}

TEST(ResponseCache, AnAgedEntryThatIsReplacedCountsAsExpired) {
  Cache cache(entries(10, 100));
  put(cache, 1, 0);
  put(cache, 1, 100);
  EXPECT_EQ(cache.stats().expirations, 1);
  EXPECT_TRUE(has(cache, 1, 199));
}

TEST(ResponseCache, AYoungEntryIsFoundByABoundOnTheTimeAndOthersCountNothing) {
  Cache cache(entries(10, 100));
  Cache twin(entries(10, 100));
  put(cache, 1, 0);
  put(twin, 1, 0);
  ASSERT_NE(cache.get_young(key_of(1), 99), nullptr);
  EXPECT_EQ(*cache.get_young(key_of(1), 99), 1);
  EXPECT_TRUE(has(twin, 1, 5) && has(twin, 1, 5));
  EXPECT_EQ(cache.stats().hits, 2);
  EXPECT_EQ(cache.state_hash(), twin.state_hash()) << "a hit like any other";
  EXPECT_EQ(cache.get_young(key_of(1), 100), nullptr);
  EXPECT_EQ(cache.get_young(key_of(2), 0), nullptr);
  EXPECT_EQ(cache.stats().misses, 0);
  EXPECT_EQ(cache.state_hash(), twin.state_hash());
  EXPECT_TRUE(has(cache, 1, 99)) << "it was still there";
}

TEST(ResponseCache, AgedEntriesMakeRoomBeforeAnyYoungOneIsEvicted) {
  Cache cache(entries(10, 100));
  for (std::uint64_t i = 0; i < 10; ++i) put(cache, i, 0);
  for (std::uint64_t i = 10; i < 20; ++i) put(cache, i, 100);
  EXPECT_EQ(cache.stats().evictions, 0);
  EXPECT_EQ(cache.stats().expirations, 10);
}

TEST(ResponseCache, AClockThatGoesBackKeepsTheOrderOfAges) {
  Cache cache(entries(10, 100));
  put(cache, 1, 50);
  put(cache, 2, 10);  // counts as 50
  EXPECT_TRUE(has(cache, 2, 149));
  EXPECT_EQ(cache.expire(150), 2);
}

TEST(ResponseCache, TimesAtTheEndsOfTheRangeDoNotOverflow) {
  Cache cache(entries(10, std::numeric_limits<Duration>::max()));
  put(cache, 1, std::numeric_limits<Instant>::min());
  put(cache, 2, kNever - 1);
  EXPECT_TRUE(has(cache, 2, kNever - 1));
  EXPECT_FALSE(has(cache, 1, kNever - 1));
}

// --- state -----------------------------------------------------------------------------------------------------------

TEST(ResponseCache, TheSameOperationsGiveTheSameHashAndChangesShow) {
  Cache a(entries(10, 100));
  Cache b(entries(10, 100));
  for (std::uint64_t i = 0; i < 40; ++i) {
    put(a, i % 13);
    put(b, i % 13);
    EXPECT_EQ(has(a, i % 7), has(b, i % 7));
    EXPECT_EQ(a.state_hash(), b.state_hash());
  }
  put(a, 100);
  EXPECT_NE(a.state_hash(), b.state_hash());
  put(b, 101);
  EXPECT_NE(a.state_hash(), b.state_hash()) << "another key";
  a.clear();
  b.clear();
  put(a, 1, 0, 10);
  put(b, 1, 0, 11);
  EXPECT_NE(a.state_hash(), b.state_hash()) << "another size";
  a.clear();
  b.clear();
  put(a, 1, 5);
  put(b, 1, 6);
  EXPECT_NE(a.state_hash(), b.state_hash()) << "another age";
}

TEST(ResponseCache, LookingForNothingAndExpiringNothingChangesNothing) {
  Cache cache(entries(10, 100));
  put(cache, 1, 0);
  const auto before = cache.state_hash();
  EXPECT_FALSE(has(cache, 2, 50));
  EXPECT_EQ(cache.expire(99), 0);
  EXPECT_FALSE(cache.erase(key_of(3)));
  EXPECT_EQ(cache.state_hash(), before);
  EXPECT_TRUE(has(cache, 1, 50));
  EXPECT_NE(cache.state_hash(), before) << "a hit weighs in the next eviction";
}

}  // namespace
}  // namespace llmcore
