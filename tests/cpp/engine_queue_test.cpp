// Calls that wait: by priority, within bounds, for so long.
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
using testing::with_priority;

using Ids = std::vector<CallId>;

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

}  // namespace
}  // namespace llmcore
