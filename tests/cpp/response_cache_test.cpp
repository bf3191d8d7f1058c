#include "llmcore/response_cache.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace llmcore {
namespace {

using Cache = ResponseCache<std::int64_t>;

constexpr std::int64_t kKeyBytes = 32;

/// A key whose bytes are as uniform as a digest's.
Fingerprint key_of(std::uint64_t number) {
  Fingerprint key;
  std::mt19937_64 random(number);
  for (std::size_t i = 0; i < key.bytes.size(); i += 8) {
    std::uint64_t word = random();
    for (std::size_t j = 0; j < 8; ++j, word >>= 8U) key.bytes[i + j] = static_cast<std::uint8_t>(word & 0xffU);
  }
  return key;
}

ResponseCacheConfig entries(std::int64_t max_entries, Duration ttl = 0) {
  return {max_entries, std::numeric_limits<std::int64_t>::max(), ttl};
}

ResponseCacheConfig bytes(std::int64_t max_bytes) { return {1'000'000, max_bytes, 0}; }

bool has(Cache& cache, std::uint64_t key, Instant now = 0) { return cache.get(key_of(key), now) != nullptr; }

void put(Cache& cache, std::uint64_t key, Instant now = 0, std::size_t size = 10) {
  ASSERT_TRUE(cache.put(key_of(key), static_cast<std::int64_t>(key), size, now));
}

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

// --- eviction --------------------------------------------------------------------------------------------------------

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

// --- against the same policy, written plainly ------------------------------------------------------------------------

/// S3-FIFO on vectors that are searched from end to end; front is oldest.
class NaiveCache {
 public:
  struct Item {
    std::uint64_t key;
    std::int64_t value;
    std::int64_t bytes;
    Instant at;
    int uses;
  };

  explicit NaiveCache(const ResponseCacheConfig& config) : config_(config) {}

  std::optional<std::int64_t> get(std::uint64_t key, Instant now) {
    for (auto* queue : {&small_, &main_}) {
      for (std::size_t i = 0; i < queue->size(); ++i) {
        Item& item = (*queue)[i];
        if (item.key != key) continue;
        if (aged(item, now)) {
          remove(*queue, i);
          ++expirations;
          return std::nullopt;
        }
        item.uses = std::min(item.uses + 1, 3);
        return item.value;
      }
    }
    return std::nullopt;
  }

  bool put(std::uint64_t key, std::int64_t value, std::int64_t size, Instant now) {
    const std::int64_t bytes = size + kKeyBytes;
    const bool fits = config_.max_entries > 0 && bytes <= config_.max_bytes;
    Item item{key, value, bytes, now, 0};
    auto* home = &small_;
    for (auto* queue : {&small_, &main_}) {
      for (std::size_t i = 0; i < queue->size(); ++i) {
        if ((*queue)[i].key != key) continue;
        if (aged((*queue)[i], now)) {
          ++expirations;
        } else {
          home = queue;
          item.uses = (*queue)[i].uses;
        }
        remove(*queue, i);
        break;
      }
    }
    if (!fits) return false;
    if (const auto ghost = std::find(ghosts_.begin(), ghosts_.end(), key); ghost != ghosts_.end()) {
      ghosts_.erase(ghost);
      home = &main_;
    }
    while (count() + 1 > config_.max_entries || total() + bytes > config_.max_bytes) step(now);
    home->push_back(item);
    return true;
  }

  bool erase(std::uint64_t key) {
    for (auto* queue : {&small_, &main_}) {
      for (std::size_t i = 0; i < queue->size(); ++i) {
        if ((*queue)[i].key != key) continue;
        remove(*queue, i);
        return true;
      }
    }
    return false;
  }

  std::int64_t expire(Instant now) {
    std::int64_t dropped = 0;
    for (auto* queue : {&small_, &main_}) {
      for (std::size_t i = queue->size(); i-- > 0;) {
        if (!aged((*queue)[i], now)) continue;
        remove(*queue, i);
        ++dropped;
      }
    }
    expirations += dropped;
    return dropped;
  }

  [[nodiscard]] std::int64_t count() const { return static_cast<std::int64_t>(small_.size() + main_.size()); }
  [[nodiscard]] std::int64_t total() const { return bytes_of(small_) + bytes_of(main_); }
  [[nodiscard]] std::int64_t ghosts() const { return static_cast<std::int64_t>(ghosts_.size()); }
  [[nodiscard]] std::int64_t in_main() const { return static_cast<std::int64_t>(main_.size()); }

