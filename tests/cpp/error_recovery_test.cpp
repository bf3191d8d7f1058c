// What a failure means, and what is advised after it.
#include "llmcore/error_recovery.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>

#include "error_recovery_cases.hpp"

namespace llmcore {
namespace {

using testing::drain;
using testing::fail_once;
using testing::make;
using testing::open_breaker;

constexpr std::array kAdvice{std::optional<bool>{}, std::optional{false}, std::optional{true}};

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
