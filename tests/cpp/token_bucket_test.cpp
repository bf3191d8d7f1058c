// The bucket under each limit: integers with a carry, so that nothing drifts.
#include <gtest/gtest.h>

#include "llmcore/rate_limiter.hpp"
#include "llmcore/rng.hpp"
#include "rate_limiter_cases.hpp"

namespace llmcore {
namespace {

using testing::Int128;
using testing::kMax;
using testing::kMin;
using testing::kStart;

TEST(TokenBucket, StartsFullAndRefillsByTheNanosecond) {
  TokenBucket bucket(60, 60, 0);
  EXPECT_EQ(bucket.available(), 60);
  bucket.take(60);
  EXPECT_FALSE(bucket.has(1));
  EXPECT_EQ(bucket.time_until(1), kSecond);
  bucket.refill(kSecond - 1);
  EXPECT_FALSE(bucket.has(1));
  EXPECT_EQ(bucket.carry(), (kSecond - 1) * 60);
  EXPECT_EQ(bucket.time_until(1), 1);
  bucket.refill(kSecond);
  EXPECT_TRUE(bucket.has(1));
  EXPECT_EQ(bucket.available(), 1);
  EXPECT_EQ(bucket.carry(), 0);
}

TEST(TokenBucket, CarriesTheRemainder) {
  TokenBucket bucket(100, 7, 0);  // one unit every 8.571428... s
  bucket.take(100);
  bucket.refill(10 * kSecond);
  EXPECT_EQ(bucket.available(), 1);
  EXPECT_EQ(bucket.carry(), 7 * 10 * kSecond - kMinute);
  bucket.refill(kMinute);
  EXPECT_EQ(bucket.available(), 7);
  EXPECT_EQ(bucket.carry(), 0);
}

TEST(TokenBucket, NeverHoldsMoreThanItsCapacity) {
  TokenBucket bucket(5, 60, 0);
  bucket.take(1);
  bucket.refill(kMinute + 1);
  EXPECT_EQ(bucket.available(), 5);
  EXPECT_EQ(bucket.carry(), 0);
  bucket.give(3);
  EXPECT_EQ(bucket.available(), 5);
  bucket.take(4);
  bucket.give(kMax);
  EXPECT_EQ(bucket.available(), 5);
}

TEST(TokenBucket, StandsStillWhenTheClockGoesBack) {
  TokenBucket bucket(60, 60, kMinute);
  bucket.take(60);
  bucket.refill(0);
  EXPECT_EQ(bucket.available(), 0);
  bucket.refill(kMinute + kSecond);  // only the one second since the furthest instant counts
  EXPECT_EQ(bucket.available(), 1);
}

TEST(TokenBucket, LetsALargerDemandGoWhenFullAndIsThenInDebt) {
  TokenBucket bucket(10, 60, 0);
  EXPECT_TRUE(bucket.has(25));
  bucket.take(25);
  EXPECT_EQ(bucket.available(), -15);
  EXPECT_TRUE(bucket.has(0));
  EXPECT_EQ(bucket.time_until(1), 16 * kSecond);
  EXPECT_EQ(bucket.time_until(25), 25 * kSecond);  // until it is full again
  bucket.refill(24 * kSecond);
  EXPECT_FALSE(bucket.has(25));
  bucket.refill(25 * kSecond);
  EXPECT_TRUE(bucket.has(25));
}

TEST(TokenBucket, IsLoweredButNeverRaised) {
  TokenBucket bucket(10, 60, 0);
  EXPECT_TRUE(bucket.lower_to(4));
  EXPECT_EQ(bucket.available(), 4);
  EXPECT_FALSE(bucket.lower_to(4));
  EXPECT_FALSE(bucket.lower_to(9));
  EXPECT_EQ(bucket.available(), 4);
}

TEST(TokenBucket, LosesItsCarryWhenItIsLowered) {
  TokenBucket bucket(10, 60, 0);
  bucket.take(5);
  bucket.refill(kSecond / 2);
  EXPECT_GT(bucket.carry(), 0);
  EXPECT_TRUE(bucket.lower_to(0));
  EXPECT_EQ(bucket.time_until(1), kSecond);
}

TEST(TokenBucket, KeepsItsCarryWhenThereIsNothingToLower) {
  TokenBucket bucket(10, 60, 0);
  bucket.take(10);
  bucket.refill(kSecond / 2);
  bucket.lower_to(0);
  EXPECT_EQ(bucket.time_until(1), kSecond / 2);
}

TEST(TokenBucket, SurvivesTheEndsOfTheRange) {
  TokenBucket bucket(kMax, 1'000'000'000'000, kMin);
  bucket.take(kMax);
  bucket.take(kMax);
  bucket.take(kMax);
  EXPECT_EQ(bucket.available(), kMin);
  EXPECT_EQ(TokenBucket(kMax, 1, 0).time_until(kMax), 0);
  EXPECT_EQ(bucket.time_until(1), Duration{553'402'322'211'286'549});
  bucket.refill(kMax);
  EXPECT_EQ(bucket.available(), kMax);
  TokenBucket slow(kMax, 1, 0);
  slow.take(kMax);
  EXPECT_EQ(slow.time_until(kMax), kNever);
}

// The exact amount after any number of steps is floor(rate x elapsed / minute), however oddly the time was cut.
TEST(TokenBucket, DoesNotDriftInAMillionOddSteps) {
  for (const std::int64_t rate :
       {std::int64_t{1}, std::int64_t{59}, std::int64_t{7'777'777}, std::int64_t{999'999'999'989}}) {
    SCOPED_TRACE(rate);
    constexpr std::int64_t kHuge = kMax / 2;
    TokenBucket bucket(kHuge, rate, kStart);
    bucket.take(kHuge);
    Rng rng(static_cast<std::uint64_t>(rate));
    Instant now = kStart;
    std::int64_t taken = 0;
    for (int step = 0; step < 1'000'000; ++step) {
      now += rng.between(0, 2'000'003);
      bucket.refill(now);
      if (step % 1000 == 0 && bucket.available() > 3) {
        bucket.take(3);
        taken += 3;
      }
    }
    const Int128 units = Int128{now - kStart} * rate;
    EXPECT_EQ(bucket.available(), static_cast<std::int64_t>(units / kMinute) - taken);
    EXPECT_EQ(bucket.carry(), static_cast<std::int64_t>(units % kMinute));
  }
}

TEST(TokenBucket, SaysExactlyWhenThereIsEnough) {
  Rng rng(1);
  int waited = 0;
  for (int round = 0; round < 20'000; ++round) {
    const std::int64_t capacity = rng.between(1, std::int64_t{1} << rng.between(0, 40));
    TokenBucket bucket(capacity, rng.between(1, std::int64_t{1} << rng.between(0, 39)), kStart);
    bucket.take(rng.between(0, 2 * capacity));
    const Instant now = kStart + rng.between(0, kMinute);
    bucket.refill(now);
    const std::int64_t n = rng.between(0, 2 * capacity);
    const Duration wait = bucket.time_until(n);
    ASSERT_EQ(wait == 0, bucket.has(n));
    if (wait == 0 || wait > kNever - now) continue;
    ++waited;
    TokenBucket then = bucket;
    then.refill(now + wait);
    ASSERT_TRUE(then.has(n));
    bucket.refill(now + wait - 1);
    ASSERT_FALSE(bucket.has(n));
  }
  EXPECT_GT(waited, 5'000);
}

}  // namespace
}  // namespace llmcore
