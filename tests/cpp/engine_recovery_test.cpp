// What the engine does when attempts fail: retry, back off, fail over, hold back from a provider that is unwell.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine_harness.hpp"

namespace llmcore {
namespace {

using testing::Bench;
using testing::call_to;
using testing::open_config;
using testing::usage_of;
using testing::with_deadline;
using testing::with_tenant;

Config attempts(std::int64_t most) {
  Config config = open_config();
  config.recovery.max_attempts = most;
  config.recovery.breaker_errors = 1'000;
  return config;
}

// --- retry -----------------------------------------------------------------------------------------------------------

TEST(EngineRetry, RepeatsAfterTheBackoff) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.fail(call, Outcome::connection);
  EXPECT_EQ(bench.stats().backing_off, 1);
  EXPECT_EQ(bench.next_deadline(), bench.mono() + kSecond);
  bench.pass(kSecond);
  ASSERT_EQ(bench.sends(call).size(), 2U);
  EXPECT_EQ(bench.sends(call)[1].number, 2U);
  EXPECT_EQ(bench.sends(call)[1].target, 0U);
  EXPECT_NE(bench.sends(call)[1].attempt, bench.sends(call)[0].attempt);
  bench.reply(call);
  EXPECT_EQ(bench.finish(call).attempts, 2U);
  EXPECT_EQ(bench.finish(call).queued, kSecond);
  EXPECT_FALSE(bench.finish(call).fallback);
  EXPECT_EQ(bench.stats().retries, 1);
}

TEST(EngineRetry, DoublesTheBackoffUpToItsCap) {
  Bench bench(attempts(7));
  const CallId call = bench.submit(call_to({"alpha"}));
  for (const Duration delay : {1, 2, 4, 8, 8, 8}) {
    bench.fail(call, Outcome::server_error);
    EXPECT_EQ(bench.next_deadline(), bench.mono() + delay * kSecond);
    bench.pass(delay * kSecond);
  }
  EXPECT_EQ(bench.sends(call).size(), 7U);
}

TEST(EngineRetry, StopsAfterTheLastAttempt) {
  Bench bench(attempts(3));
  const CallId call = bench.submit(call_to({"alpha"}));
  for (int i = 0; i < 3; ++i) {
    bench.fail(call, Outcome::overloaded);
    bench.pass(8 * kSecond);
  }
  EXPECT_EQ(bench.outcome(call), Outcome::overloaded);
  EXPECT_EQ(bench.finish(call).attempts, 3U);
  EXPECT_EQ(bench.finish(call).target, 0U);
  EXPECT_EQ(bench.finish(call).provider, "alpha");
  EXPECT_EQ(bench.records(call).size(), 3U);
}

TEST(EngineRetry, RepeatsWhatMayPassAndNothingElse) {
  const std::vector<Outcome> pass{Outcome::timeout, Outcome::connection, Outcome::rate_limited, Outcome::overloaded,
                                  Outcome::server_error};
  const std::vector<Outcome> stay{Outcome::quota_exhausted, Outcome::auth,           Outcome::bad_request,
                                  Outcome::context_length,  Outcome::content_filter, Outcome::not_found};
  for (const Outcome outcome : pass) {
    SCOPED_TRACE(to_string(outcome));
    Bench bench;
    const CallId call = bench.submit(call_to({"alpha"}));
    bench.fail(call, outcome);
    EXPECT_EQ(bench.stats().backing_off, 1);
  }
  for (const Outcome outcome : stay) {
    SCOPED_TRACE(to_string(outcome));
    Bench bench;
    const CallId call = bench.submit(call_to({"alpha"}));
    bench.fail(call, outcome);
    EXPECT_EQ(bench.outcome(call), outcome);
    EXPECT_EQ(bench.finish(call).attempts, 1U);
  }
}

TEST(EngineRetry, ObeysTheProvidersOwnAdvice) {
  Bench bench;
  const CallId repeated = bench.submit(call_to({"alpha"}));
  bench.fail(repeated, Outcome::bad_request, 0, true);
  EXPECT_EQ(bench.stats().backing_off, 1);
  const CallId stopped = bench.submit(call_to({"alpha"}));
  bench.fail(stopped, Outcome::server_error, 0, false);
  EXPECT_EQ(bench.outcome(stopped), Outcome::server_error);
}

TEST(EngineRetry, WaitsAsLongAsTheProviderAsks) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.fail(call, Outcome::overloaded, 20 * kSecond);
  EXPECT_EQ(bench.next_deadline(), bench.mono() + 20 * kSecond);
  const CallId other = bench.submit(call_to({"alpha"}));
  EXPECT_TRUE(bench.in_flight(other)) << "only a 429 speaks for the whole lane";
}

