// The engine's time: attempts and calls that take too long, clocks that stand, go back or begin before zero.
#include <gtest/gtest.h>

#include <cstdint>

#include "engine_harness.hpp"
#include "llmcore/engine.hpp"

namespace llmcore {
namespace {

using testing::Bench;
using testing::call_to;
using testing::open_config;
using testing::with_deadline;

TEST(Engine, AbortsAnAttemptThatTakesTooLong) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.pass(60 * kSecond - 1);
  EXPECT_TRUE(bench.aborts(call).empty());
  bench.pass(1);
  ASSERT_EQ(bench.aborts(call).size(), 1U);
  EXPECT_EQ(bench.aborts(call)[0].attempt, bench.attempt(call));
  EXPECT_EQ(bench.records(call).at(0).outcome, Outcome::timeout);
  EXPECT_EQ(bench.stats().backing_off, 1);
}

TEST(Engine, EndsACallAtItsDeadline) {
  Bench bench;
  const CallId call = bench.submit(with_deadline(call_to({"alpha"}), 5 * kSecond));
  EXPECT_EQ(bench.sends(call).at(0).not_after, bench.mono() + 5 * kSecond);
  bench.pass(5 * kSecond - 1);
  EXPECT_FALSE(bench.finished(call));
  bench.pass(1);
  EXPECT_EQ(bench.outcome(call), Outcome::timeout);
  EXPECT_EQ(bench.finish(call).latency, 5 * kSecond);
  EXPECT_EQ(bench.aborts(call).size(), 1U);
  EXPECT_TRUE(bench.at_rest());
}

TEST(Engine, GivesACallWithoutADeadlineTheConfiguredOne) {
  Config config = open_config();
  config.deadline = 7 * kSecond;
  Bench bench(config);
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.pass(7 * kSecond);
  EXPECT_EQ(bench.outcome(call), Outcome::timeout);
}

TEST(Engine, LetsACallThatHasForEverTakeForEver) {
  Config config = open_config();
  config.attempt_timeout = kNever;
  Bench bench(config);
  const CallId call = bench.submit(with_deadline(call_to({"alpha"}), kNever));
  EXPECT_EQ(bench.sends(call).at(0).not_after, kNever);
  EXPECT_EQ(bench.next_deadline(), std::nullopt);
  bench.pass(1'000'000 * kHour);
  bench.reply(call);
  EXPECT_EQ(bench.outcome(call), Outcome::ok);
}

TEST(Engine, CountsAnAnswerThatComesTogetherWithItsTimeout) {
  Bench bench;
  const CallId call = bench.submit(with_deadline(call_to({"alpha"}), 5 * kSecond));
  bench.set_clock({bench.mono() + 9 * kSecond, Bench::kWallStart});  // the driver comes late, with the answer
  bench.reply(call);
  EXPECT_EQ(bench.outcome(call), Outcome::ok);
}

TEST(Engine, HoldsAClockThatGoesBack) {
  Bench bench;
  const CallId call = bench.submit(with_deadline(call_to({"alpha"}), 10 * kSecond));
  bench.pass(4 * kSecond);
  bench.set_clock({Bench::kStart - 100 * kSecond, Bench::kWallStart});
  const CallId second = bench.submit(with_deadline(call_to({"alpha"}), 10 * kSecond));
  EXPECT_EQ(bench.stats().clock_regressions, 1);
  EXPECT_EQ(bench.sends(second).at(0).not_after, Bench::kStart + 14 * kSecond) << "the furthest instant counts";
  bench.reply(second);
  EXPECT_EQ(bench.finish(second).latency, 0);
  EXPECT_EQ(bench.stats().clock_regressions, 2);
  bench.tick_at(Bench::kStart + 10 * kSecond);
  EXPECT_EQ(bench.outcome(call), Outcome::timeout);
}

TEST(Engine, DecidesNothingByTheWallClock) {
  Bench bench;
  const CallId call = bench.submit(with_deadline(call_to({"alpha"}), 10 * kSecond));
  bench.set_clock({bench.mono() + kSecond, -50'000 * kHour});
  bench.give(Tick{});
  bench.set_clock({bench.mono() + kSecond, 50'000 * kHour});
  bench.give(Tick{});
  EXPECT_TRUE(bench.in_flight(call));
  bench.reply(call);
  EXPECT_EQ(bench.records(call).at(0).started, Bench::kWallStart);
  EXPECT_EQ(bench.finish(call).latency, 2 * kSecond);
}

TEST(Engine, WorksWithAClockWhoseEpochIsYetToCome) {
  Bench bench(open_config(), -kMinute);
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.pass(kMinute);  // instant 0: timed out, to be repeated
  bench.pass(kSecond);
  bench.reply(call);
  EXPECT_EQ(bench.outcome(call), Outcome::ok);
}

TEST(Engine, ChangesNothingAtATickThatNobodyNeeds) {
  Bench bench;
  const CallId flying = bench.submit(call_to({"alpha"}));
  const CallId waiting = bench.submit(call_to({"beta"}));
  bench.fail(waiting, Outcome::server_error);
  const std::uint64_t before = bench.engine().state_hash();
  static_cast<void>(bench.actions());
  for (int i = 0; i < 10; ++i) bench.give(Tick{});
  bench.tick_at(bench.mono() + kSecond - 1);
  EXPECT_TRUE(bench.actions().empty());
  EXPECT_EQ(bench.engine().state_hash(), before);
  bench.tick_at(bench.mono() + 1);
  EXPECT_EQ(bench.sends(waiting).size(), 2U);
  EXPECT_TRUE(bench.in_flight(flying));
}

}  // namespace
}  // namespace llmcore
