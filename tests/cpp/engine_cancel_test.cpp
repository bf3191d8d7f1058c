// Calls that are cancelled, wherever they are: everything comes back, and nobody else is touched.
#include <gtest/gtest.h>

#include <variant>
#include <vector>

#include "engine_harness.hpp"
#include "llmcore/engine.hpp"

namespace llmcore {
namespace {

using testing::Bench;
using testing::call_to;
using testing::open_config;
using testing::with_key;

TEST(EngineCancel, TakesACallOutOfTheQueue) {
  Config config = open_config();
  config.limits.max_in_flight = 1;
  Bench bench(config);
  const CallId first = bench.submit(call_to({"alpha"}));
  const CallId second = bench.submit(call_to({"alpha"}));
  const CallId third = bench.submit(call_to({"alpha"}));
  bench.pass(kSecond);
  bench.cancel(second);
  EXPECT_EQ(bench.outcome(second), Outcome::cancelled);
  EXPECT_EQ(bench.finish(second).queued, kSecond);
  EXPECT_TRUE(bench.sends(second).empty());
  EXPECT_TRUE(bench.records(second).empty());
  bench.reply(first);
  EXPECT_TRUE(bench.in_flight(third));
  bench.reply(third);
  EXPECT_TRUE(bench.at_rest());
}

TEST(EngineCancel, AbortsAnAttemptAndGivesEverythingBack) {
  Config config = open_config();
  config.limits.tokens_per_minute = 1'000;
  config.limits.minute_burst = true;
  config.limits.max_in_flight = 1;
  config.budgets = {BudgetRule{"global", Period::total, 1'000'000, {50, 100}}};
  Bench bench(config);
  const CallId call = bench.submit(call_to({"alpha"}));
  const CallId next = bench.submit(call_to({"alpha"}));
  EXPECT_EQ(bench.stats().reserved_nano_usd, 300'000);
  EXPECT_EQ(bench.stats().reserved_tokens, 200);
  EXPECT_EQ(bench.stats().reserved_requests, 1);
  static_cast<void>(bench.actions());
  bench.cancel(call);
  const std::vector<Action> actions = bench.actions();
  ASSERT_EQ(actions.size(), 4U);
  EXPECT_TRUE(std::holds_alternative<Abort>(actions[0]));
  EXPECT_TRUE(std::holds_alternative<Record>(actions[1]));
  EXPECT_TRUE(std::holds_alternative<Finish>(actions[2]));
  EXPECT_TRUE(std::holds_alternative<Send>(actions[3])) << "the slot goes to the next at once";
  EXPECT_EQ(bench.records(call).at(0).outcome, Outcome::cancelled);
  EXPECT_EQ(bench.finish(call).cost, 0);
  bench.cancel(next);
  EXPECT_EQ(bench.lane("alpha")->limiter.available_tokens, 1'000);
  EXPECT_TRUE(bench.at_rest());
}

TEST(EngineCancel, EndsACallThatBacksOff) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha", "offline"}));
  bench.fail(call, Outcome::server_error);
  ASSERT_EQ(bench.stats().backing_off, 1);
  bench.pass(400 * kMillisecond);
  bench.cancel(call);
  EXPECT_EQ(bench.outcome(call), Outcome::cancelled);
  EXPECT_EQ(bench.finish(call).attempts, 1U);
  EXPECT_EQ(bench.finish(call).queued, 400 * kMillisecond);
  EXPECT_TRUE(bench.at_rest());
  bench.pass(kMinute);
  EXPECT_EQ(bench.sends(call).size(), 1U) << "nor does the offline provider answer what nobody wants";
}

TEST(EngineCancel, EndsAFollowerAndNobodyElse) {
  Bench bench;
  const CallId leader = bench.submit(with_key(call_to({"alpha"}), "q"));
  const CallId follower = bench.submit(with_key(call_to({"alpha"}), "q"));
  const CallId other = bench.submit(with_key(call_to({"alpha"}), "q"));
  bench.cancel(follower);
  EXPECT_EQ(bench.outcome(follower), Outcome::cancelled);
  bench.reply(leader);
  EXPECT_EQ(bench.finish(other).source, Source::joined);
  EXPECT_TRUE(bench.at_rest());
}

TEST(EngineCancel, EndsACallThatTheOfflineProviderAnswers) {
  Bench bench;
  const CallId call = bench.submit(call_to({"offline"}));
  bench.cancel(call);
  EXPECT_EQ(bench.aborts(call).size(), 1U);
  EXPECT_EQ(bench.outcome(call), Outcome::cancelled);
  EXPECT_TRUE(bench.at_rest());
}

TEST(EngineCancel, EndsACallAfterItStreamed) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.stream(call);
  bench.cancel(call);
  EXPECT_EQ(bench.outcome(call), Outcome::cancelled);
}

TEST(EngineCancel, SaysNothingAboutTheProvidersHealth) {
  Bench bench;
  for (int i = 0; i < 5; ++i) bench.cancel(bench.submit(call_to({"alpha"})));
  EXPECT_EQ(bench.recovery("alpha").errors, 0);
  EXPECT_EQ(bench.recovery("alpha").successes, 0);
}

TEST(EngineCancel, IsBelievedWhenTheDriverReportsIt) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha", "beta", "offline"}));
  bench.fail(call, Outcome::cancelled);
  EXPECT_EQ(bench.outcome(call), Outcome::cancelled);
  EXPECT_EQ(bench.sends(call).size(), 1U);
  EXPECT_EQ(bench.recovery("alpha").errors, 0);
}

}  // namespace
}  // namespace llmcore
