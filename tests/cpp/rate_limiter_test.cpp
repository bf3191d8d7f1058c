#include "llmcore/rate_limiter.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <vector>

#include "llmcore/rng.hpp"

namespace llmcore {
namespace {

__extension__ typedef __int128 Int128;

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr Instant kStart = 1'000 * kSecond;

// --- TokenBucket -----------------------------------------------------------------------------------------------------

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

// --- RateLimiter: requests -------------------------------------------------------------------------------------------

RateLimiterConfig limits(std::int64_t requests, std::int64_t tokens = 0, std::int64_t in_flight = 0,
                         bool burst = true) {
  RateLimiterConfig config;
  config.requests_per_minute = requests;
  config.tokens_per_minute = tokens;
  config.max_in_flight = in_flight;
  config.minute_burst = burst;
  return config;
}

constexpr bool kServer = false;

TEST(RateLimiter, AdmitsSixtyAtOnceByDefaultAndThenOneASecond) {
  RateLimiter limiter(RateLimiterConfig{}, kStart);
  for (int i = 0; i < 60; ++i) EXPECT_TRUE(limiter.try_acquire(1, kStart));
  EXPECT_FALSE(limiter.try_acquire(1, kStart));
  EXPECT_EQ(limiter.time_until(1, kStart), kSecond);
  EXPECT_FALSE(limiter.try_acquire(1, kStart + kSecond - 1));
  EXPECT_TRUE(limiter.try_acquire(1, kStart + kSecond));
  EXPECT_EQ(limiter.stats().admitted, 61);
  EXPECT_EQ(limiter.stats().denied, 2);
}

TEST(RateLimiter, AcquiresManyAtOnceOrNone) {
  RateLimiter limiter(limits(60), kStart);
  EXPECT_TRUE(limiter.try_acquire(50, kStart));
  EXPECT_FALSE(limiter.try_acquire(11, kStart));
  EXPECT_EQ(limiter.time_until(11, kStart), kSecond);
  EXPECT_TRUE(limiter.try_acquire(10, kStart));
  EXPECT_EQ(limiter.time_until(1'000, kStart), kMinute);  // more than the limit counts as the limit
  EXPECT_TRUE(limiter.try_acquire(1'000, kStart + kMinute));
  EXPECT_EQ(limiter.stats().available_requests, 0);
}

TEST(RateLimiter, AdmitsNothingAskedForAtOnce) {
  RateLimiter limiter(limits(1), kStart);
  EXPECT_TRUE(limiter.try_acquire(1, kStart));
  EXPECT_TRUE(limiter.try_acquire(0, kStart));
  EXPECT_TRUE(limiter.try_acquire(-3, kStart));
  EXPECT_EQ(limiter.time_until(0, kStart), 0);
  EXPECT_EQ(limiter.stats().admitted, 1);
}

TEST(RateLimiter, AdmitsEverythingWithoutLimits) {
  RateLimiter limiter(limits(0), kStart);
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(limiter.reserve(kMax, kStart));
  EXPECT_TRUE(limiter.try_acquire(kMax, kStart));
  EXPECT_EQ(limiter.ready_at(kMax, kStart), kStart);
  EXPECT_EQ(limiter.stats().available_requests, -1);
  EXPECT_EQ(limiter.stats().available_tokens, -1);
  EXPECT_EQ(limiter.stats().reserved_tokens, kMax);
}

TEST(RateLimiter, StandsStillWhenTheClockGoesBack) {
  RateLimiter limiter(limits(60), kStart);
  EXPECT_TRUE(limiter.try_acquire(60, kStart));
  EXPECT_FALSE(limiter.try_acquire(1, kStart - kHour));
  EXPECT_EQ(RateLimiter(limits(60), kStart).ready_at(0, kStart - kHour), kStart - kHour);
  EXPECT_EQ(limiter.ready_at(0, kStart - kHour), kStart + kSecond);
  EXPECT_EQ(limiter.time_until(1, kStart - kHour), kHour + kSecond);
  EXPECT_FALSE(limiter.try_acquire(1, kStart + kSecond - 1));
  EXPECT_TRUE(limiter.try_acquire(1, kStart + kSecond));
}

TEST(RateLimiter, RefusesUnusableConfigurations) {
  EXPECT_EQ(limits(0, 0, 0).problem(), nullptr);
  EXPECT_EQ(limits(1'000'000'000'000, 1'000'000'000'000, kMax).problem(), nullptr);
  for (const RateLimiterConfig& bad :
       {limits(-1), limits(0, -1), limits(0, 0, -1), limits(1'000'000'000'001), limits(0, 1'000'000'000'001)}) {
    EXPECT_NE(bad.problem(), nullptr);
    EXPECT_THROW(RateLimiter(bad, kStart), std::invalid_argument);
  }
}

// --- RateLimiter: tokens and slots -----------------------------------------------------------------------------------

TEST(RateLimiter, HoldsRequestsAndTokensTogether) {
  RateLimiter limiter(limits(60, 6'000), kStart);
  const auto first = limiter.reserve(5'000, kStart);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->requests, 1);
  EXPECT_EQ(first->tokens, 5'000);
  EXPECT_FALSE(limiter.reserve(1'001, kStart));
  EXPECT_EQ(limiter.ready_at(1'001, kStart), kStart + 10 * kMillisecond);  // 100 tokens a second
  EXPECT_TRUE(limiter.reserve(1'000, kStart));
  const RateLimiter::Stats stats = limiter.stats();
  EXPECT_EQ(stats.available_requests, 58);
  EXPECT_EQ(stats.available_tokens, 0);
  EXPECT_EQ(stats.reserved_tokens, 6'000);
  EXPECT_EQ(stats.in_flight, 2);
}

TEST(RateLimiter, TakesNothingWhenItRefuses) {
  RateLimiter limiter(limits(60, 6'000, 1), kStart);
  const auto running = limiter.reserve(1'000, kStart);
  ASSERT_TRUE(running);
  EXPECT_FALSE(limiter.reserve(1, kStart));  // no slot
  limiter.settle(*running, 1'000, kStart);
  EXPECT_FALSE(limiter.reserve(5'500, kStart));  // no tokens
  EXPECT_EQ(limiter.stats().available_requests, 59);
  EXPECT_EQ(limiter.stats().available_tokens, 5'000);
  EXPECT_EQ(limiter.stats().reserved_tokens, 0);
  EXPECT_EQ(limiter.stats().denied, 2);
}

TEST(RateLimiter, SettlesToWhatWasUsed) {
  RateLimiter limiter(limits(60, 6'000), kStart);
  const auto less = limiter.reserve(3'000, kStart);
  const auto more = limiter.reserve(3'000, kStart);
  ASSERT_TRUE(less && more);
  limiter.settle(*less, 400, kStart);
  EXPECT_EQ(limiter.stats().available_tokens, 2'600);
  limiter.settle(*more, 6'000, kStart);
  EXPECT_EQ(limiter.stats().available_tokens, -400);  // in debt
  EXPECT_EQ(limiter.stats().available_requests, 58);  // a request that was sent stays consumed
  EXPECT_EQ(limiter.stats().reserved_tokens, 0);
  EXPECT_EQ(limiter.stats().in_flight, 0);
  EXPECT_EQ(limiter.ready_at(1, kStart), kStart + 4'010 * kMillisecond);
}

TEST(RateLimiter, SettlesACallToNoMoreThanTheLimit) {
  RateLimiter limiter(limits(0, 6'000), kStart);
  const auto call = limiter.reserve(10, kStart);
  ASSERT_TRUE(call);
  limiter.settle(*call, kMax, kStart);
  EXPECT_EQ(limiter.stats().available_tokens, 0);
  const auto odd = limiter.reserve(0, kStart);
  ASSERT_TRUE(odd);
  limiter.settle(*odd, -7, kStart);
  EXPECT_EQ(limiter.stats().available_tokens, 0);
}

TEST(RateLimiter, RefundsACallThatWasNeverSent) {
  RateLimiter limiter(limits(60, 6'000, 1), kStart);
  const auto call = limiter.reserve(6'000, kStart);
  ASSERT_TRUE(call);
  EXPECT_FALSE(limiter.at_rest(kStart));
  limiter.refund(*call, kStart);
  EXPECT_TRUE(limiter.at_rest(kStart));
  EXPECT_EQ(limiter.stats().available_requests, 60);
  EXPECT_EQ(limiter.stats().available_tokens, 6'000);
  EXPECT_TRUE(limiter.reserve(6'000, kStart));
}

TEST(RateLimiter, NeverHoldsMoreThanItsCapacityAfterARefund) {
  RateLimiter limiter(limits(60, 6'000), kStart);
  const auto call = limiter.reserve(6'000, kStart);
  ASSERT_TRUE(call);
  limiter.refund(*call, kStart + kMinute);
  EXPECT_EQ(limiter.stats().available_requests, 60);
  EXPECT_EQ(limiter.stats().available_tokens, 6'000);
}

TEST(RateLimiter, SaysNeverWhileOnlyAFreedSlotCanHelp) {
  RateLimiter limiter(limits(60, 0, 2), kStart);
  const auto a = limiter.reserve(1, kStart);
  EXPECT_EQ(limiter.ready_at(1, kStart), kStart);
  const auto b = limiter.reserve(1, kStart);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(limiter.ready_at(1, kStart), kNever);
  EXPECT_FALSE(limiter.reserve(1, kStart + kHour));
  limiter.settle(*a, 1, kStart + kHour);
  EXPECT_EQ(limiter.ready_at(1, kStart + kHour), kStart + kHour);
  EXPECT_TRUE(limiter.reserve(1, kStart + kHour));
}

TEST(RateLimiter, LetsACallLargerThanTheCapacityGoWhenFull) {
  RateLimiter limiter(limits(0, 100'000, 0, kServer), kStart);  // capacity 1,500, refill 98,500
  ASSERT_TRUE(limiter.reserve(1, kStart));
  EXPECT_FALSE(limiter.reserve(4'000, kStart));
  const Instant full = limiter.ready_at(4'000, kStart);
  EXPECT_EQ(full, kStart + (kMinute + 98'499) / 98'500);
  const auto large = limiter.reserve(4'000, full);
  ASSERT_TRUE(large);  // although another is in flight: it is smaller than the limit
  EXPECT_EQ(large->tokens, 4'000);
  EXPECT_EQ(limiter.stats().available_tokens, 1'500 - 4'000);
}

TEST(RateLimiter, CapsACallLargerThanTheLimitAndLetsItGoAlone) {
  RateLimiter limiter(limits(60, 6'000), kStart);
  const auto small = limiter.reserve(0, kStart);
  ASSERT_TRUE(small);
  EXPECT_FALSE(limiter.reserve(6'001, kStart));
  EXPECT_EQ(limiter.ready_at(6'001, kStart), kNever);
  EXPECT_EQ(limiter.ready_at(6'000, kStart), kStart);  // exactly the limit need not be alone
  limiter.settle(*small, 0, kStart);
  EXPECT_EQ(limiter.ready_at(1'000'000, kStart), kStart);
  const auto large = limiter.reserve(1'000'000, kStart);
  ASSERT_TRUE(large);
  EXPECT_EQ(large->tokens, 6'000);
  EXPECT_EQ(limiter.stats().reserved_tokens, 6'000);
  EXPECT_EQ(limiter.stats().available_tokens, 0);
  limiter.settle(*large, 1'000'000, kStart);
  EXPECT_EQ(limiter.stats().available_tokens, 0);
}

TEST(RateLimiter, IgnoresASettlementTooMany) {
  RateLimiter limiter(limits(60, 6'000), kStart);
  const auto call = limiter.reserve(100, kStart);
  ASSERT_TRUE(call);
  limiter.settle(*call, 100, kStart);
  limiter.settle(*call, 100, kStart);
  EXPECT_EQ(limiter.stats().in_flight, 0);
  EXPECT_EQ(limiter.stats().reserved_tokens, 0);
  limiter.settle({1, kMin}, kMax, kStart);
  limiter.refund({kMin, kMin}, kStart);
  EXPECT_EQ(limiter.stats().in_flight, 0);
  EXPECT_EQ(limiter.stats().reserved_tokens, 0);
}

// --- RateLimiter: what the provider says -----------------------------------------------------------------------------

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

RateObservation requests_left(std::int64_t remaining, Duration reset) {
  RateObservation observation;
  observation.remaining_requests = remaining;
  observation.requests_reset = reset;
  return observation;
}

RateObservation tokens_left(std::int64_t remaining, Duration reset) {
  RateObservation observation;
  observation.remaining_tokens = remaining;
  observation.tokens_reset = reset;
  return observation;
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

// --- RateLimiter: laws -----------------------------------------------------------------------------------------------

TEST(RateLimiter, HasNoLimitByDefaultInItsStats) {
  const RateLimiter::Stats stats;
  EXPECT_EQ(stats.available_requests, -1);
  EXPECT_EQ(stats.available_tokens, -1);
}

TEST(RateLimiter, ReturnsToRest) {
  RateLimiter limiter(limits(60, 6'000), kStart);
  EXPECT_TRUE(limiter.at_rest(kStart));
  const auto call = limiter.reserve(600, kStart);
  ASSERT_TRUE(call);
  EXPECT_FALSE(limiter.at_rest(kStart + kHour));  // still in flight
  limiter.settle(*call, 1'200, kStart + kHour);
  EXPECT_FALSE(limiter.at_rest(kStart + kHour + 6 * kSecond - 1));
  EXPECT_TRUE(limiter.at_rest(kStart + kHour + 6 * kSecond));
  RateLimiter open(limits(0), kStart);
  open.observe(requests_left(100, kSecond), kStart);
  EXPECT_FALSE(open.at_rest(kStart + kSecond - 1));
  EXPECT_TRUE(open.at_rest(kStart + kSecond));
}

// A limiter in any state that a random history can bring about.
struct Walk {
  Rng rng;
  RateLimiter limiter;
  Instant now = kStart;
  std::vector<RateLimiter::Reservation> open;
  std::int64_t largest;

  Walk(std::uint64_t seed, Rng setup)
      : rng(seed),
        limiter(limits(setup.below(4) == 0 ? 0 : setup.between(1, 1 << setup.between(1, 12)),
                       setup.below(4) == 0 ? 0 : setup.between(1, 1 << setup.between(1, 20)),
                       setup.below(2) == 0 ? 0 : setup.between(1, 8), setup.below(2) == 0),
                kStart),
        largest(std::int64_t{1} << setup.between(1, 21)) {}

  std::int64_t tokens() { return rng.between(0, largest >> rng.between(0, 20)); }

  void step() {
    switch (rng.below(8)) {
      case 0: now += rng.between(0, 2 * kSecond); break;
      case 1: now += rng.between(0, 1'000); break;
      case 2: limiter.try_acquire(rng.between(1, 3), now); break;
      case 3:
        if (!open.empty()) {
          limiter.settle(open.back(), tokens(), now);
          open.pop_back();
        }
        break;
      case 4:
        if (!open.empty() && rng.below(4) == 0) {
          limiter.refund(open.front(), now);
          open.erase(open.begin());
        }
        break;
      case 5:
        if (rng.below(20) == 0) limiter.pause_until(now + rng.between(0, kSecond));
        if (rng.below(4) == 0) limiter.observe(requests_left(rng.between(0, 50), rng.between(0, kSecond)), now);
        if (rng.below(4) == 0) limiter.observe(tokens_left(tokens(), rng.between(0, kSecond)), now);
        break;
      default:
        if (const auto reservation = limiter.reserve(tokens(), now)) open.push_back(*reservation);
    }
  }
};

TEST(RateLimiter, IsReadyExactlyWhenItSaysSo) {
  Rng seeds(9);
  int waited = 0;
  int never = 0;
  for (int round = 0; round < 1'000; ++round) {
    SCOPED_TRACE(round);
    Walk walk(seeds.next(), Rng(seeds.next()));
    for (int step = 0; step < 60; ++step) {
      walk.step();
      const std::int64_t tokens = walk.tokens();
      RateLimiter asked = walk.limiter;
      const Instant at = asked.ready_at(tokens, walk.now);
      ASSERT_GE(at, walk.now);
      if (at == kNever) {
        ++never;
        ASSERT_GT(asked.stats().in_flight, 0);
        RateLimiter late = walk.limiter;
        ASSERT_FALSE(late.reserve(tokens, walk.now + 1'000 * kHour));
        continue;
      }
      RateLimiter then = walk.limiter;
      ASSERT_TRUE(then.reserve(tokens, at));
      if (at > walk.now) {
        ++waited;
        RateLimiter before = walk.limiter;
        ASSERT_FALSE(before.reserve(tokens, at - 1));
      }

      const std::int64_t n = walk.rng.between(1, 5);
      RateLimiter alone = walk.limiter;
      const Duration wait = alone.time_until(n, walk.now);
      RateLimiter acquired = walk.limiter;
      ASSERT_TRUE(acquired.try_acquire(n, walk.now + wait));
      if (wait > 0) {
        RateLimiter before = walk.limiter;
        ASSERT_FALSE(before.try_acquire(n, walk.now + wait - 1));
      }
    }
  }
  EXPECT_GT(waited, 1'000);
  EXPECT_GT(never, 1'000);
}

// P4, by brute force over every pair of instants: what was admitted in a span and not given back fits capacity + refill
// x span.
TEST(RateLimiter, NeverAdmitsMoreThanItsBurstAndRate) {
  struct Event {
    Instant at;
    std::int64_t requests;
    std::int64_t tokens;
  };
  Rng rng(10);
  for (int round = 0; round < 120; ++round) {
    SCOPED_TRACE(round);
    const bool burst = round % 2 == 0;
    const std::int64_t requests = rng.between(1, 3'000);
    const std::int64_t tokens = rng.between(1, 1'000'000);
    const auto capacity = [burst](std::int64_t limit) {
      return burst ? limit : std::max<std::int64_t>(limit * 15 / 1000, 1);
    };
    const auto refill = [&](std::int64_t limit) {
      return burst ? limit : std::max<std::int64_t>(limit - capacity(limit), 1);
    };
    RateLimiter limiter(limits(requests, tokens, 0, burst), kStart);
    std::vector<Event> events;
    std::vector<RateLimiter::Reservation> open;
    Instant now = kStart;
    const Duration longest = rng.between(1, kMinute / 4);
    for (int step = 0; step < 250; ++step) {
      if (rng.below(3) == 0) now += rng.between(0, longest);
      if (rng.below(3) == 0 && !open.empty()) {
        const std::size_t i = static_cast<std::size_t>(rng.below(open.size()));
        (void)limiter.ready_at(0, now);  // so that the change below is the settlement's alone
        const RateLimiter::Stats before = limiter.stats();
        if (rng.below(2) == 0) {
          limiter.refund(open[i], now);
        } else {
          limiter.settle(open[i], rng.between(0, 2 * open[i].tokens), now);
        }
        open.erase(open.begin() + static_cast<std::ptrdiff_t>(i));
        const RateLimiter::Stats after = limiter.stats();
        events.push_back({now, std::min<std::int64_t>(before.available_requests - after.available_requests, 0),
                          std::min<std::int64_t>(before.available_tokens - after.available_tokens, 0)});
      } else if (rng.below(2) == 0) {
        const std::int64_t n = rng.between(0, capacity(tokens));
        if (const auto reservation = limiter.reserve(n, now)) {
          open.push_back(*reservation);
          events.push_back({now, 1, n});
        }
      } else {
        const std::int64_t n = rng.between(1, capacity(requests));
        if (limiter.try_acquire(n, now)) events.push_back({now, n, 0});
      }
    }
    for (std::size_t first = 0; first < events.size(); ++first) {
      Int128 admitted_requests = 0;
      Int128 admitted_tokens = 0;
      for (std::size_t last = first; last < events.size(); ++last) {
        admitted_requests += events[last].requests;
        admitted_tokens += events[last].tokens;
        const Int128 span = events[last].at - events[first].at;
        ASSERT_TRUE((admitted_requests - capacity(requests)) * kMinute <= refill(requests) * span);
        ASSERT_TRUE((admitted_tokens - capacity(tokens)) * kMinute <= refill(tokens) * span);
      }
    }
  }
}

// The server preset at full throttle: every call goes the very instant it may.
TEST(RateLimiter, NeverAdmitsMoreThanAServersLimitInAnyMinuteYetAlmostAllOfIt) {
  for (const std::int64_t limit : {50, 60, 100, 500, 3'000, 9'999}) {
    SCOPED_TRACE(limit);
    RateLimiter limiter(limits(limit, 0, 0, kServer), kStart);
    std::vector<Instant> admitted;
    constexpr std::int64_t kMinutes = 20;
    Instant now = kStart;
    for (;;) {
      now = limiter.ready_at(0, now);
      if (now >= kStart + kMinutes * kMinute) break;
      ASSERT_TRUE(limiter.reserve(0, now));
      admitted.push_back(now);
    }
    std::size_t first = 0;
    for (std::size_t last = 0; last < admitted.size(); ++last) {
      while (admitted[last] - admitted[first] > kMinute) ++first;
      ASSERT_LE(static_cast<std::int64_t>(last - first + 1), limit);
    }
    EXPECT_GE(static_cast<std::int64_t>(admitted.size()) * 100, limit * kMinutes * 98);
  }
}

TEST(RateLimiter, NeverAdmitsMoreTokensThanAServersLimitInAnyMinuteYetAlmostAllOfThem) {
  Rng rng(12);
  constexpr std::int64_t kLimit = 200'000;  // capacity 3,000
  RateLimiter limiter(limits(0, kLimit, 0, kServer), kStart);
  std::vector<std::pair<Instant, std::int64_t>> admitted;
  constexpr std::int64_t kMinutes = 20;
  Instant now = kStart;
  std::int64_t total = 0;
  for (;;) {
    const std::int64_t tokens = rng.between(1, 3'000);
    now = limiter.ready_at(tokens, now);
    if (now >= kStart + kMinutes * kMinute) break;
    ASSERT_TRUE(limiter.reserve(tokens, now));
    admitted.emplace_back(now, tokens);
    total += tokens;
  }
  std::size_t first = 0;
  std::int64_t within = 0;
  for (const auto& [at, tokens] : admitted) {
    within += tokens;
    while (at - admitted[first].first > kMinute) within -= admitted[first++].second;
    ASSERT_LE(within, kLimit);
  }
  EXPECT_GE(total * 100, kLimit * kMinutes * 98);
}

TEST(RateLimiter, KeepsItsRateThroughCallsLargerThanItsCapacity) {
  constexpr std::int64_t kLimit = 100'000;  // capacity 1,500, refill 98,500
  RateLimiter limiter(limits(0, kLimit, 0, kServer), kStart);
  std::int64_t total = 0;
  constexpr std::int64_t kMinutes = 50;
  for (Instant now = kStart;;) {
    now = limiter.ready_at(40'000, now);
    if (now >= kStart + kMinutes * kMinute) break;
    const auto call = limiter.reserve(40'000, now);
    ASSERT_TRUE(call);
    limiter.settle(*call, 40'000, now);
    total += 40'000;
  }
  EXPECT_LE(total, 98'500 * kMinutes + 40'000);
  EXPECT_GE(total, 98'500 * kMinutes - 40'000);
}

TEST(RateLimiter, AdmitsOnePerMinuteAtAServersLimitOfOne) {
  RateLimiter limiter(limits(1, 0, 0, kServer), kStart);
  EXPECT_TRUE(limiter.reserve(0, kStart));
  EXPECT_EQ(limiter.ready_at(0, kStart), kStart + kMinute);
}

TEST(RateLimiter, HashesEverythingThatDecides) {
  const RateLimiter base(limits(60, 6'000, 8), kStart);
  EXPECT_EQ(base.state_hash(), RateLimiter(limits(60, 6'000, 8), kStart).state_hash());
  std::vector<std::uint64_t> hashes = {base.state_hash()};
  const auto add = [&hashes](const RateLimiter& limiter) { hashes.push_back(limiter.state_hash()); };
  add(RateLimiter(limits(61, 6'000, 8), kStart));
  add(RateLimiter(limits(60, 6'001, 8), kStart));
  add(RateLimiter(limits(60, 6'000, 9), kStart));
  add(RateLimiter(limits(60, 6'000, 8, kServer), kStart));
  add(RateLimiter(limits(60, 6'000, 8), kStart + 1));
  add(RateLimiter(limits(60, 0, 8), kStart));
  const auto changed = [&](const auto& change) {
    RateLimiter limiter = base;
    change(limiter);
    add(limiter);
  };
  changed([](RateLimiter& l) { l.try_acquire(1, kStart); });
  changed([](RateLimiter& l) { l.try_acquire(2, kStart); });
  changed([](RateLimiter& l) { (void)l.reserve(0, kStart); });
  changed([](RateLimiter& l) { (void)l.reserve(1, kStart); });
  changed([](RateLimiter& l) { l.settle(*l.reserve(1, kStart), 1, kStart); });
  changed([](RateLimiter& l) { l.refund(*l.reserve(1, kStart), kStart); });
  changed([](RateLimiter& l) { l.pause_until(kStart + 1); });
  changed([](RateLimiter& l) { l.pause_until(kStart + 2); });
  changed([](RateLimiter& l) { l.observe(requests_left(5, 0), kStart); });
  changed([](RateLimiter& l) { l.observe(tokens_left(5, 0), kStart); });
  // The same figures but for a fraction of a token, and but for what an observation has counted already.
  changed([](RateLimiter& l) {
    l.try_acquire(1, kStart);
    EXPECT_EQ(l.ready_at(0, kStart + 7), kStart + 7);
  });
  changed([](RateLimiter& l) {
    EXPECT_EQ(l.ready_at(0, kStart + 6), kStart + 6);
    l.try_acquire(1, kStart + 6);
    EXPECT_EQ(l.ready_at(0, kStart + 7), kStart + 7);
  });
  changed([](RateLimiter& l) {
    (void)l.reserve(10, kStart);
    (void)l.reserve(10, kStart);
    l.observe(tokens_left(5'000, 0), kStart);
  });
  changed([](RateLimiter& l) {
    (void)l.reserve(10, kStart);
    l.observe(tokens_left(5'010, 0), kStart);
    (void)l.reserve(10, kStart);
  });
  RateLimiter open(limits(0), kStart);
  add(open);
  open.observe(requests_left(5, kSecond), kStart);
  add(open);
  open.observe(requests_left(5, 2 * kSecond), kStart);
  add(open);
  open.observe(requests_left(4, 2 * kSecond), kStart);
  add(open);
  std::sort(hashes.begin(), hashes.end());
  EXPECT_EQ(std::adjacent_find(hashes.begin(), hashes.end()), hashes.end());
}

TEST(RateLimiter, DoesNotHashWhatDecidesNothing) {
  RateLimiter a(limits(1), kStart);
  ASSERT_TRUE(a.try_acquire(1, kStart));
  RateLimiter b = a;
  EXPECT_FALSE(a.try_acquire(1, kStart));  // counted as denied
  EXPECT_EQ(a.state_hash(), b.state_hash());
  b.pause_until(kStart + kSecond);
  EXPECT_NE(a.state_hash(), b.state_hash());
  EXPECT_EQ(a.ready_at(0, kStart + kHour), b.ready_at(0, kStart + kHour));
  EXPECT_EQ(a.state_hash(), b.state_hash());  // the pause is over
}

}  // namespace
}  // namespace llmcore