TEST(EngineRetry, BacksOffLongerThanAShortRetryAfter) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.fail(call, Outcome::overloaded, kMillisecond);
  EXPECT_EQ(bench.next_deadline(), bench.mono() + kSecond);
}

TEST(EngineRetry, DoesNotSleepOnARetryAfterAboveItsCap) {
  Bench bench;
  const CallId alone = bench.submit(call_to({"alpha"}));
  bench.fail(alone, Outcome::overloaded, 61 * kSecond);
  EXPECT_EQ(bench.outcome(alone), Outcome::overloaded);
  EXPECT_EQ(bench.finish(alone).retry_hint, 61 * kSecond);
  const CallId call = bench.submit(call_to({"alpha", "beta"}));
  bench.fail(call, Outcome::overloaded, 61 * kSecond);
  EXPECT_EQ(bench.sends(call).back().target, 1U);
}

TEST(EngineRetry, DoesNotWaitForARetryThatComesAfterTheDeadline) {
  Bench bench;
  const CallId alone = bench.submit(with_deadline(call_to({"alpha"}), 10 * kSecond));
  bench.pass(9 * kSecond);
  bench.fail(alone, Outcome::connection);
  EXPECT_EQ(bench.outcome(alone), Outcome::connection) << "the retry would come at the deadline";
  const CallId call = bench.submit(with_deadline(call_to({"alpha", "beta"}), kSecond));
  bench.fail(call, Outcome::connection);
  EXPECT_EQ(bench.sends(call).back().target, 1U) << "there is time for the other provider";
}

TEST(EngineRetry, SpendsNoMoreThanTheRetryBudget) {
  Config config = attempts(2);
  config.recovery.retry_percent = 20;
  config.recovery.retries_per_second = 0;
  config.backoff.base = 0;
  Bench bench(config);
  int retried = 0;
  for (int i = 0; i < 50; ++i) {
    const CallId call = bench.submit(call_to({"alpha"}));
    bench.fail(call, Outcome::server_error);
    if (bench.finished(call)) continue;
    ++retried;
    bench.reply(call);
  }
  EXPECT_EQ(retried, 10);
  EXPECT_EQ(bench.recovery("alpha").retries_refused, 40);
}

TEST(EngineRetry, JittersWithTheSeed) {
  const auto delay = [](std::uint64_t seed) {
    Config config = open_config();
    config.backoff.jitter = Jitter::full;
    config.seed = seed;
    Bench bench(config);
    bench.fail(bench.submit(call_to({"alpha"})), Outcome::connection);
    return *bench.next_deadline() - bench.mono();
  };
  EXPECT_EQ(delay(1), delay(1));
  EXPECT_NE(delay(1), delay(2));
  EXPECT_LE(delay(1), kSecond);
}

// --- failing over ----------------------------------------------------------------------------------------------------

TEST(EngineFailover, GoesThroughTheChainInItsOrder) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha", "beta", "gamma"}));
  bench.fail(call, Outcome::auth);
  EXPECT_EQ(bench.sends(call).back().target, 1U);
  bench.fail(call, Outcome::quota_exhausted);
  EXPECT_EQ(bench.sends(call).back().target, 2U);
  bench.reply(call);
  const Finish finish = bench.finish(call);
  EXPECT_EQ(finish.outcome, Outcome::ok);
  EXPECT_EQ(finish.target, 2U);
  EXPECT_EQ(finish.provider, "gamma");
  EXPECT_EQ(finish.model, "gamma-1");
  EXPECT_EQ(finish.attempts, 3U);
  EXPECT_TRUE(finish.fallback);
  EXPECT_EQ(bench.stats().failovers, 2);
  EXPECT_EQ(bench.records(call).at(1).target, 1U);
  EXPECT_EQ(bench.records(call).at(1).provider, "beta");
}

