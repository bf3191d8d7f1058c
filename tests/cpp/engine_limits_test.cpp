// The engine's lanes: requests and tokens per minute, calls in flight, the queue, and what providers say about their limits.
#include <gtest/gtest.h>

#include <vector>

#include "engine_harness.hpp"

namespace llmcore {
namespace {

using testing::Bench;
using testing::call_to;
using testing::open_config;
using testing::usage_of;
using testing::with_deadline;
using testing::with_priority;
using testing::with_tenant;

using Ids = std::vector<CallId>;

/// A full minute's burst of so many.
Config limited(std::int64_t requests, std::int64_t tokens = 0, std::int64_t in_flight = 0) {
  Config config = open_config();
  config.limits.requests_per_minute = requests;
  config.limits.tokens_per_minute = tokens;
  config.limits.max_in_flight = in_flight;
  config.limits.minute_burst = true;
  return config;
}

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

// --- the queue -------------------------------------------------------------------------------------------------------

TEST(EngineQueue, DispatchesByPriorityAndFirstInFirstOutInside) {
  Bench bench(limited(0, 0, 1));
  const CallId first = bench.submit(call_to({"alpha"}));
  const CallId low = bench.submit(with_priority(call_to({"alpha"}), Priority::low));
  const CallId medium = bench.submit(call_to({"alpha"}));
  const CallId high = bench.submit(with_priority(call_to({"alpha"}), Priority::high));
  const CallId high2 = bench.submit(with_priority(call_to({"alpha"}), Priority::high));
  const Ids expected{first, high, high2, medium, low};
  for (const CallId call : expected) bench.reply(call);
  EXPECT_EQ(bench.order(), expected);
}

TEST(EngineQueue, LetsLowHaveOneDispatchInTwenty) {
  Bench bench(limited(0, 0, 1));
  CallId flying = bench.submit(call_to({"alpha"}));
  const CallId low = bench.submit(with_priority(call_to({"alpha"}), Priority::low));
  for (int i = 0; i < 40; ++i) bench.submit(with_priority(call_to({"alpha"}), Priority::high));
  static_cast<void>(bench.order());
  int dispatched = 0;
  while (flying != low && dispatched < 40) {
    bench.reply(flying);
    flying = bench.order().at(0);
    ++dispatched;
  }
  EXPECT_EQ(dispatched, 19) << "the first of the twenty was sent at once";
}

TEST(EngineQueue, RefusesAtOnceWhenAClassIsFull) {
  Config config = limited(0, 0, 1);
  config.queue = RequestQueueConfig::game();
  Bench bench(config);
  bench.submit(call_to({"alpha"}));
  for (int i = 0; i < 3; ++i) bench.submit(call_to({"alpha"}));
  const CallId refused = bench.submit(call_to({"alpha"}));
  EXPECT_EQ(bench.outcome(refused), Outcome::queue_full);
  EXPECT_EQ(bench.finish(refused).attempts, 0U);
  const CallId high = bench.submit(with_priority(call_to({"alpha"}), Priority::high));
  EXPECT_FALSE(bench.finished(high));
}

TEST(EngineQueue, RefusesAtOnceWhenTheTotalIsFull) {
  Config config = limited(0, 0, 1);
  config.queue = RequestQueueConfig::game();
  Bench bench(config);
  bench.submit(call_to({"alpha"}));
  for (int i = 0; i < 5; ++i) bench.submit(with_priority(call_to({"alpha"}), Priority::high));
  for (int i = 0; i < 10; ++i) bench.submit(with_priority(call_to({"alpha"}), Priority::low));
  const CallId refused = bench.submit(call_to({"alpha"}));  // no MEDIUM waits, and yet
  EXPECT_EQ(bench.outcome(refused), Outcome::queue_full);
  EXPECT_EQ(bench.stats().queued, 15);
}

TEST(EngineQueue, HintsWhenARefusedCallMayTryAgain) {
  Config config = limited(60);
  config.queue.class_capacity = {0, 0, 0};
  config.queue.total_capacity = 0;
  Bench bench(config);
  EXPECT_EQ(bench.outcome(bench.submit(call_to({"alpha"}))), Outcome::queue_full) << "a queue of 0 accepts no call";

  Config slots = limited(0, 0, 1);
  slots.queue.class_capacity = {0, 1, 0};
  Bench full(slots);
  full.submit(call_to({"alpha"}));
  full.submit(call_to({"alpha"}));
  EXPECT_EQ(full.finish(full.submit(call_to({"alpha"}))).retry_hint, 0) << "nobody knows when a slot comes back";

  Config rate = limited(1);
  rate.queue.class_capacity = {0, 1, 0};
  Bench slow(rate);
  slow.submit(call_to({"alpha"}));
  slow.submit(call_to({"alpha"}));
  slow.pass(10 * kSecond);
  EXPECT_EQ(slow.finish(slow.submit(call_to({"alpha"}))).retry_hint, 50 * kSecond);
}

TEST(EngineQueue, ExpiresCallsByTheirClass) {
  Config config = limited(0, 0, 1);
  config.queue = RequestQueueConfig::game();
  Bench bench(config);
  bench.submit(call_to({"alpha"}));
  const CallId medium = bench.submit(call_to({"alpha"}));
  const CallId low = bench.submit(with_priority(call_to({"alpha"}), Priority::low));
  const CallId high = bench.submit(with_priority(call_to({"alpha"}), Priority::high));
  EXPECT_EQ(bench.next_deadline(), bench.mono() + 3 * kSecond);
  bench.pass(3 * kSecond);
  EXPECT_EQ(bench.outcome(high), Outcome::queue_timeout);
  EXPECT_EQ(bench.finish(high).queued, 3 * kSecond);
  bench.pass(2 * kSecond);
  EXPECT_EQ(bench.outcome(low), Outcome::queue_timeout);
  EXPECT_FALSE(bench.finished(medium));
  bench.pass(5 * kSecond);
  EXPECT_EQ(bench.outcome(medium), Outcome::queue_timeout);
  EXPECT_TRUE(bench.sends(medium).empty()) << "expired calls leave before money is spent";
}

TEST(EngineQueue, WaitsInTheServerPresetAsLongAsTheDeadlineAllows) {
  Bench bench(limited(0, 0, 1));
  bench.submit(call_to({"alpha"}));
  const CallId waiting = bench.submit(with_deadline(call_to({"alpha"}), 42 * kSecond));
  bench.pass(42 * kSecond - 1);
  EXPECT_FALSE(bench.finished(waiting));
  bench.pass(1);
  EXPECT_EQ(bench.outcome(waiting), Outcome::queue_timeout);
}

TEST(EngineQueue, NamesTheLastFailureWhenARetryExpires) {
  Bench bench(limited(0, 0, 1));
  const CallId call = bench.submit(with_deadline(call_to({"alpha"}), 10 * kSecond));
  bench.submit(call_to({"alpha"}));
  bench.fail(call, Outcome::overloaded);
  bench.pass(10 * kSecond);
  EXPECT_EQ(bench.outcome(call), Outcome::overloaded);
  EXPECT_EQ(bench.finish(call).attempts, 1U);
}

TEST(EngineQueue, LeavesALimitThatTakesLongerThanTheCallHasForTheNextProvider) {
  Bench bench(limited(1));
  bench.submit(call_to({"alpha"}));
  const CallId patient = bench.submit(with_deadline(call_to({"alpha", "beta"}), 61 * kSecond));
  EXPECT_FALSE(bench.in_flight(patient));
  Bench other(limited(1));
  other.submit(call_to({"alpha"}));
  const CallId hurried = other.submit(with_deadline(call_to({"alpha", "beta"}), 60 * kSecond));
  ASSERT_TRUE(other.in_flight(hurried));
  EXPECT_EQ(other.sends(hurried).at(0).target, 1U);
  other.reply(hurried);
  EXPECT_TRUE(other.finish(hurried).fallback);
  EXPECT_EQ(other.finish(hurried).provider, "beta");
}

// --- what the provider says ------------------------------------------------------------------------------------------

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
