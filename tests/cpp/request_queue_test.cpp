// Whom the queue admits, in which order it gives calls out, and which it shares.
#include "llmcore/request_queue.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "request_queue_cases.hpp"

namespace llmcore {
namespace {

using testing::Admission;
using testing::Id;
using testing::kHigh;
using testing::kLow;
using testing::kMedium;
using testing::pop_all;
using testing::roomy;

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

}  // namespace
}  // namespace llmcore
