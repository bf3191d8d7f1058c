// Providers that are unwell: when their breaker opens, who may try, and where the others go.
#include <gtest/gtest.h>

#include "engine_harness.hpp"

namespace llmcore {
namespace {

using testing::Bench;
using testing::call_to;
using testing::open_config;
using testing::with_deadline;
using testing::with_tenant;

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
