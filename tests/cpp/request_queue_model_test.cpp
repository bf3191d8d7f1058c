// The queue against a naive one, under random operations.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <tuple>
#include <vector>

#include "llmcore/request_queue.hpp"
#include "request_queue_cases.hpp"

namespace llmcore {
namespace {

using testing::Admission;
using testing::Id;
using testing::ids_of;
using testing::kHigh;
using testing::kLow;
using testing::kMedium;

/// A list that is searched from end to end: slow, and plain to see that it is right.
class NaiveQueue {
 public:
  struct Item {
    Id id;
    Priority priority;
    std::uint64_t seq;
    Instant queued_at;
    Instant expires_at;
  };

  explicit NaiveQueue(const RequestQueueConfig& config) : config_(config) {}

  [[nodiscard]] std::int64_t waiting(Priority priority) const {
    return std::count_if(items_.begin(), items_.end(), [&](const Item& item) { return item.priority == priority; });
  }
  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(items_.size()); }
  [[nodiscard]] bool contains(Id id) const {
    return std::any_of(items_.begin(), items_.end(), [&](const Item& item) { return item.id == id; });
  }
  Admission push(Id id, Priority priority, Instant deadline, Instant now) {
    if (contains(id)) return Admission::duplicate;
    if (waiting(priority) >= config_.class_capacity[static_cast<std::size_t>(priority)]) return Admission::class_full;
    if (size() >= config_.total_capacity) return Admission::total_full;
    add(id, priority, seq_++, deadline, now);
    return Admission::accepted;
  }
  void restore(Id id, Priority priority, std::uint64_t seq, Instant deadline, Instant now) {
    if (!contains(id)) add(id, priority, seq, deadline, now);
  }
  std::optional<Item> pop() {
    if (items_.empty()) return std::nullopt;
    const bool due = config_.low_share > 0 && since_low_ + 1 >= config_.low_share && waiting(Priority::low) > 0;
    const auto best = std::min_element(items_.begin(), items_.end(), [&](const Item& a, const Item& b) {
      const auto rank = [&](const Item& item) {
        return due && item.priority == kLow ? -1 : static_cast<int>(item.priority);
      };
      return std::make_tuple(rank(a), a.seq, a.id) < std::make_tuple(rank(b), b.seq, b.id);
    });
    since_low_ = best->priority == Priority::low ? 0 : since_low_ + 1;
    return take(best->id);
  }
  std::optional<Item> take(Id id) {
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (items_[i].id != id) continue;
      const Item item = items_[i];
      items_.erase(items_.begin() + static_cast<std::ptrdiff_t>(i));
      return item;
    }
    return std::nullopt;
  }
  [[nodiscard]] Instant next_expiry() const {
    Instant next = kNever;
    for (const Item& item : items_) next = std::min(next, item.expires_at);
    return next;
  }
  std::vector<Id> expire(Instant now) {
    std::vector<std::pair<Instant, Id>> due;
    for (const Item& item : items_) {
      if (item.expires_at <= now && item.expires_at != kNever) due.emplace_back(item.expires_at, item.id);
    }
    std::sort(due.begin(), due.end());
    std::vector<Id> ids;
    for (const auto& entry : due) {
      ids.push_back(entry.second);
      take(entry.second);
    }
    return ids;
  }

 private:
  void add(Id id, Priority priority, std::uint64_t seq, Instant deadline, Instant now) {
    const Duration timeout = config_.class_timeout[static_cast<std::size_t>(priority)];
    items_.push_back({id, priority, seq, now, timeout > 0 ? std::min(deadline, now + timeout) : deadline});
  }

  RequestQueueConfig config_;
  std::vector<Item> items_;
  std::uint64_t seq_ = 1;
  std::int64_t since_low_ = 0;
};

TEST(RequestQueue, AgreesWithANaiveQueueUnderRandomOperations) {
  std::mt19937_64 random(31337);
  const auto below = [&](std::uint64_t n) { return static_cast<std::int64_t>(random() % n); };
  for (int run = 0; run < 40; ++run) {
    RequestQueueConfig config;
    config.class_capacity = {below(8), below(8), below(12)};
    config.total_capacity = below(20);
    config.class_timeout = {below(3) * 40, below(3) * 40, below(3) * 40};
    config.low_share = below(5);
    if (run % 4 == 0) config = RequestQueueConfig::server();
    RequestQueue queue(config);
    NaiveQueue naive(config);
    std::vector<RequestQueue::Entry> out;  // dispatched, may come back
    Instant now = 1000;
    for (int step = 0; step < 1500; ++step) {
      now += below(4);
      const auto id = static_cast<Id>(below(60));
      const auto priority = static_cast<Priority>(below(3));
      const Instant deadline = below(3) == 0 ? kNever : now + below(60) - 5;
      switch (below(9)) {
        case 0:
        case 1:
        case 2:
        case 3: ASSERT_EQ(queue.push(id, priority, deadline, now), naive.push(id, priority, deadline, now)); break;
        case 4:
        case 5: {
          const auto peeked = queue.peek();
          const auto got = queue.pop();
          const auto expected = naive.pop();
          ASSERT_EQ(got.has_value(), expected.has_value());
          if (!got) break;
          ASSERT_EQ(std::make_tuple(got->id, got->priority, got->seq, got->queued_at),
                    std::make_tuple(expected->id, expected->priority, expected->seq, expected->queued_at));
          ASSERT_EQ(peeked->id, got->id);
          out.push_back(*got);
          break;
        }
        case 6: ASSERT_EQ(queue.remove(id), naive.take(id).has_value()); break;
        case 7: {
          if (out.empty()) break;
          const auto which = static_cast<std::size_t>(below(out.size()));
          const RequestQueue::Entry entry = out[which];
          out.erase(out.begin() + static_cast<std::ptrdiff_t>(which));
          queue.restore(entry.id, entry.priority, entry.seq, deadline, now);
          naive.restore(entry.id, entry.priority, entry.seq, deadline, now);
          break;
        }
        default: ASSERT_EQ(ids_of(queue.expire(now)), naive.expire(now));
      }
      ASSERT_EQ(queue.size(), naive.size());
      ASSERT_EQ(queue.empty(), naive.size() == 0);
      ASSERT_EQ(queue.next_expiry(), naive.next_expiry());
      ASSERT_EQ(queue.contains(id), naive.contains(id));
      const RequestQueue::Stats stats = queue.stats();
      for (const Priority each : {kHigh, kMedium, kLow}) {
        ASSERT_EQ(stats.waiting[static_cast<std::size_t>(each)], naive.waiting(each));
      }
      ASSERT_EQ(stats.total, naive.size());
      ASSERT_EQ(stats.accepted + stats.restored, stats.dispatched + stats.expired + stats.removed + stats.total);
      ASSERT_GE(stats.peak, stats.total);
    }
  }
}

}  // namespace
}  // namespace llmcore
