// The cache against the same policy, written plainly, under random operations.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "llmcore/response_cache.hpp"
#include "response_cache_cases.hpp"

namespace llmcore {
namespace {

using testing::bytes;
using testing::Cache;
using testing::entries;
using testing::key_of;
using testing::kKeyBytes;
using testing::put;

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
