#include "llmcore/request_queue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

namespace llmcore {
namespace {

using Admission = RequestQueue::Admission;
using Id = RequestQueue::Id;

constexpr Priority kHigh = Priority::high;
constexpr Priority kMedium = Priority::medium;
constexpr Priority kLow = Priority::low;

RequestQueueConfig roomy(std::int64_t low_share = 0) {
  RequestQueueConfig config = RequestQueueConfig::server();
  config.low_share = low_share;
  return config;
}

std::vector<Id> pop_all(RequestQueue& queue) {
  std::vector<Id> ids;
  while (const auto entry = queue.pop()) ids.push_back(entry->id);
  return ids;
}

std::vector<Id> ids_of(const std::vector<RequestQueue::Entry>& entries) {
  std::vector<Id> ids;
  for (const auto& entry : entries) ids.push_back(entry.id);
  return ids;
}

// --- configuration ---------------------------------------------------------------------------------------------------

TEST(RequestQueueConfig, TheGamePresetIsTheDefault) {
  const RequestQueueConfig config = RequestQueueConfig::game();
  EXPECT_EQ(config.class_capacity, (std::array<std::int64_t, 3>{5, 3, 10}));
  EXPECT_EQ(config.total_capacity, 15);
  EXPECT_EQ(config.class_timeout, (std::array<Duration, 3>{3 * kSecond, 10 * kSecond, 5 * kSecond}));
  EXPECT_EQ(config.low_share, 0);
  EXPECT_EQ(config.problem(), nullptr);
}

TEST(RequestQueueConfig, TheServerPresetHoldsTenThousandAndSharesOneDispatchInTwenty) {
  const RequestQueueConfig config = RequestQueueConfig::server();
  EXPECT_EQ(config.total_capacity, 10'000);
  EXPECT_EQ(config.class_capacity, (std::array<std::int64_t, 3>{10'000, 10'000, 10'000}));
  EXPECT_EQ(config.class_timeout, (std::array<Duration, 3>{0, 0, 0}));
  EXPECT_EQ(config.low_share, 20);
  EXPECT_EQ(config.problem(), nullptr);
}

TEST(RequestQueueConfig, EveryBadFieldIsNamedAndTheConstructorThrowsWithIt) {
  std::map<std::string, RequestQueueConfig> bad;
  bad["class_capacity"].class_capacity[2] = -1;
  bad["total_capacity"].total_capacity = -1;
  bad["class_timeout"].class_timeout[0] = -1;
  bad["low_share"].low_share = -1;
  for (const auto& [field, config] : bad) {
    ASSERT_NE(config.problem(), nullptr) << field;
    EXPECT_NE(std::string(config.problem()).find(field), std::string::npos) << config.problem();
    try {
      const RequestQueue queue(config);
      FAIL() << field << " was accepted";
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find(config.problem()), std::string::npos) << error.what();
    }
  }
}

// --- order -----------------------------------------------------------------------------------------------------------

TEST(RequestQueue, DispatchesHighThenMediumThenLowAndFirstInFirstOutInsideAClass) {
  RequestQueue queue(roomy());
  const std::array<Priority, 9> classes{kLow, kHigh, kMedium, kLow, kMedium, kHigh, kHigh, kMedium, kLow};
  for (std::size_t i = 0; i < classes.size(); ++i) {
    // Ids fall while they arrive: arrival decides, not the id.
    EXPECT_EQ(queue.push(100 - i, classes[i], kNever, 0), Admission::accepted);
  }
  EXPECT_EQ(pop_all(queue), (std::vector<Id>{99, 95, 94, 98, 96, 93, 100, 97, 92}));
}

TEST(RequestQueue, PeekIsWhatPopReturnsAndChangesNothing) {
  RequestQueue queue(roomy(2));
  EXPECT_FALSE(queue.peek());
  for (Id id = 1; id <= 30; ++id) queue.push(id, static_cast<Priority>(id % 3), kNever, static_cast<Instant>(id));
  while (!queue.empty()) {
    const auto before = queue.state_hash();
    const auto seen = queue.peek();
    EXPECT_EQ(queue.state_hash(), before);
    const auto taken = queue.pop();
    ASSERT_TRUE(seen && taken);
    EXPECT_EQ(seen->id, taken->id);
    EXPECT_EQ(seen->seq, taken->seq);
    EXPECT_EQ(seen->priority, static_cast<Priority>(taken->id % 3));
    EXPECT_EQ(taken->queued_at, static_cast<Instant>(taken->id));
  }
  EXPECT_FALSE(queue.pop());
}

// --- admission -------------------------------------------------------------------------------------------------------

TEST(RequestQueue, RefusesAtTheCapOfTheClass) {
  RequestQueue queue(RequestQueueConfig::game());
  for (Id id = 1; id <= 3; ++id) EXPECT_EQ(queue.push(id, kMedium, kNever, 0), Admission::accepted);
  EXPECT_EQ(queue.push(4, kMedium, kNever, 0), Admission::class_full);
  EXPECT_FALSE(queue.contains(4));
  EXPECT_EQ(queue.push(4, kHigh, kNever, 0), Admission::accepted) << "another class has room";
  EXPECT_EQ(queue.stats().refused_class, 1);
  EXPECT_EQ(queue.stats().refused_total, 0);
}

TEST(RequestQueue, RefusesAtTheCapInAllThoughTheClassHasRoom) {
  RequestQueue queue(RequestQueueConfig::game());
  Id id = 1;
  for (int i = 0; i < 5; ++i) ASSERT_EQ(queue.push(id++, kHigh, kNever, 0), Admission::accepted);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(queue.push(id++, kMedium, kNever, 0), Admission::accepted);
  for (int i = 0; i < 7; ++i) ASSERT_EQ(queue.push(id++, kLow, kNever, 0), Admission::accepted);
  EXPECT_EQ(queue.push(id, kLow, kNever, 0), Admission::total_full);
  EXPECT_EQ(queue.push(id, kHigh, kNever, 0), Admission::class_full) << "of two reasons, the class's is given";
  EXPECT_EQ(queue.stats().refused_total, 1);
  EXPECT_EQ(queue.size(), 15);
  ASSERT_TRUE(queue.pop());
  EXPECT_EQ(queue.push(id, kLow, kNever, 0), Admission::accepted);
}

TEST(RequestQueue, ACapOfZeroAcceptsNone) {
  RequestQueueConfig config;
  config.class_capacity[0] = 0;
  RequestQueue queue(config);
  EXPECT_EQ(queue.push(1, kHigh, kNever, 0), Admission::class_full);
  config = {};
  config.total_capacity = 0;
  RequestQueue closed(config);
  EXPECT_EQ(closed.push(1, kHigh, kNever, 0), Admission::total_full);
}

TEST(RequestQueue, AnIdThatWaitsAlreadyIsADuplicateWhateverItsClass) {
  RequestQueue queue(RequestQueueConfig::game());
  EXPECT_EQ(queue.push(1, kMedium, kNever, 0), Admission::accepted);
  EXPECT_EQ(queue.push(1, kMedium, kNever, 0), Admission::duplicate);
  EXPECT_EQ(queue.push(1, kHigh, 5, 0), Admission::duplicate);
  EXPECT_EQ(queue.size(), 1);
  EXPECT_EQ(queue.pop()->priority, kMedium);
  EXPECT_EQ(queue.push(1, kHigh, kNever, 0), Admission::accepted) << "it no longer waits";
}

// --- expiry ----------------------------------------------------------------------------------------------------------

TEST(RequestQueue, ACallExpiresAtItsDeadlineAndNotANanosecondBefore) {
  RequestQueue queue(roomy());
  queue.push(1, kHigh, 100, 0);
  EXPECT_EQ(queue.next_expiry(), 100);
  EXPECT_TRUE(queue.expire(99).empty());
  EXPECT_TRUE(queue.contains(1));
  EXPECT_EQ(ids_of(queue.expire(100)), (std::vector<Id>{1}));
  EXPECT_FALSE(queue.contains(1));
  EXPECT_EQ(queue.next_expiry(), kNever);
  EXPECT_EQ(queue.stats().expired, 1);
}

TEST(RequestQueue, EachClassWaitsAtMostItsTimeoutAndNeverBeyondTheDeadline) {
  RequestQueue queue(RequestQueueConfig::game());
  queue.push(1, kHigh, kNever, kSecond);
  EXPECT_EQ(queue.next_expiry(), 4 * kSecond);
  queue.push(2, kHigh, 2 * kSecond, kSecond);
  EXPECT_EQ(queue.next_expiry(), 2 * kSecond) << "an earlier deadline wins";
  queue.push(3, kMedium, kNever, kSecond);
  queue.push(4, kLow, kHour, kSecond);
  EXPECT_EQ(ids_of(queue.expire(4 * kSecond)), (std::vector<Id>{2, 1}));
  EXPECT_EQ(queue.next_expiry(), 6 * kSecond);
  EXPECT_EQ(ids_of(queue.expire(11 * kSecond - 1)), (std::vector<Id>{4}));
  EXPECT_EQ(ids_of(queue.expire(11 * kSecond)), (std::vector<Id>{3}));
}

TEST(RequestQueue, ExpiredCallsComeOutEarliestFirstAndThenById) {
  RequestQueue queue(roomy());
  queue.push(9, kHigh, 30, 0);
  queue.push(5, kLow, 20, 0);
  queue.push(7, kMedium, 10, 0);
  queue.push(3, kHigh, 20, 0);
  queue.push(1, kHigh, 99, 0);
  EXPECT_EQ(ids_of(queue.expire(50)), (std::vector<Id>{7, 3, 5, 9}));
  EXPECT_EQ(queue.size(), 1);
}

TEST(RequestQueue, ADeadlineThatIsPastIsAcceptedAndTakenOutByTheNextExpire) {
  RequestQueue queue(roomy());
  EXPECT_EQ(queue.push(1, kHigh, 5, 10), Admission::accepted);
  EXPECT_EQ(queue.next_expiry(), 5);
  EXPECT_EQ(ids_of(queue.expire(10)), (std::vector<Id>{1}));
}

TEST(RequestQueue, WithoutDeadlineAndTimeoutACallNeverExpires) {
  RequestQueue queue(roomy());
  queue.push(1, kLow, kNever, 0);
  EXPECT_EQ(queue.next_expiry(), kNever);
  EXPECT_TRUE(queue.expire(kNever).empty());
  EXPECT_TRUE(queue.contains(1));
}

TEST(RequestQueue, ATimeoutPastTheEndOfTimeNeverComes) {
  RequestQueue queue(RequestQueueConfig::game());
  queue.push(1, kHigh, kNever, kNever - 1);
  EXPECT_EQ(queue.next_expiry(), kNever);
}

TEST(RequestQueue, PopAndRemoveForgetTheExpiry) {
  RequestQueue queue(roomy());
  queue.push(1, kHigh, 10, 0);
  queue.push(2, kHigh, 20, 0);
  EXPECT_EQ(queue.pop()->id, 1U);
  EXPECT_TRUE(queue.remove(2));
  EXPECT_EQ(queue.next_expiry(), kNever);
  EXPECT_TRUE(queue.expire(100).empty());
}

// --- remove and restore ----------------------------------------------------------------------------------------------

TEST(RequestQueue, RemoveTakesACallOutWhereverItStands) {
  RequestQueue queue(roomy());
  for (Id id = 1; id <= 5; ++id) queue.push(id, kMedium, kNever, 0);
  EXPECT_TRUE(queue.remove(3));
  EXPECT_FALSE(queue.remove(3));
  EXPECT_FALSE(queue.remove(77));
  EXPECT_TRUE(queue.remove(1));
  EXPECT_EQ(pop_all(queue), (std::vector<Id>{2, 4, 5}));
  EXPECT_EQ(queue.stats().removed, 2);
}

TEST(RequestQueue, ARestoredCallStandsBeforeEveryYoungerOneOfItsClass) {
  RequestQueue queue(roomy());
  for (Id id = 1; id <= 3; ++id) queue.push(id, kMedium, kNever, 0);
  const auto first = queue.pop();
  const auto second = queue.pop();
  queue.push(4, kMedium, kNever, 0);
  queue.push(5, kHigh, kNever, 0);
  queue.restore(second->id, second->priority, second->seq, kNever, 9);
  queue.restore(first->id, first->priority, first->seq, kNever, 9);
  EXPECT_EQ(queue.peek()->id, 5U) << "a higher class still goes first";
  EXPECT_EQ(pop_all(queue), (std::vector<Id>{5, 1, 2, 3, 4}));
  EXPECT_EQ(queue.stats().restored, 2);
}

TEST(RequestQueue, RestoreIgnoresTheCaps) {
  RequestQueueConfig config;
  config.class_capacity = {1, 1, 1};
  config.total_capacity = 1;
  RequestQueue queue(config);
  queue.push(1, kHigh, kNever, 0);
  const auto taken = queue.pop();
  queue.push(2, kHigh, kNever, 0);
  queue.restore(1, kHigh, taken->seq, kNever, 0);
  EXPECT_EQ(queue.size(), 2);
  EXPECT_EQ(queue.stats().peak, 2);
  EXPECT_EQ(queue.push(3, kHigh, kNever, 0), Admission::class_full);
  EXPECT_EQ(pop_all(queue), (std::vector<Id>{1, 2}));
}

TEST(RequestQueue, ARestoredCallWaitsAnew) {
  RequestQueue queue(RequestQueueConfig::game());
  queue.push(1, kHigh, kNever, 0);
  const auto taken = queue.pop();
  queue.restore(1, kHigh, taken->seq, kNever, 2 * kSecond);
  EXPECT_EQ(queue.next_expiry(), 5 * kSecond);
  EXPECT_EQ(queue.peek()->queued_at, 2 * kSecond);
  queue.remove(1);
  queue.restore(1, kHigh, taken->seq, 4 * kSecond, 2 * kSecond);
  EXPECT_EQ(ids_of(queue.expire(4 * kSecond)), (std::vector<Id>{1}));
}

TEST(RequestQueue, RestoringACallThatWaitsChangesNothing) {
  RequestQueue queue(roomy());
  queue.push(1, kHigh, kNever, 0);
  queue.push(2, kLow, kNever, 0);
  const auto before = queue.state_hash();
  queue.restore(2, kHigh, 1, 5, 0);
  EXPECT_EQ(queue.state_hash(), before);
  EXPECT_EQ(queue.stats().restored, 0);
}

TEST(RequestQueue, ASeqThatThisQueueNeverGaveOutStillStandsBeforeThoseThatComeLater) {
  RequestQueue queue(roomy());
  queue.restore(1, kHigh, 500, kNever, 0);
  queue.push(2, kHigh, kNever, 0);
  queue.restore(3, kHigh, 500, kNever, 0);
  queue.restore(4, kHigh, std::numeric_limits<std::uint64_t>::max(), kNever, 0);
  EXPECT_EQ(pop_all(queue), (std::vector<Id>{1, 3, 2, 4})) << "and the same seq twice loses nobody";
  EXPECT_EQ(queue.push(5, kHigh, kNever, 0), Admission::accepted);
  EXPECT_EQ(pop_all(queue), (std::vector<Id>{5}));
}

// --- LOW's share -----------------------------------------------------------------------------------------------------

TEST(RequestQueue, EveryTwentiethDispatchGoesToTheOldestLow) {
  RequestQueue queue(RequestQueueConfig::server());
  for (Id id = 1; id <= 1000; ++id) queue.push(id, id % 2 == 0 ? kHigh : kMedium, kNever, 0);
  for (Id id = 2001; id <= 2100; ++id) queue.push(id, kLow, kNever, 0);
  Id oldest_low = 2001;
  for (int dispatch = 1; dispatch <= 1000; ++dispatch) {
    const auto entry = queue.pop();
    if (dispatch % 20 == 0) {
      EXPECT_EQ(entry->id, oldest_low++) << dispatch;
    } else {
      EXPECT_NE(entry->priority, kLow) << dispatch;
    }
  }
}

TEST(RequestQueue, ALowThatComesAfterItsTurnPassedGoesNextButOnlyOne) {
  RequestQueue queue(RequestQueueConfig::server());
  for (Id id = 1; id <= 200; ++id) queue.push(id, kHigh, kNever, 0);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(queue.pop()->priority, kHigh);
  queue.push(1001, kLow, kNever, 0);
  queue.push(1002, kLow, kNever, 0);
  EXPECT_EQ(queue.pop()->id, 1001U);
  for (int i = 0; i < 19; ++i) ASSERT_EQ(queue.pop()->priority, kHigh);
  EXPECT_EQ(queue.pop()->id, 1002U);
}

TEST(RequestQueue, ALowThatWentInTheOrdinaryOrderHasHadItsTurn) {
  RequestQueue queue(RequestQueueConfig::server());
  for (Id id = 1; id <= 19; ++id) queue.push(id, kHigh, kNever, 0);
  for (int i = 0; i < 18; ++i) queue.pop();
  queue.remove(19);
  queue.push(1001, kLow, kNever, 0);
  EXPECT_EQ(queue.pop()->id, 1001U);
  for (Id id = 20; id <= 60; ++id) queue.push(id, kHigh, kNever, 0);
  queue.push(1002, kLow, kNever, 0);
  for (int i = 0; i < 19; ++i) ASSERT_EQ(queue.pop()->priority, kHigh);
  EXPECT_EQ(queue.pop()->id, 1002U);
}

TEST(RequestQueue, InStrictOrderLowWaitsForAllOthers) {
  RequestQueue queue(roomy(0));
  queue.push(1000, kLow, kNever, 0);
  for (Id id = 1; id <= 100; ++id) queue.push(id, kHigh, kNever, 0);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(queue.pop()->priority, kHigh);
  EXPECT_EQ(queue.pop()->id, 1000U);
}

// --- state -----------------------------------------------------------------------------------------------------------

TEST(RequestQueue, TheHashTellsStatesApartAndForgetsHowTheyCameAbout) {
  RequestQueue a(roomy());
  RequestQueue b(roomy());
  const auto empty = a.state_hash();
  EXPECT_EQ(empty, b.state_hash());
  a.push(1, kHigh, 50, 0);
  b.push(1, kHigh, 51, 0);
  EXPECT_NE(a.state_hash(), empty);
  EXPECT_NE(a.state_hash(), b.state_hash()) << "deadlines decide";
  a.push(2, kLow, kNever, 3);
  a.push(3, kLow, kNever, 3);
  const auto two = a.state_hash();
  const auto seq = [&] { return a.pop(); }()->seq;
  EXPECT_NE(a.state_hash(), two);
  a.restore(1, kHigh, seq, 50, 0);
  EXPECT_EQ(a.state_hash(), two);
  EXPECT_TRUE(a.expire(49).empty());
  EXPECT_EQ(a.state_hash(), two) << "nothing was due";
}

TEST(RequestQueue, TheHashKnowsWhetherLowIsDue) {
  RequestQueue a(roomy(20));
  RequestQueue b(roomy(20));
  a.push(1, kHigh, kNever, 0);
  b.push(1, kLow, kNever, 0);
  EXPECT_TRUE(a.pop() && b.pop());
  EXPECT_NE(a.state_hash(), b.state_hash());
}

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