TEST(EngineFailover, RetriesFirstAndThenGoesOn) {
  Bench bench(attempts(2));
  const CallId call = bench.submit(call_to({"alpha", "beta"}));
  bench.fail(call, Outcome::server_error);
  bench.pass(kSecond);
  EXPECT_EQ(bench.sends(call).back().target, 0U);
  bench.fail(call, Outcome::server_error);
  EXPECT_EQ(bench.sends(call).back().target, 1U) << "at once";
  bench.fail(call, Outcome::server_error);
  bench.pass(kSecond);
  EXPECT_EQ(bench.sends(call).back().target, 1U) << "with attempts of its own";
  bench.fail(call, Outcome::overloaded);
  EXPECT_EQ(bench.outcome(call), Outcome::overloaded);
  EXPECT_EQ(bench.finish(call).attempts, 4U);
}

TEST(EngineFailover, StopsAtWhatNoProviderWouldAccept) {
  for (const Outcome outcome : {Outcome::bad_request, Outcome::context_length, Outcome::content_filter}) {
    SCOPED_TRACE(to_string(outcome));
    Bench bench;
    const CallId call = bench.submit(call_to({"alpha", "beta", "offline"}));
    bench.fail(call, outcome);
    EXPECT_EQ(bench.outcome(call), outcome);
  }
}

TEST(EngineFailover, MayUseAnotherModelOfTheSameProvider) {
  Bench bench;
  Submit submit = call_to({"alpha", "alpha"});
  submit.targets[1].model = "alpha-mini";
  const CallId call = bench.submit(submit);
  bench.fail(call, Outcome::quota_exhausted);
  EXPECT_TRUE(bench.in_flight(call));
  bench.reply(call);
  EXPECT_EQ(bench.finish(call).model, "alpha-mini");
}

TEST(EngineFailover, NamesTheLastFailureWhenTheChainEnds) {
  Bench bench;
  bench.break_down("beta");
  const CallId call = bench.submit(with_deadline(call_to({"alpha", "beta"}), 5 * kSecond));
  bench.fail(call, Outcome::auth);
  EXPECT_EQ(bench.outcome(call), Outcome::auth) << "beta could not be tried in time";
  EXPECT_EQ(bench.finish(call).attempts, 1U);
}

TEST(EngineFailover, EndsAtTheDeadline) {
  Bench bench;
  const CallId call = bench.submit(with_deadline(call_to({"alpha", "beta"}), 5 * kSecond));
  bench.pass(5 * kSecond);
  EXPECT_EQ(bench.outcome(call), Outcome::timeout);
  EXPECT_EQ(bench.stats().failovers, 0);
  EXPECT_FALSE(bench.lane("beta"));
}

TEST(EngineFailover, SaysSoWhenNobodyCouldBeTried) {
  Bench bench;
  bench.break_down("alpha");
  bench.break_down("beta");
  const CallId call = bench.submit(with_deadline(call_to({"alpha", "beta"}), 5 * kSecond));
  EXPECT_EQ(bench.outcome(call), Outcome::exhausted);
  EXPECT_EQ(bench.finish(call).attempts, 0U);
  EXPECT_EQ(bench.finish(call).retry_hint, 10 * kSecond);
}

// --- the last resort -------------------------------------------------------------------------------------------------

TEST(EngineOffline, AnswersWhatTheOthersCouldNot) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha", "beta", "offline"}));
  bench.fail(call, Outcome::auth);
  bench.fail(call, Outcome::auth);
  EXPECT_EQ(bench.sends(call).back().target, 2U);
  bench.reply(call, "template", usage_of(10, 10));
  const Finish finish = bench.finish(call);
  EXPECT_EQ(finish.outcome, Outcome::ok);
  EXPECT_EQ(finish.provider, "offline");
  EXPECT_TRUE(finish.fallback);
  EXPECT_EQ(finish.cost, 0) << "it charges nothing, whatever it used";
}

