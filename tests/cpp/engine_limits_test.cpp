// Requests, tokens and calls in flight: who is sent now, and what comes back when.
#include <gtest/gtest.h>

#include <vector>

#include "engine_harness.hpp"

namespace llmcore {
namespace {

using testing::Bench;
using testing::call_to;
using testing::limited;
using testing::open_config;
using testing::usage_of;
using testing::with_tenant;

using Ids = std::vector<CallId>;

// --- requests --------------------------------------------------------------------------------------------------------

TEST(EngineLimits, SendsTheBurstAtOnceAndTheRestAtTheRate) {
  Bench bench(limited(3));
  Ids calls;
  for (int i = 0; i < 5; ++i) calls.push_back(bench.submit(call_to({"alpha"})));
  EXPECT_EQ(bench.order(), (Ids{calls[0], calls[1], calls[2]}));
  EXPECT_EQ(bench.stats().queued, 2);
  EXPECT_EQ(bench.next_deadline(), bench.mono() + 20 * kSecond);
  bench.pass(20 * kSecond - 1);
  EXPECT_EQ(bench.order(), Ids{});
  bench.pass(1);
  EXPECT_EQ(bench.order(), Ids{calls[3]});
  bench.pass(20 * kSecond);
  EXPECT_EQ(bench.order(), Ids{calls[4]});
  bench.reply(calls[4]);
  EXPECT_EQ(bench.finish(calls[4]).queued, 40 * kSecond);
}

TEST(EngineLimits, CountsEveryAttemptAndNotEveryCall) {
  Bench bench(limited(2));
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.fail(call, Outcome::server_error);
  bench.pass(kSecond);
  EXPECT_EQ(bench.sends(call).size(), 2U);
  const CallId next = bench.submit(call_to({"alpha"}));
  EXPECT_FALSE(bench.in_flight(next)) << "the retry took the second request of the minute";
}

TEST(EngineLimits, HoldsTheGamePresetWithoutAnyConfiguration) {
  Bench bench{Config::game()};
  for (int i = 0; i < 61; ++i) bench.submit(call_to({"alpha"}));
  EXPECT_EQ(bench.order().size(), 60U);
  EXPECT_EQ(bench.stats().queued, 1);
}

TEST(EngineLimits, LimitsNothingInTheServerPresetUntilToldSo) {
  Bench bench{Config::server()};
  for (int i = 0; i < 1'000; ++i) bench.submit(call_to({"alpha"}));
  EXPECT_EQ(bench.order().size(), 1'000U);
}

TEST(EngineLimits, GivesAProviderItsOwnLimits) {
  Config config = limited(1);
  config.provider_limits["beta"] = {};
  config.provider_limits["beta"].requests_per_minute = 2;
  Bench bench(config);
  for (int i = 0; i < 3; ++i) bench.submit(call_to({"alpha"}));
  EXPECT_EQ(bench.order().size(), 1U);
  for (int i = 0; i < 3; ++i) bench.submit(call_to({"beta"}));
  EXPECT_EQ(bench.order().size(), 2U);
}

TEST(EngineLimits, LetsAFullLaneBlockNoOther) {
  Bench bench(limited(1));
  bench.submit(call_to({"alpha"}));
  const CallId blocked = bench.submit(call_to({"alpha"}));
  const CallId beta = bench.submit(call_to({"beta"}));
  const CallId tenant = bench.submit(with_tenant(call_to({"alpha"}), "other"));
  EXPECT_FALSE(bench.in_flight(blocked));
  EXPECT_TRUE(bench.in_flight(beta));
  EXPECT_TRUE(bench.in_flight(tenant)) << "tenants do not share limits";
}

// --- tokens ----------------------------------------------------------------------------------------------------------

TEST(EngineLimits, ReservesTheWorstCaseOfTokensAndSettlesToTheRealOne) {
  Bench bench(limited(0, 600));
  const CallId one = bench.submit(call_to({"alpha"}));
  const CallId two = bench.submit(call_to({"alpha"}));
  const CallId three = bench.submit(call_to({"alpha"}));
  const CallId four = bench.submit(call_to({"alpha"}));
  EXPECT_EQ(bench.order(), (Ids{one, two, three}));
  EXPECT_EQ(bench.stats().reserved_tokens, 600);
  bench.reply(one, "x", usage_of(30, 20));  // 150 come back
  EXPECT_EQ(bench.order(), Ids{});
  bench.reply(two, "x", usage_of(30, 120));  // 50 more: enough
  EXPECT_EQ(bench.order(), Ids{four});
}

TEST(EngineLimits, TakesTokensUsedAboveTheEstimateAfterwards) {
  Bench bench(limited(0, 600));
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.reply(call, "x", usage_of(400, 300));
  const CallId next = bench.submit(call_to({"alpha"}));
  EXPECT_FALSE(bench.in_flight(next));
  bench.pass(20 * kSecond - 1);
  EXPECT_FALSE(bench.in_flight(next));
  bench.pass(1);
  EXPECT_TRUE(bench.in_flight(next));
}

TEST(EngineLimits, SendsACallLargerThanAMinuteAlone) {
  Bench bench(limited(0, 600));
  Submit large = call_to({"alpha"});
  large.targets[0].input_tokens = 10'000;
  const CallId small = bench.submit(call_to({"alpha"}));
  const CallId huge = bench.submit(large);
  bench.pass(30 * kSecond);
  EXPECT_FALSE(bench.in_flight(huge)) << "not beside another";
  bench.reply(small, "x", usage_of(1, 1));
  EXPECT_TRUE(bench.in_flight(huge));
  const CallId after = bench.submit(call_to({"alpha"}));
  bench.pass(10 * kSecond);
  EXPECT_FALSE(bench.in_flight(after)) << "it used the whole minute";
  bench.pass(10 * kSecond);
  EXPECT_TRUE(bench.in_flight(after));
}

TEST(EngineLimits, GivesTheTokensOfAFailedAttemptBack) {
  Bench bench(limited(0, 200));
  const CallId call = bench.submit(call_to({"alpha"}));
  const CallId next = bench.submit(call_to({"alpha"}));
  bench.fail(call, Outcome::bad_request);
  EXPECT_TRUE(bench.in_flight(next));
}

// --- calls in flight -------------------------------------------------------------------------------------------------

TEST(EngineLimits, KeepsSoManyInFlightAndSendsTheNextWhenOneEnds) {
  Bench bench(limited(0, 0, 2));
  Ids calls;
  for (int i = 0; i < 5; ++i) calls.push_back(bench.submit(call_to({"alpha"})));
  EXPECT_EQ(bench.order(), (Ids{calls[0], calls[1]}));
  EXPECT_EQ(bench.next_deadline(), bench.mono() + 60 * kSecond) << "no timer can free a slot earlier";
  bench.reply(calls[1]);
  EXPECT_EQ(bench.order(), Ids{calls[2]});
  bench.fail(calls[0], Outcome::bad_request);
  EXPECT_EQ(bench.order(), Ids{calls[3]});
  bench.cancel(calls[2]);
  EXPECT_EQ(bench.order(), Ids{calls[4]});
}

TEST(EngineLimits, HoldsNoSlotWhileACallBacksOff) {
  Bench bench(limited(0, 0, 1));
  const CallId first = bench.submit(call_to({"alpha"}));
  const CallId second = bench.submit(call_to({"alpha"}));
  bench.fail(first, Outcome::server_error);
  EXPECT_TRUE(bench.in_flight(second));
}

TEST(EngineLimits, PutsARetryBackBeforeYoungerCalls) {
  Bench bench(limited(0, 0, 1));
  const CallId first = bench.submit(call_to({"alpha"}));
  const CallId second = bench.submit(call_to({"alpha"}));
  const CallId third = bench.submit(call_to({"alpha"}));
  bench.fail(first, Outcome::server_error);
  bench.pass(kSecond);
  bench.reply(second);
  EXPECT_EQ(bench.order(), (Ids{first, second, first}));
  bench.reply(first);
  EXPECT_EQ(bench.order(), Ids{third});
}

}  // namespace
}  // namespace llmcore
