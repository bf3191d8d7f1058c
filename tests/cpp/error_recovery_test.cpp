#include "llmcore/error_recovery.hpp"

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
#include <vector>

namespace llmcore {
namespace {

__extension__ using Wide = __int128;

constexpr std::array kAdvice{std::optional<bool>{}, std::optional{false}, std::optional{true}};

ErrorRecovery make(const ErrorRecoveryConfig& config = {}, Instant start = 0) { return {config, start}; }

/// Sends an attempt that fails, as an ordinary one.
void fail_once(ErrorRecovery& recovery, Instant now) {
  ASSERT_FALSE(recovery.sent(now));
  recovery.failed(false, now);
}

/// Three failures at `now`: what opens the breaker of the default configuration.
void open_breaker(ErrorRecovery& recovery, Instant now) {
  for (int i = 0; i < 3; ++i) fail_once(recovery, now);
  ASSERT_EQ(recovery.health(now), Health::degraded);
}

/// How many retries of a failed first attempt are granted at `now` before the first refusal.
std::int64_t drain(ErrorRecovery& recovery, Instant now) {
  std::int64_t granted = 0;
  while (recovery.advise(Outcome::server_error, std::nullopt, 0, 1, now) == Verdict::retry) ++granted;
  return granted;
}

// --- verdicts --------------------------------------------------------------------------------------------------------

TEST(VerdictOf, EveryOutcomeHasTheVerdictOfItsTable) {
  const std::map<Outcome, Verdict> table{
      {Outcome::ok, Verdict::stop},
      {Outcome::timeout, Verdict::retry},
      {Outcome::connection, Verdict::retry},
      {Outcome::rate_limited, Verdict::retry},
      {Outcome::quota_exhausted, Verdict::fail_over},
      {Outcome::overloaded, Verdict::retry},
      {Outcome::server_error, Verdict::retry},
      {Outcome::auth, Verdict::fail_over},
      {Outcome::bad_request, Verdict::stop},
      {Outcome::context_length, Verdict::stop},
      {Outcome::content_filter, Verdict::stop},
      {Outcome::not_found, Verdict::stop},
      {Outcome::queue_full, Verdict::stop},
      {Outcome::queue_timeout, Verdict::stop},
      {Outcome::over_budget, Verdict::fail_over},
      {Outcome::cancelled, Verdict::stop},
      {Outcome::exhausted, Verdict::fail_over},
  };
  ASSERT_EQ(table.size(), kOutcomeCount);
  for (const auto& [outcome, verdict] : table) EXPECT_EQ(verdict_of(outcome), verdict) << to_string(outcome);
}

TEST(VerdictOf, TheProvidersYesRetriesEveryFailureThatItCanSend) {
  for (const Outcome outcome : {Outcome::timeout, Outcome::connection, Outcome::rate_limited, Outcome::quota_exhausted,
                                Outcome::overloaded, Outcome::server_error, Outcome::auth, Outcome::bad_request,
                                Outcome::context_length, Outcome::content_filter, Outcome::not_found}) {
    EXPECT_EQ(verdict_of(outcome, true), Verdict::retry) << to_string(outcome);
  }
}

TEST(VerdictOf, TheProvidersNoTurnsRetryIntoFailOverAndLeavesTheRest) {
  for (std::size_t i = 0; i < kOutcomeCount; ++i) {
    const auto outcome = static_cast<Outcome>(i);
    const Verdict plain = verdict_of(outcome);
    EXPECT_EQ(verdict_of(outcome, false), plain == Verdict::retry ? Verdict::fail_over : plain) << to_string(outcome);
  }
}

TEST(VerdictOf, TheProviderHasNoSayInOutcomesOfOurOwnMaking) {
  for (const Outcome outcome : {Outcome::ok, Outcome::queue_full, Outcome::queue_timeout, Outcome::over_budget,
                                Outcome::cancelled, Outcome::exhausted}) {
    for (const auto advice : kAdvice) EXPECT_EQ(verdict_of(outcome, advice), verdict_of(outcome)) << to_string(outcome);
  }
}

TEST(VerdictOf, AValueFromOutsideTheEnumerationStops) {
  EXPECT_EQ(verdict_of(static_cast<Outcome>(200)), Verdict::stop);
}

TEST(CountsAgainstHealth, OnlyWhatAnUnwellProviderDoes) {
  for (std::size_t i = 0; i < kOutcomeCount; ++i) {
    const auto outcome = static_cast<Outcome>(i);
    const bool unwell = outcome == Outcome::timeout || outcome == Outcome::connection ||
                        outcome == Outcome::overloaded || outcome == Outcome::server_error;
    EXPECT_EQ(counts_against_health(outcome), unwell) << to_string(outcome);
  }
}

// --- configuration ---------------------------------------------------------------------------------------------------

TEST(ErrorRecoveryConfig, TheDefaultIsUsable) { EXPECT_EQ(ErrorRecoveryConfig{}.problem(), nullptr); }

TEST(ErrorRecoveryConfig, EveryBadFieldIsNamedAndTheConstructorThrowsWithIt) {
  std::map<std::string, ErrorRecoveryConfig> bad;
  bad["max_attempts"].max_attempts = 0;
  bad["retry_after_cap"].retry_after_cap = -1;
  bad["breaker_errors"].breaker_errors = 0;
  bad["cooldown"].cooldown = -1;
  bad["retry_percent"].retry_percent = -1;
  bad["retry_percent "].retry_percent = 10'001;
  bad["retries_per_second"].retries_per_second = -1;
  bad["retries_per_second "].retries_per_second = 1'000'001;
  for (const auto& [field, config] : bad) {
    ASSERT_NE(config.problem(), nullptr) << field;
    EXPECT_NE(std::string(config.problem()).find(field), std::string::npos) << config.problem();
    try {
      const ErrorRecovery recovery(config, 0);
      FAIL() << field << " was accepted";
    } catch (const std::invalid_argument& error) {
      EXPECT_NE(std::string(error.what()).find(config.problem()), std::string::npos) << error.what();
    }
  }
}

// --- breaker ---------------------------------------------------------------------------------------------------------

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

// --- advice ----------------------------------------------------------------------------------------------------------

TEST(Advise, StopAndFailOverStayWhatTheyAreAndCostNothing) {
  auto recovery = make();
  for (const Outcome outcome : {Outcome::bad_request, Outcome::cancelled, Outcome::ok, Outcome::content_filter}) {
    EXPECT_EQ(recovery.advise(outcome, std::nullopt, 0, 1, 0), Verdict::stop);
    EXPECT_EQ(recovery.advise(outcome, std::nullopt, kHour, 99, 0), Verdict::stop) << "never raised to fail over";
  }
  for (const Outcome outcome : {Outcome::quota_exhausted, Outcome::auth, Outcome::over_budget, Outcome::exhausted}) {
    EXPECT_EQ(recovery.advise(outcome, std::nullopt, 0, 1, 0), Verdict::fail_over);
  }
  EXPECT_EQ(recovery.stats().retries, 0);
  EXPECT_EQ(recovery.stats().retries_refused, 0);
  EXPECT_EQ(drain(recovery, 0), 10);
}

TEST(Advise, RetriesUntilTheAttemptsAreSpent) {
  auto recovery = make();
  EXPECT_EQ(recovery.advise(Outcome::timeout, std::nullopt, 0, 1, 0), Verdict::retry);
  EXPECT_EQ(recovery.advise(Outcome::timeout, std::nullopt, 0, 2, 0), Verdict::retry);
  EXPECT_EQ(recovery.advise(Outcome::timeout, std::nullopt, 0, 3, 0), Verdict::fail_over);
  EXPECT_EQ(recovery.advise(Outcome::bad_request, true, 0, 3, 0), Verdict::fail_over);
  EXPECT_EQ(recovery.stats().retries, 2);
  EXPECT_EQ(recovery.stats().retries_refused, 0) << "spent attempts are no matter of the retry budget";
}

TEST(Advise, OneAttemptMeansNoRetries) {
  ErrorRecoveryConfig config;
  config.max_attempts = 1;
  auto recovery = make(config);
  EXPECT_EQ(recovery.advise(Outcome::timeout, std::nullopt, 0, 1, 0), Verdict::fail_over);
  EXPECT_EQ(recovery.stats().retries, 0);
}

TEST(Advise, ARetryAfterAboveItsCapIsNotWaitedFor) {
  auto recovery = make();
  EXPECT_EQ(recovery.advise(Outcome::rate_limited, std::nullopt, 60 * kSecond, 1, 0), Verdict::retry);
  EXPECT_EQ(recovery.advise(Outcome::rate_limited, std::nullopt, 60 * kSecond + 1, 1, 0), Verdict::fail_over);
  EXPECT_EQ(recovery.advise(Outcome::rate_limited, true, kNever, 1, 0), Verdict::fail_over);
  EXPECT_EQ(recovery.stats().retries, 1);
  EXPECT_EQ(recovery.stats().retries_refused, 0);
}

TEST(Advise, HeedsWhatTheProviderAdvised) {
  auto recovery = make();
  EXPECT_EQ(recovery.advise(Outcome::bad_request, true, 0, 1, 0), Verdict::retry);
  EXPECT_EQ(recovery.advise(Outcome::overloaded, false, 0, 1, 0), Verdict::fail_over);
  EXPECT_EQ(recovery.stats().retries, 1);
}

// --- retry budget ----------------------------------------------------------------------------------------------------

TEST(RetryBudget, BeginsWithOneSecondsWorth) {
  auto recovery = make();
  EXPECT_EQ(drain(recovery, 0), 10);
  EXPECT_EQ(recovery.stats().retries, 10);
  EXPECT_EQ(recovery.stats().retries_refused, 1);
}

TEST(RetryBudget, FiveCallsEarnOneRetry) {
  ErrorRecoveryConfig config;
  config.retries_per_second = 0;
  auto recovery = make(config);
  for (int i = 0; i < 4; ++i) recovery.call_arrived();
  EXPECT_EQ(drain(recovery, 0), 0);
  recovery.call_arrived();
  EXPECT_EQ(drain(recovery, 0), 1);
  for (int i = 0; i < 500; ++i) recovery.call_arrived();
  EXPECT_EQ(drain(recovery, 0), 100);
  EXPECT_EQ(recovery.stats().calls, 505);
}

TEST(RetryBudget, TimeEarnsToTheNanosecond) {
  auto recovery = make();
  EXPECT_EQ(drain(recovery, 0), 10);
  EXPECT_EQ(drain(recovery, 100 * kMillisecond - 1), 0);
  EXPECT_EQ(drain(recovery, 100 * kMillisecond), 1);
  EXPECT_EQ(drain(recovery, 300 * kMillisecond), 2);
}

TEST(RetryBudget, AskingOftenLosesNoFractions) {
  ErrorRecoveryConfig config;
  config.retries_per_second = 3;
  config.retry_percent = 0;
  auto recovery = make(config);
  std::int64_t granted = drain(recovery, 0);
  for (Instant now = 0; now <= 60 * kSecond; now += 997'001) granted += drain(recovery, now);
  granted += drain(recovery, 60 * kSecond);
  EXPECT_EQ(granted, 3 + 3 * 60);
}

TEST(RetryBudget, WhatWasEarnedLapsesInsteadOfPayingForAStorm) {
  auto recovery = make();
  for (int second = 0; second < 3600; ++second) {
    for (int i = 0; i < 100; ++i) recovery.call_arrived();
    ASSERT_FALSE(recovery.sent(second * kSecond));
    recovery.succeeded(false);
  }
  const std::int64_t granted = drain(recovery, 3600 * kSecond);
  EXPECT_LE(granted, 20 * (10 + 20));  // at most 20 s of both earnings
  EXPECT_GE(granted, 9 * (10 + 20));   // at least the 9 s since the last full window
}

TEST(RetryBudget, CreditLapsesAtTheEndOfTheWindowAfterTheOneItWasEarnedIn) {
  ErrorRecoveryConfig config;
  config.retries_per_second = 0;
  config.retry_percent = 100;
  const auto left_at = [&](Instant earned, Instant asked) {
    auto recovery = make(config);
    static_cast<void>(recovery.sent(earned));
    recovery.call_arrived();
    return drain(recovery, asked);
  };
  EXPECT_EQ(left_at(0, 20 * kSecond - 1), 1);
  EXPECT_EQ(left_at(0, 20 * kSecond), 0);
  EXPECT_EQ(left_at(10 * kSecond - 1, 20 * kSecond - 1), 1);
  EXPECT_EQ(left_at(10 * kSecond - 1, 20 * kSecond), 0);
  EXPECT_EQ(left_at(10 * kSecond, 30 * kSecond - 1), 1);
  EXPECT_EQ(left_at(10 * kSecond, 30 * kSecond), 0);
}

TEST(RetryBudget, AfterALongSilenceTimeHasEarnedAtMostTwentySecondsWorth) {
  for (const Instant start : {Instant{0}, std::numeric_limits<Instant>::min(), Instant{-kHour}}) {
    auto recovery = make({}, start);
    const std::int64_t granted = drain(recovery, kNever - 1);
    EXPECT_GE(granted, 100) << start;
    EXPECT_LE(granted, 200) << start;
  }
}

TEST(RetryBudget, AClockThatGoesBackEarnsNothing) {
  auto recovery = make();
  EXPECT_EQ(drain(recovery, kSecond), 20);
  EXPECT_EQ(drain(recovery, 0), 0);
  EXPECT_EQ(drain(recovery, kSecond), 0);
}

TEST(RetryBudget, HoldsItsLawUnderRandomCallsAndTimes) {
  std::mt19937_64 random(77);
  for (int run = 0; run < 200; ++run) {
    ErrorRecoveryConfig config;
    config.retry_percent = static_cast<std::int64_t>(random() % 150);
    config.retries_per_second = static_cast<std::int64_t>(random() % 30);
    if (run % 2 == 0) config = {};
    const auto start = static_cast<Instant>(random() % 1000) * kMinute - kHour;
    auto recovery = make(config, start);
    const std::array<Duration, 4> steps{kMillisecond, 100 * kMillisecond, 5 * kSecond, 60 * kSecond};
    const Duration step = steps[random() % steps.size()];
    Instant now = start;
    for (int i = 0; i < 2000; ++i) {
      switch (random() % 4) {
        case 0: recovery.call_arrived(); break;
        case 1: static_cast<void>(recovery.sent(now)); break;
        default: static_cast<void>(recovery.advise(Outcome::overloaded, std::nullopt, 0, 1, now));
      }
      if (random() % 3 == 0) now += static_cast<Instant>(random() % static_cast<std::uint64_t>(step));
      const ErrorRecovery::Stats stats = recovery.stats();
      // retries <= percent of calls + rate x time + rate, in units of 1/100 retry x nanoseconds.
      const Wide earned = Wide{config.retry_percent} * stats.calls * kSecond +
                          Wide{config.retries_per_second} * 100 * (now - start) +
                          Wide{config.retries_per_second} * 100 * kSecond;
      ASSERT_TRUE(Wide{stats.retries} * 100 * kSecond <= earned) << "run " << run << " step " << i;
    }
  }
}

/// The retry budget in closed form: what time earned up to t is floor(rate x t), split by window of ten seconds.
class RetryBudgetModel {
 public:
  RetryBudgetModel(std::int64_t percent, std::int64_t per_second) : percent_(percent), rate_(per_second * 100) {
    earned_[0] = rate_;
  }
  void call() { earned_[window_] += percent_; }
  void earn(Instant now) {
    while (at_ < now) {
      const Instant to = std::min(now, (window_ + 1) * 10 * kSecond);
      earned_[window_] += total(to) - total(at_);
      at_ = to;
      if (at_ == (window_ + 1) * 10 * kSecond) ++window_;
    }
    earned_.erase(earned_.begin(), earned_.lower_bound(window_ - 1));
  }
  bool take(Instant now) {
    earn(now);
    std::int64_t sum = 0;
    for (const auto& entry : earned_) sum += entry.second;
    if (sum < 100) return false;
    std::int64_t owed = 100;
    for (auto& entry : earned_) {
      const std::int64_t part = std::min(owed, entry.second);
      entry.second -= part;
      owed -= part;
    }
    return true;
  }

 private:
  [[nodiscard]] std::int64_t total(Instant at) const { return static_cast<std::int64_t>(Wide{rate_} * at / kSecond); }

  std::int64_t percent_;
  std::int64_t rate_;
  std::map<std::int64_t, std::int64_t> earned_;
  std::int64_t window_ = 0;
  Instant at_ = 0;
};

TEST(RetryBudget, AgreesWithItsClosedFormUnderRandomCallsAndTimes) {
  std::mt19937_64 random(4242);
  std::int64_t granted = 0;
  std::int64_t refused = 0;
  for (int run = 0; run < 100; ++run) {
    ErrorRecoveryConfig config;
    config.retry_percent = static_cast<std::int64_t>(random() % 100);
    config.retries_per_second = static_cast<std::int64_t>(random() % 4);
    auto recovery = make(config);
    RetryBudgetModel model(config.retry_percent, config.retries_per_second);
    Instant now = 0;
    for (int i = 0; i < 1000; ++i) {
      switch (random() % 4) {
        case 0:
          recovery.call_arrived();
          model.call();
          break;
        case 1:
          static_cast<void>(recovery.sent(now));
          model.earn(now);
          break;
        default: {
          const bool expected = model.take(now);
          const Verdict verdict = recovery.advise(Outcome::connection, std::nullopt, 0, 1, now);
          ASSERT_EQ(verdict, expected ? Verdict::retry : Verdict::fail_over) << "run " << run << " step " << i;
          ++(expected ? granted : refused);
        }
      }
      const auto jump = static_cast<std::uint64_t>(random() % 50 == 0 ? 25 * kSecond : kSecond / 2);
      now += static_cast<Instant>(random() % jump);
    }
  }
  EXPECT_GT(granted, 1000);
  EXPECT_GT(refused, 1000);
}

// --- state -----------------------------------------------------------------------------------------------------------

TEST(ErrorRecoveryState, SameEventsGiveTheSameHashAndDifferentStatesDiffer) {
  auto a = make();
  auto b = make();
  EXPECT_EQ(a.state_hash(), b.state_hash());
  a.call_arrived();
  EXPECT_NE(a.state_hash(), b.state_hash());
  b.call_arrived();
  EXPECT_EQ(a.state_hash(), b.state_hash());
  fail_once(a, 9);
  EXPECT_NE(a.state_hash(), b.state_hash());
  fail_once(b, 9);
  EXPECT_EQ(a.state_hash(), b.state_hash());
}

TEST(ErrorRecoveryState, LookingChangesNothing) {
  auto recovery = make();
  open_breaker(recovery, 0);
  const auto before = recovery.state_hash();
  for (Instant now = 0; now < kMinute; now += kSecond) {
    static_cast<void>(recovery.ready_at(now));
    static_cast<void>(recovery.health(now));
    static_cast<void>(recovery.stats());
  }
  EXPECT_EQ(recovery.state_hash(), before);
}

}  // namespace
}  // namespace llmcore
