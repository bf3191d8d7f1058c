// How long calls wait, and calls that are taken out or put back.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
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
using testing::pop_all;
using testing::roomy;

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

}  // namespace
}  // namespace llmcore
