// The circuit breaker: when it opens, who may try, and what closes it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "error_recovery_cases.hpp"
#include "llmcore/error_recovery.hpp"

namespace llmcore {
namespace {

using testing::fail_once;
using testing::make;
using testing::open_breaker;

TEST(Breaker, OpensAtTheConfiguredNumberOfErrorsInARowAndNotBefore) {
  auto recovery = make();
  fail_once(recovery, 5);
  fail_once(recovery, 6);
  EXPECT_EQ(recovery.health(6), Health::healthy);
  EXPECT_EQ(recovery.ready_at(6), 6);
  fail_once(recovery, 7);
  EXPECT_EQ(recovery.health(7), Health::degraded);
  EXPECT_EQ(recovery.ready_at(7), 7 + 10 * kSecond);
  EXPECT_EQ(recovery.stats().breaker_opened, 1);
  EXPECT_EQ(recovery.stats().open_until, 7 + 10 * kSecond);
  EXPECT_EQ(recovery.stats().consecutive_errors, 3);
  EXPECT_EQ(recovery.stats().health, Health::degraded);
}

TEST(Breaker, ASuccessBreaksTheRowOfErrors) {
  auto recovery = make();
  for (int round = 0; round < 10; ++round) {
    fail_once(recovery, round);
    fail_once(recovery, round);
    ASSERT_FALSE(recovery.sent(round));
    recovery.succeeded(false);
    EXPECT_EQ(recovery.stats().consecutive_errors, 0);
  }
  EXPECT_EQ(recovery.health(10), Health::healthy);
  EXPECT_EQ(recovery.stats().errors, 20);
  EXPECT_EQ(recovery.stats().successes, 10);
}

TEST(Breaker, StaysOpenToTheLastNanosecondOfTheCoolDown) {
  auto recovery = make();
  open_breaker(recovery, 0);
  EXPECT_EQ(recovery.ready_at(10 * kSecond - 1), 10 * kSecond);
  EXPECT_EQ(recovery.health(10 * kSecond - 1), Health::degraded);
  EXPECT_FALSE(recovery.sent(10 * kSecond - 1)) << "an attempt sent against the advice is no probe";
  recovery.abandoned(false);
  EXPECT_EQ(recovery.ready_at(10 * kSecond), 10 * kSecond);
  EXPECT_EQ(recovery.health(10 * kSecond), Health::probing);
  EXPECT_EQ(recovery.ready_at(99 * kSecond), 99 * kSecond);
}

TEST(Breaker, LetsExactlyOneProbeThrough) {
  auto recovery = make();
  open_breaker(recovery, 0);
  EXPECT_TRUE(recovery.sent(10 * kSecond));
  EXPECT_EQ(recovery.stats().health, Health::probing);
  EXPECT_EQ(recovery.health(10 * kSecond), Health::probing);
  EXPECT_EQ(recovery.ready_at(10 * kSecond), kNever);
  EXPECT_EQ(recovery.ready_at(1000 * kSecond), kNever);
  EXPECT_FALSE(recovery.sent(10 * kSecond));
}

TEST(Breaker, TheProbesSuccessClosesIt) {
  auto recovery = make();
  open_breaker(recovery, 0);
  ASSERT_TRUE(recovery.sent(10 * kSecond));
  recovery.succeeded(true);
  EXPECT_EQ(recovery.health(10 * kSecond), Health::healthy);
  EXPECT_EQ(recovery.ready_at(10 * kSecond), 10 * kSecond);
  EXPECT_EQ(recovery.stats().consecutive_errors, 0);
  EXPECT_EQ(recovery.stats().health, Health::healthy);
  fail_once(recovery, 11 * kSecond);
  fail_once(recovery, 11 * kSecond);
  EXPECT_EQ(recovery.health(11 * kSecond), Health::healthy) << "it takes a whole row of errors again";
}

TEST(Breaker, TheProbesFailureOpensItForAnotherCoolDown) {
  auto recovery = make();
  open_breaker(recovery, 0);
  for (int round = 1; round <= 5; ++round) {
    const Instant now = recovery.ready_at(0) + kSecond;
    ASSERT_TRUE(recovery.sent(now));
    recovery.failed(true, now + 7);
    EXPECT_EQ(recovery.ready_at(now + 7), now + 7 + 10 * kSecond);
    EXPECT_EQ(recovery.health(now + 7), Health::degraded);
    EXPECT_EQ(recovery.stats().breaker_opened, 1 + round);
  }
}

TEST(Breaker, AnAbandonedProbeLetsTheNextOneTryAtOnce) {
  auto recovery = make();
  open_breaker(recovery, 0);
  ASSERT_TRUE(recovery.sent(12 * kSecond));
  recovery.abandoned(true);
  EXPECT_EQ(recovery.ready_at(12 * kSecond), 12 * kSecond);
  EXPECT_NE(recovery.health(12 * kSecond), Health::healthy);
  EXPECT_TRUE(recovery.sent(12 * kSecond));
  EXPECT_EQ(recovery.ready_at(12 * kSecond), kNever);
  EXPECT_EQ(recovery.stats().breaker_opened, 1);
}

TEST(Breaker, AnAbandonedAttemptThatIsNoProbeChangesNothing) {
  auto recovery = make();
  open_breaker(recovery, 0);
  ASSERT_TRUE(recovery.sent(10 * kSecond));
  const auto before = recovery.state_hash();
  recovery.abandoned(false);
  EXPECT_EQ(recovery.state_hash(), before);
  EXPECT_EQ(recovery.ready_at(10 * kSecond), kNever);
}

TEST(Breaker, LateResultsOfOlderAttemptsNeitherCloseItNorProlongTheCoolDown) {
  auto recovery = make();
  for (int i = 0; i < 8; ++i) ASSERT_FALSE(recovery.sent(0));
  for (int i = 0; i < 3; ++i) recovery.failed(false, kSecond);
  recovery.failed(false, 2 * kSecond);
  EXPECT_EQ(recovery.ready_at(2 * kSecond), 11 * kSecond);
  recovery.succeeded(false);
  EXPECT_EQ(recovery.health(2 * kSecond), Health::degraded);
  EXPECT_EQ(recovery.stats().consecutive_errors, 4);
  ASSERT_TRUE(recovery.sent(11 * kSecond));
  recovery.succeeded(false);
  recovery.failed(false, 12 * kSecond);
  EXPECT_EQ(recovery.ready_at(12 * kSecond), kNever) << "the probe is still out";
  EXPECT_EQ(recovery.stats().breaker_opened, 1);
  recovery.succeeded(true);
  EXPECT_EQ(recovery.health(12 * kSecond), Health::healthy);
  EXPECT_EQ(recovery.stats().successes, 3);
  EXPECT_EQ(recovery.stats().errors, 5);
}

TEST(Breaker, ACoolDownPastTheEndOfTimeNeverEnds) {
  ErrorRecoveryConfig config;
  config.cooldown = std::numeric_limits<Duration>::max();
  config.breaker_errors = 1;
  auto recovery = make(config, 5);
  fail_once(recovery, 5);
  EXPECT_EQ(recovery.ready_at(6), kNever);
}

TEST(Breaker, WithoutACoolDownTheNextAttemptIsTheProbe) {
  ErrorRecoveryConfig config;
  config.cooldown = 0;
  auto recovery = make(config);
  for (int i = 0; i < 3; ++i) fail_once(recovery, 4);
  EXPECT_EQ(recovery.ready_at(4), 4);
  EXPECT_TRUE(recovery.sent(4));
  EXPECT_EQ(recovery.ready_at(4), kNever);
}

TEST(Breaker, AgreesWithItsTransitionTableUnderRandomEvents) {
  std::mt19937_64 random(20240607);
  ErrorRecoveryConfig config;
  config.breaker_errors = 2;
  config.cooldown = 50;
  for (int run = 0; run < 50; ++run) {
    auto recovery = make(config);
    enum class State { closed, open, probing } state = State::closed;
    std::int64_t row = 0;
    Instant until = 0;
    Instant now = 0;
    std::vector<bool> out;  // attempts in flight: whether each is the probe
    for (int step = 0; step < 500; ++step) {
      now += static_cast<Instant>(random() % 20);
      const Instant ready = recovery.ready_at(now);
      ASSERT_EQ(ready, state == State::closed ? now : state == State::probing ? kNever : std::max(now, until));
      ASSERT_EQ(recovery.health(now) == Health::healthy, state == State::closed);
      if (random() % 2 == 0 && ready <= now) {
        const bool probe = recovery.sent(now);
        ASSERT_EQ(probe, state == State::open);
        if (probe) state = State::probing;
        out.push_back(probe);
      } else if (!out.empty()) {
        const auto which = static_cast<std::ptrdiff_t>(random() % out.size());
        const bool probe = out[static_cast<std::size_t>(which)];
        out.erase(out.begin() + which);
        switch (random() % 5) {
          case 0:
            recovery.abandoned(probe);
            if (probe) state = State::open;
            break;
          case 1:
          case 2:
            recovery.succeeded(probe);
            if (probe) state = State::closed;
            if (state == State::closed) row = 0;
            break;
          default:
            recovery.failed(probe, now);
            ++row;
            if (probe || (state == State::closed && row >= 2)) {
              state = State::open;
              until = now + 50;
            }
        }
      }
      ASSERT_LE(std::count(out.begin(), out.end(), true), 1);
      ASSERT_EQ(recovery.stats().consecutive_errors, row);
    }
    EXPECT_GT(recovery.stats().breaker_opened, 5);
  }
}

}  // namespace
}  // namespace llmcore