TEST(EngineOffline, AnswersWhatTheQueueRefused) {
  Config config = open_config();
  config.limits.max_in_flight = 1;
  config.queue.class_capacity = {1, 1, 1};
  Bench bench(config);
  bench.submit(call_to({"alpha"}));
  const CallId waiting = bench.submit(with_deadline(call_to({"alpha", "offline"}), kSecond));
  const CallId refused = bench.submit(call_to({"alpha", "beta", "offline"}));
  EXPECT_EQ(bench.sends(refused).at(0).target, 2U);
  bench.pass(kSecond);
  ASSERT_EQ(bench.sends(waiting).size(), 1U) << "and what waited too long";
  EXPECT_EQ(bench.sends(waiting).at(0).target, 1U);
  bench.reply(waiting);
  EXPECT_EQ(bench.finish(waiting).latency, kSecond);
}

TEST(EngineOffline, AnswersAfterTheDeadline) {
  Bench bench;
  const CallId call = bench.submit(with_deadline(call_to({"alpha", "offline"}), 5 * kSecond));
  bench.pass(5 * kSecond);
  EXPECT_EQ(bench.records(call).at(0).outcome, Outcome::timeout);
  ASSERT_EQ(bench.sends(call).back().target, 1U);
  EXPECT_EQ(bench.sends(call).back().not_after, bench.mono() + 60 * kSecond);
  bench.reply(call);
  EXPECT_EQ(bench.outcome(call), Outcome::ok);
}

TEST(EngineOffline, KnowsNoLimitsNorBudgetsNorBreakers) {
  Config config = open_config();
  config.limits.requests_per_minute = 1;
  config.limits.max_in_flight = 1;
  config.queue.total_capacity = 0;
  config.budgets = {BudgetRule{"global", Period::total, 0, {}}};
  Bench bench(config);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(bench.in_flight(bench.submit(call_to({"offline"}))));
  EXPECT_TRUE(bench.stats().lanes.empty());
  for (CallId call = 1; call <= 20; ++call) bench.fail(call, Outcome::server_error);
  EXPECT_EQ(bench.outcome(20), Outcome::server_error) << "what it cannot do, no other can";
  EXPECT_TRUE(bench.in_flight(bench.submit(call_to({"offline"}))));
}

TEST(EngineOffline, AnswersForAProviderThatIsUnwell) {
  Bench bench;
  bench.break_down("alpha");
  const CallId call = bench.submit(call_to({"alpha", "offline"}));
  EXPECT_EQ(bench.sends(call).at(0).target, 1U);
}

TEST(EngineOffline, IsGivenUpWhenItDoesNotAnswerAfterAll) {
  Bench bench;
  const CallId call = bench.submit(call_to({"offline"}));
  bench.pass(60 * kSecond);
  EXPECT_EQ(bench.outcome(call), Outcome::timeout);
  EXPECT_EQ(bench.aborts(call).size(), 1U);
}

TEST(EngineOffline, MayStandInTheMiddleOfAChain) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha", "offline", "beta"}));
  bench.fail(call, Outcome::auth);
  EXPECT_EQ(bench.sends(call).back().target, 1U);
  bench.reply(call);
  EXPECT_TRUE(bench.finish(call).fallback);
}

// --- the breaker -----------------------------------------------------------------------------------------------------

TEST(EngineBreaker, OpensAfterErrorsInARowAndLetsOneProbeThrough) {
  Bench bench;
  EXPECT_EQ(bench.engine().unhealthy(), 0);
  bench.break_down("alpha");
  EXPECT_EQ(bench.engine().unhealthy(), 1);
  const CallId first = bench.submit(call_to({"alpha"}));
  const CallId second = bench.submit(call_to({"alpha"}));
  EXPECT_EQ(bench.stats().queued, 2);
  EXPECT_EQ(bench.next_deadline(), bench.mono() + 10 * kSecond);
  bench.pass(10 * kSecond - 1);
  EXPECT_FALSE(bench.in_flight(first));
  bench.pass(1);
  EXPECT_TRUE(bench.in_flight(first));
  EXPECT_FALSE(bench.in_flight(second)) << "one probe";
  EXPECT_EQ(bench.engine().unhealthy(), 1) << "which has shown nothing yet";
  bench.reply(first);
  EXPECT_TRUE(bench.in_flight(second));
  EXPECT_EQ(bench.recovery("alpha").health, Health::healthy);
  EXPECT_EQ(bench.engine().unhealthy(), 0);
}

