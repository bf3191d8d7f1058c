// Whom the limiter admits: requests, tokens and slots together, given back and settled.
#include "llmcore/rate_limiter.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

#include "llmcore/rng.hpp"
#include "rate_limiter_cases.hpp"

namespace llmcore {
namespace {

using testing::kMax;
using testing::kMin;
using testing::kServer;
using testing::kStart;
using testing::limits;

// --- RateLimiter: requests -------------------------------------------------------------------------------------------

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

// --- RateLimiter: laws -----------------------------------------------------------------------------------------------

TEST(RateLimiter, HasNoLimitByDefaultInItsStats) {
  const RateLimiter::Stats stats;
  EXPECT_EQ(stats.available_requests, -1);
  EXPECT_EQ(stats.available_tokens, -1);
}

}  // namespace
}  // namespace llmcore
