// What a provider says of its limits, by a 429 or by headers, and who is held back by it.
#include <gtest/gtest.h>

#include <vector>

#include "engine_harness.hpp"

namespace llmcore {
namespace {

using testing::Bench;
using testing::call_to;
using testing::limited;
using testing::open_config;
using testing::with_deadline;
using testing::with_tenant;

using Ids = std::vector<CallId>;

TEST(EnginePause, HoldsTheWholeLaneAfterA429) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha"}));
  const CallId flying = bench.submit(call_to({"alpha"}));
  bench.fail(call, Outcome::rate_limited, 7 * kSecond);
  const CallId next = bench.submit(call_to({"alpha"}));
  const CallId elsewhere = bench.submit(call_to({"beta"}));
  const CallId tenant = bench.submit(with_tenant(call_to({"alpha"}), "other"));
  EXPECT_FALSE(bench.in_flight(next));
  EXPECT_TRUE(bench.in_flight(elsewhere));
  EXPECT_TRUE(bench.in_flight(tenant));
  bench.pass(7 * kSecond - 1);
  EXPECT_EQ(bench.sends(call).size(), 1U);
  EXPECT_FALSE(bench.in_flight(next));
  bench.pass(1);
  EXPECT_EQ(bench.sends(call).size(), 2U);
  EXPECT_TRUE(bench.in_flight(next));
  EXPECT_EQ(bench.records(call).at(0).retry_after, 7 * kSecond);
  bench.reply(flying);
}

TEST(EnginePause, LastsForTheBackoffWhenTheProviderNamesNoTime) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.fail(call, Outcome::rate_limited);
  const CallId next = bench.submit(call_to({"alpha"}));
  bench.pass(kSecond - 1);
  EXPECT_FALSE(bench.in_flight(next));
  bench.pass(1);
  EXPECT_EQ(bench.sends(call).size(), 2U);
  EXPECT_TRUE(bench.in_flight(next));
}

TEST(EnginePause, RefusesAtOnceWhoeverCannotOutlastIt) {
  Bench bench;
  bench.fail(bench.submit(call_to({"alpha"})), Outcome::rate_limited, 30 * kSecond);
  bench.pass(10 * kSecond);
  const CallId hurried = bench.submit(with_deadline(call_to({"alpha"}), 20 * kSecond));
  EXPECT_EQ(bench.outcome(hurried), Outcome::rate_limited);
  EXPECT_EQ(bench.finish(hurried).retry_hint, 20 * kSecond);
  const CallId patient = bench.submit(with_deadline(call_to({"alpha"}), 20 * kSecond + 1));
  EXPECT_FALSE(bench.finished(patient));
}

TEST(EnginePause, HintsNothingWhenNobodyKnowsWhenASlotComesBack) {
  Bench bench(limited(0, 600), -kHour);
  const CallId busy = bench.submit(call_to({"alpha"}));
  bench.submit(call_to({"alpha"}));
  Submit huge = with_deadline(call_to({"alpha"}), 5 * kSecond);  // goes alone, whenever that is
  huge.targets[0].input_tokens = 10'000;
  const CallId call = bench.submit(huge);
  EXPECT_FALSE(bench.finished(call));
  bench.fail(busy, Outcome::rate_limited, 30 * kSecond);
  EXPECT_EQ(bench.outcome(call), Outcome::rate_limited);
  EXPECT_EQ(bench.finish(call).retry_hint, 0);
}

TEST(EnginePause, EndsWithinADayWhateverTheProviderSays) {
  Bench bench;
  bench.fail(bench.submit(call_to({"alpha"})), Outcome::rate_limited, kNever);
  EXPECT_EQ(bench.outcome(1), Outcome::rate_limited);
  bench.pass(24 * kHour);
  EXPECT_TRUE(bench.in_flight(bench.submit(call_to({"alpha"})))) << "one absurd header must not end a provider";
}

TEST(EngineObserved, LimitsALaneThatHasNoLimitOfItsOwn) {
  Bench bench;
  Observed headers;
  headers.provider = "alpha";
  headers.limits.remaining_requests = 2;
  headers.limits.requests_reset = 6 * kSecond;
  bench.give(headers);
  Ids calls;
  for (int i = 0; i < 4; ++i) calls.push_back(bench.submit(call_to({"alpha"})));
  EXPECT_EQ(bench.order(), (Ids{calls[0], calls[1]}));
  EXPECT_TRUE(bench.in_flight(bench.submit(call_to({"beta"}))));
  static_cast<void>(bench.order());
  bench.pass(6 * kSecond);
  EXPECT_EQ(bench.order(), (Ids{calls[2], calls[3]}));
}

TEST(EngineObserved, LowersAConfiguredLimitAndNeverRaisesIt) {
  Bench bench(limited(60));
  Observed headers;
  headers.provider = "alpha";
  headers.limits.remaining_requests = 1;
  bench.give(headers);
  const CallId first = bench.submit(call_to({"alpha"}));
  const CallId second = bench.submit(call_to({"alpha"}));
  EXPECT_TRUE(bench.in_flight(first));
  EXPECT_FALSE(bench.in_flight(second));
  headers.limits.remaining_requests = 1'000;
  bench.give(headers);
  EXPECT_FALSE(bench.in_flight(second));
  bench.pass(kSecond);
  EXPECT_TRUE(bench.in_flight(second));
}

TEST(EngineObserved, FreesWhoWaitsWhenTheProviderHasMoreAfterAll) {
  Bench bench;
  Observed headers;
  headers.provider = "alpha";
  headers.limits.remaining_requests = 0;
  bench.give(headers);
  const CallId call = bench.submit(call_to({"alpha"}));
  EXPECT_FALSE(bench.in_flight(call));
  headers.limits.remaining_requests = 1;
  bench.give(headers);
  EXPECT_TRUE(bench.in_flight(call));
}

TEST(EngineObserved, HoldsTokensBack) {
  Bench bench;
  Observed headers;
  headers.provider = "alpha";
  headers.limits.remaining_tokens = 199;
  headers.limits.tokens_reset = 3 * kSecond;
  bench.give(headers);
  const CallId call = bench.submit(call_to({"alpha"}));
  EXPECT_FALSE(bench.in_flight(call));
  bench.pass(3 * kSecond);
  EXPECT_TRUE(bench.in_flight(call));
}

TEST(EngineObserved, ConcernsOneTenant) {
  Bench bench;
  Observed headers;
  headers.provider = "alpha";
  headers.tenant = "other";
  headers.limits.remaining_requests = 0;
  bench.give(headers);
  EXPECT_TRUE(bench.in_flight(bench.submit(call_to({"alpha"}))));
  EXPECT_FALSE(bench.in_flight(bench.submit(with_tenant(call_to({"alpha"}), "other"))));
}

}  // namespace
}  // namespace llmcore