TEST(EngineBreaker, ClosesForAnotherCooldownWhenTheProbeFails) {
  Bench bench;
  bench.break_down("alpha");
  const CallId probe = bench.submit(call_to({"alpha"}));
  const CallId waiting = bench.submit(call_to({"alpha"}));
  bench.pass(10 * kSecond);
  bench.fail(probe, Outcome::connection, 0, false);
  bench.pass(10 * kSecond - 1);
  EXPECT_FALSE(bench.in_flight(waiting));
  bench.pass(1);
  EXPECT_TRUE(bench.in_flight(waiting));
}

TEST(EngineBreaker, IsNotOpenedByAnswersThatOnlySayNo) {
  Bench bench;
  for (const Outcome outcome : {Outcome::auth, Outcome::bad_request, Outcome::quota_exhausted, Outcome::not_found}) {
    bench.fail(bench.submit(call_to({"alpha"})), outcome);
  }
  bench.fail(bench.submit(call_to({"alpha"})), Outcome::rate_limited, 0, false);
  EXPECT_EQ(bench.recovery("alpha").health, Health::healthy);
}

TEST(EngineBreaker, IsNotOpenedByCallsThatWaitedForMostOfTheirTime) {
  Config config = open_config();
  config.limits.max_in_flight = 1;
  Bench bench(config);
  for (int i = 0; i < 5; ++i) {
    const CallId slow = bench.submit(call_to({"alpha"}));
    const CallId late = bench.submit(with_deadline(call_to({"alpha"}), 10 * kSecond));
    bench.pass(6 * kSecond);
    bench.reply(slow);
    ASSERT_TRUE(bench.in_flight(late));
    bench.pass(4 * kSecond);
    ASSERT_EQ(bench.outcome(late), Outcome::timeout);
  }
  EXPECT_EQ(bench.recovery("alpha").errors, 0);
}

TEST(EngineBreaker, IsOpenedByCallsThatHadTheirTime) {
  Config config = open_config();
  config.limits.max_in_flight = 1;
  Bench bench(config);
  for (int i = 0; i < 3; ++i) {
    const CallId before = bench.submit(call_to({"alpha"}));
    const CallId call = bench.submit(with_deadline(call_to({"alpha"}), 10 * kSecond));
    bench.pass(5 * kSecond);
    bench.cancel(before);
    bench.pass(5 * kSecond);
    ASSERT_EQ(bench.outcome(call), Outcome::timeout);
  }
  EXPECT_EQ(bench.recovery("alpha").health, Health::degraded);
}

TEST(EngineBreaker, StandsForAllTenantsOfAProvider) {
  Bench bench;
  bench.break_down("alpha", "one");
  EXPECT_FALSE(bench.in_flight(bench.submit(with_tenant(call_to({"alpha"}), "two"))));
  EXPECT_TRUE(bench.in_flight(bench.submit(with_tenant(call_to({"beta"}), "one"))));
}

TEST(EngineBreaker, SendsNewCallsElsewhere) {
  Bench bench;
  bench.break_down("alpha");
  const CallId fresh = bench.submit(call_to({"alpha", "beta"}));
  EXPECT_EQ(bench.sends(fresh).at(0).target, 1U);
}

TEST(EngineBreaker, SendsNewCallsElsewhereThoughTheQueueIsFull) {
  Config config = open_config();
  config.queue.class_capacity = {0, 1, 0};
  Bench bench(config);
  bench.break_down("alpha");
  bench.submit(call_to({"alpha"}));
  const CallId fresh = bench.submit(call_to({"alpha", "beta"}));
  ASSERT_TRUE(bench.in_flight(fresh));
  EXPECT_EQ(bench.sends(fresh).at(0).target, 1U);
}