  std::int64_t evictions = 0;
  std::int64_t expirations = 0;

 private:
  using Queue = std::vector<Item>;

  [[nodiscard]] bool aged(const Item& item, Instant now) const {
    return config_.ttl > 0 && now - item.at >= config_.ttl;
  }
  static std::int64_t bytes_of(const Queue& queue) {
    std::int64_t sum = 0;
    for (const Item& item : queue) sum += item.bytes;
    return sum;
  }
  static void remove(Queue& queue, std::size_t i) { queue.erase(queue.begin() + static_cast<std::ptrdiff_t>(i)); }

  void step(Instant now) {
    const auto small_count = static_cast<std::int64_t>(small_.size());
    const bool full = small_count >= std::max<std::int64_t>(1, config_.max_entries / 10) ||
                      bytes_of(small_) >= config_.max_bytes / 10;
    Queue& queue = !small_.empty() && (full || main_.empty()) ? small_ : main_;
    Item item = queue.front();
    remove(queue, 0);
    if (aged(item, now)) {
      ++expirations;
    } else if (&queue == &small_) {
      if (item.uses > 0) {
        item.uses = 0;
        main_.push_back(item);
        return;
      }
      ++evictions;
      ghosts_.push_back(item.key);
      const auto most = std::min(config_.max_entries - config_.max_entries / 10, count());
      while (ghosts() > most) ghosts_.erase(ghosts_.begin());
    } else if (item.uses > 0) {
      --item.uses;
      main_.push_back(item);
    } else {
      ++evictions;
    }
  }

  ResponseCacheConfig config_;
  Queue small_;
  Queue main_;
  std::vector<std::uint64_t> ghosts_;
};

TEST(ResponseCache, AgreesWithTheNaivePolicyUnderRandomOperations) {
  std::mt19937_64 random(271828);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
  };
  std::vector<Fingerprint> keys;
  for (std::uint64_t i = 0; i < 200; ++i) keys.push_back(key_of(i));
  std::int64_t most_in_main = 0;
  std::int64_t evictions = 0;
  for (int run = 0; run < 60; ++run) {
    const ResponseCacheConfig config{below(60), run % 3 == 0 ? 20 + below(5000) : 1'000'000'000,
                                     run % 4 == 0 ? 0 : 50 + below(2000)};
    Cache cache(config);
    NaiveCache naive(config);
    const std::int64_t universe = 20 + below(180);
    Instant now = 0;
    for (int step = 0; step < 3000; ++step) {
      now += below(3);
      const auto number = static_cast<std::uint64_t>(std::min(below(universe), below(universe)));
      const Fingerprint& key = keys[number];
      switch (below(20)) {
        case 0: ASSERT_EQ(cache.erase(key), naive.erase(number)); break;
        case 1: ASSERT_EQ(cache.expire(now), naive.expire(now)); break;
        case 2: now += below(100); break;
        case 3:
        case 4:
        case 5:
        case 6:
        case 7: {
          const std::int64_t size = below(40) == 0 ? below(6000) : below(300);
          ASSERT_EQ(cache.put(key, step, static_cast<std::size_t>(size), now), naive.put(number, step, size, now));
          break;
        }
        default: {
          const std::int64_t* got = cache.get(key, now);
          const auto expected = naive.get(number, now);
          ASSERT_EQ(got != nullptr, expected.has_value()) << "run " << run << " step " << step;
          if (got == nullptr) break;
          ASSERT_EQ(*got, *expected);
        }
      }
      const ResponseCacheStats stats = cache.stats();
      ASSERT_EQ(stats.entries, naive.count()) << "run " << run << " step " << step;
      ASSERT_EQ(stats.bytes, naive.total());
      ASSERT_EQ(stats.ghosts, naive.ghosts());
      ASSERT_EQ(stats.evictions, naive.evictions);
      ASSERT_EQ(stats.expirations, naive.expirations);
      ASSERT_LE(stats.entries, config.max_entries);
      ASSERT_LE(stats.bytes, config.max_bytes);
      most_in_main = std::max(most_in_main, naive.in_main());
    }
    evictions += naive.evictions;
  }
  EXPECT_GT(most_in_main, 20) << "the operations reach the main queue";
  EXPECT_GT(evictions, 1000);
}

}  // namespace
}  // namespace llmcore
