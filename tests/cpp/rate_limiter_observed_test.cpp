// What a provider says of its limits: pauses, and headers that tell what is left.
#include <gtest/gtest.h>

#include "llmcore/rate_limiter.hpp"
#include "llmcore/rng.hpp"
#include "rate_limiter_cases.hpp"

namespace llmcore {
namespace {

using testing::kMax;
using testing::kMin;
using testing::kStart;
using testing::limits;
using testing::requests_left;
using testing::tokens_left;

TEST(RateLimiter, AdmitsNothingDuringAPause) {
  RateLimiter limiter(limits(0), kStart);
  limiter.pause_until(kStart + 10 * kSecond);
  EXPECT_FALSE(limiter.reserve(0, kStart));
  EXPECT_FALSE(limiter.try_acquire(1, kStart));
  EXPECT_EQ(limiter.ready_at(0, kStart), kStart + 10 * kSecond);
  EXPECT_EQ(limiter.time_until(1, kStart), 10 * kSecond);
  limiter.pause_until(kStart + 5 * kSecond);  // never shortened
  EXPECT_EQ(limiter.stats().paused_until, kStart + 10 * kSecond);
  EXPECT_EQ(limiter.stats().pauses, 1);
  EXPECT_FALSE(limiter.at_rest(kStart + 10 * kSecond - 1));
  EXPECT_FALSE(limiter.reserve(0, kStart + 10 * kSecond - 1));
  EXPECT_TRUE(limiter.reserve(0, kStart + 10 * kSecond));
  EXPECT_EQ(limiter.stats().paused_until, 0);
  limiter.pause_until(kStart);  // over before it began
  EXPECT_EQ(limiter.stats().pauses, 1);
}

TEST(RateLimiter, LowersAConfiguredBucketToWhatTheProviderSays) {
  RateLimiter limiter(limits(60, 6'000), kStart);
  RateObservation observation = requests_left(3, kMinute);
  observation.remaining_tokens = 500;
  limiter.observe(observation, kStart);
  EXPECT_EQ(limiter.stats().available_requests, 3);
  EXPECT_EQ(limiter.stats().available_tokens, 500);
  EXPECT_FALSE(limiter.at_rest(kStart));
  EXPECT_EQ(limiter.ready_at(501, kStart), kStart + 10 * kMillisecond);  // and refills as configured
  observation.remaining_requests = 59;
  observation.remaining_tokens = 5'999;
  limiter.observe(observation, kStart);  // never raises
  EXPECT_EQ(limiter.stats().available_requests, 3);
  EXPECT_EQ(limiter.stats().available_tokens, 500);
  limiter.observe(RateObservation{}, kStart);
  EXPECT_EQ(limiter.stats().available_requests, 3);
}

TEST(RateLimiter, DoesNotGiveBackWhatTheProviderHasCountedAlready) {
  RateLimiter limiter(limits(60, 6'000), kStart);
  const auto before = limiter.reserve(1'000, kStart);
  const auto never_sent = limiter.reserve(1'000, kStart);
  limiter.observe(tokens_left(500, 0), kStart);
  const auto after = limiter.reserve(200, kStart);
  ASSERT_TRUE(before && never_sent && after);
  limiter.settle(*before, 10, kStart);
  limiter.refund(*never_sent, kStart);
  EXPECT_EQ(limiter.stats().available_tokens, 300);
  EXPECT_EQ(limiter.stats().available_requests, 58);  // requests were not lowered, so this one did come back
  limiter.settle(*after, 50, kStart);
  EXPECT_EQ(limiter.stats().available_tokens, 450);
  EXPECT_EQ(limiter.stats().in_flight, 0);
  EXPECT_EQ(limiter.stats().reserved_tokens, 0);
}

TEST(RateLimiter, GivesBackAsUsualWhenAnObservationLoweredNothing) {
  RateLimiter limiter(limits(60, 6'000), kStart);
  const auto call = limiter.reserve(1'000, kStart);
  ASSERT_TRUE(call);
  limiter.observe(tokens_left(5'000, kMinute), kStart);
  limiter.settle(*call, 10, kStart);
  EXPECT_EQ(limiter.stats().available_tokens, 5'990);
}

TEST(RateLimiter, TakesAnObservationForTheLimitWhereNoneIsConfigured) {
  RateLimiter limiter(limits(0), kStart);
  limiter.observe(requests_left(2, 30 * kSecond), kStart);
  EXPECT_EQ(limiter.stats().available_requests, 2);
  EXPECT_EQ(limiter.stats().available_tokens, -1);
  EXPECT_TRUE(limiter.reserve(0, kStart));
  EXPECT_TRUE(limiter.reserve(0, kStart));
  EXPECT_FALSE(limiter.reserve(0, kStart));
  EXPECT_EQ(limiter.ready_at(0, kStart), kStart + 30 * kSecond);
  EXPECT_FALSE(limiter.reserve(0, kStart + 30 * kSecond - 1));
  EXPECT_TRUE(limiter.reserve(0, kStart + 30 * kSecond));
  EXPECT_EQ(limiter.stats().available_requests, -1);
}

TEST(RateLimiter, WaitsForTheResetWhenNothingIsLeft) {
  RateLimiter limiter(limits(0), kStart);
  limiter.observe(tokens_left(0, 6 * kSecond), kStart + 5);
  EXPECT_EQ(limiter.ready_at(1, kStart + 5), kStart + 5 + 6 * kSecond);
  EXPECT_EQ(limiter.ready_at(0, kStart + 5), kStart + 5);
  EXPECT_EQ(limiter.time_until(1, kStart + 5), 0);  // requests are not limited
  limiter.observe(requests_left(0, 20 * kMillisecond), kStart + 5);
  EXPECT_EQ(limiter.time_until(1, kStart + 5), 20 * kMillisecond);
}

TEST(RateLimiter, LetsWhatIsMissingToAnObservedLimitComeBackEvenly) {
  RateLimiter limiter(limits(0), kStart);
  RateObservation observation = tokens_left(0, 6 * kMinute);
  observation.tokens_limit = 90'000;  // 250 a second
  limiter.observe(observation, kStart);
  EXPECT_EQ(limiter.ready_at(1, kStart), kStart + 4 * kMillisecond);
  EXPECT_EQ(limiter.ready_at(1'000, kStart), kStart + 4 * kSecond);
  EXPECT_FALSE(limiter.reserve(1'000, kStart + 4 * kSecond - 1));
  const auto call = limiter.reserve(1'000, kStart + 4 * kSecond);
  ASSERT_TRUE(call);
  EXPECT_EQ(limiter.stats().available_tokens, 0);
  limiter.settle(*call, 400, kStart + 5 * kSecond);
  EXPECT_EQ(limiter.stats().available_tokens, 850);
  EXPECT_EQ(limiter.ready_at(90'000, kStart + 5 * kSecond), kStart + 6 * kMinute) << "the reset ends it";
  EXPECT_TRUE(limiter.at_rest(kStart + 6 * kMinute));
}

TEST(RateLimiter, NeverHasMoreThanTheObservedLimit) {
  RateLimiter limiter(limits(0), kStart);
  RateObservation observation = tokens_left(500, kMinute);
  observation.tokens_limit = 1'000;
  limiter.observe(observation, kStart);
  const auto call = limiter.reserve(300, kStart);
  ASSERT_TRUE(call);
  limiter.refund(*call, kStart + 59 * kSecond);
  EXPECT_EQ(limiter.stats().available_tokens, 991) << "500 + 500 x 59 / 60";
  EXPECT_EQ(limiter.ready_at(5'000, kStart + 59 * kSecond), kStart + kMinute)
      << "more than the limit waits for all of it";
  observation.remaining_tokens = 2'000;
  limiter.observe(observation, kStart + 59 * kSecond);
  EXPECT_EQ(limiter.stats().available_tokens, 1'000);
  EXPECT_TRUE(limiter.reserve(5'000, kStart + 59 * kSecond)) << "all of it is there";
  EXPECT_EQ(limiter.ready_at(500, kStart + 59 * kSecond), kStart + 89 * kSecond)
      << "filled in a minute, as none is said";
}

TEST(RateLimiter, IgnoresAbsurdObservedLimits) {
  for (const std::int64_t limit : {std::int64_t{0}, std::int64_t{-1}, kMin, kMax, std::int64_t{1'000'000'000'001}}) {
    RateLimiter limiter(limits(0), kStart);
    RateObservation observation = requests_left(0, 30 * kSecond);
    observation.requests_limit = limit;
    limiter.observe(observation, kStart);
    EXPECT_EQ(limiter.ready_at(0, kStart), kStart + 30 * kSecond);
  }
}

TEST(RateLimiter, FollowsTheNewestObservationUpAndDown) {
  RateLimiter limiter(limits(0), kStart);
  limiter.observe(tokens_left(0, kMinute), kStart);
  limiter.observe(tokens_left(9'000, kMinute), kStart);
  EXPECT_EQ(limiter.ready_at(9'000, kStart), kStart);
  limiter.observe(tokens_left(10, kSecond), kStart);
  EXPECT_EQ(limiter.ready_at(11, kStart), kStart + kSecond);
}

TEST(RateLimiter, SettlesAgainstTheObservationThatACallWasTakenFrom) {
  RateLimiter limiter(limits(0), kStart);
  limiter.observe(tokens_left(1'000, kMinute), kStart);
  const auto first = limiter.reserve(800, kStart);
  ASSERT_TRUE(first);
  EXPECT_EQ(limiter.stats().available_tokens, 200);
  limiter.observe(tokens_left(600, kMinute), kStart);  // it has counted the first
  limiter.settle(*first, 400, kStart);
  EXPECT_EQ(limiter.stats().available_tokens, 600);
  const auto second = limiter.reserve(500, kStart);
  const auto third = limiter.reserve(100, kStart);
  ASSERT_TRUE(second && third);
  limiter.settle(*second, 200, kStart);
  EXPECT_EQ(limiter.stats().available_tokens, 300);
  limiter.settle(*third, 1'000, kStart);
  EXPECT_EQ(limiter.stats().available_tokens, 0);
}

TEST(RateLimiter, TakesAnUnsaidOrAbsurdResetForAMinute) {
  for (const Duration reset : {Duration{0}, Duration{-1}, kMin, 24 * kHour + 1, kMax}) {
    RateLimiter limiter(limits(0), kStart);
    limiter.observe(requests_left(0, reset), kStart);
    EXPECT_EQ(limiter.ready_at(0, kStart), kStart + kMinute);
  }
  RateLimiter limiter(limits(0), kStart);
  limiter.observe(requests_left(0, 24 * kHour), kStart);  // a limit per day
  EXPECT_EQ(limiter.ready_at(0, kStart), kStart + 24 * kHour);
}

TEST(RateLimiter, IgnoresAbsurdRemainders) {
  for (const std::int64_t remaining : {std::int64_t{-1}, kMin, kMax, std::int64_t{1'000'000'000'001}}) {
    RateLimiter open(limits(0), kStart);
    open.observe(requests_left(remaining, kMinute), kStart);
    open.observe(tokens_left(remaining, kMinute), kStart);
    EXPECT_TRUE(open.at_rest(kStart));
    RateLimiter configured(limits(60, 60), kStart);
    configured.observe(requests_left(remaining, kMinute), kStart);
    configured.observe(tokens_left(remaining, kMinute), kStart);
    EXPECT_TRUE(configured.at_rest(kStart));
  }
}

}  // namespace
}  // namespace llmcore
