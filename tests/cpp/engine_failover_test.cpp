// Who is asked next, and the provider that always answers.
#include <gtest/gtest.h>

#include "engine_harness.hpp"

namespace llmcore {
namespace {

using testing::attempts;
using testing::Bench;
using testing::call_to;
using testing::open_config;
using testing::usage_of;
using testing::with_deadline;

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

}  // namespace
}  // namespace llmcore
