// What is repeated, after which wait, and how often.
#include <gtest/gtest.h>

#include <vector>

#include "engine_harness.hpp"

namespace llmcore {
namespace {

using testing::attempts;
using testing::Bench;
using testing::call_to;
using testing::open_config;
using testing::with_deadline;

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

}  // namespace
}  // namespace llmcore