TEST(EngineBreaker, SendsCallsThatWaitElsewhereWhenItOpens) {
  Config config = open_config();
  config.limits.max_in_flight = 1;
  config.recovery.breaker_errors = 1;
  Bench bench(config);
  const CallId failing = bench.submit(with_tenant(call_to({"alpha"}), "one"));
  const CallId flying = bench.submit(with_tenant(call_to({"alpha"}), "two"));
  const CallId waiting = bench.submit(with_tenant(call_to({"alpha", "beta"}), "two"));
  EXPECT_FALSE(bench.in_flight(waiting));
  bench.fail(failing, Outcome::connection, 0, false);
  ASSERT_TRUE(bench.in_flight(waiting)) << "at once, though it was another tenant who saw it";
  EXPECT_EQ(bench.sends(waiting).at(0).target, 1U);
  bench.reply(flying);
}

TEST(EngineBreaker, WaitsForTheProviderWhenThereIsNoOther) {
  Bench bench;
  bench.break_down("alpha");
  const CallId patient = bench.submit(with_deadline(call_to({"alpha"}), 11 * kSecond));
  const CallId hurried = bench.submit(with_deadline(call_to({"alpha"}), 9 * kSecond));
  EXPECT_FALSE(bench.finished(patient));
  bench.pass(9 * kSecond);
  EXPECT_NE(bench.outcome(hurried), Outcome::ok);
  bench.pass(kSecond);
  EXPECT_TRUE(bench.in_flight(patient));
}

TEST(EngineBreaker, MakesTheNextCallTheProbeWhenTheFirstIsCancelled) {
  Bench bench;
  bench.break_down("alpha");
  const CallId probe = bench.submit(call_to({"alpha"}));
  const CallId next = bench.submit(call_to({"alpha"}));
  bench.pass(10 * kSecond);
  ASSERT_TRUE(bench.in_flight(probe));
  bench.cancel(probe);
  EXPECT_TRUE(bench.in_flight(next));
}

TEST(EngineBreaker, MakesTheNextCallTheProbeEvenOfAnotherTenant) {
  Bench bench;
  bench.break_down("alpha", "one");
  const CallId probe = bench.submit(with_tenant(call_to({"alpha"}), "one"));
  const CallId next = bench.submit(with_tenant(call_to({"alpha"}), "two"));
  bench.pass(10 * kSecond);
  ASSERT_TRUE(bench.in_flight(probe));
  ASSERT_FALSE(bench.in_flight(next));
  bench.cancel(probe);
  EXPECT_TRUE(bench.in_flight(next)) << "or it would wait until it expires";
}

TEST(EngineBreaker, TellsAllTenantsWhenAStreamingProbeStalls) {
  Bench bench;
  bench.break_down("alpha", "one");
  const CallId probe = bench.submit(with_deadline(with_tenant(call_to({"alpha"}), "one"), 40 * kSecond));
  const CallId next = bench.submit(with_tenant(call_to({"alpha"}), "two"));
  bench.pass(10 * kSecond);
  bench.stream(probe);
  bench.pass(30 * kSecond);
  EXPECT_EQ(bench.outcome(probe), Outcome::timeout);
  EXPECT_FALSE(bench.in_flight(next));
  bench.pass(10 * kSecond);
  EXPECT_TRUE(bench.in_flight(next));
}

TEST(EngineBreaker, TellsAllTenantsWhenTheProbeSucceeds) {
  Bench bench;
  bench.break_down("alpha", "one");
  const CallId probe = bench.submit(with_tenant(call_to({"alpha"}), "one"));
  const CallId next = bench.submit(with_tenant(call_to({"alpha"}), "two"));
  bench.pass(10 * kSecond);
  bench.fail(probe, Outcome::bad_request);
  EXPECT_TRUE(bench.in_flight(next)) << "an answer that says no is an answer";
}

}  // namespace
}  // namespace llmcore
