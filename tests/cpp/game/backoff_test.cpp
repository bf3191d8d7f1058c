// The sixth of the game's ten suites: waiting, and trying again.
#include "llmcore/backoff.hpp"

#include "stage.hpp"

namespace llmcore::game {
namespace {

TEST(GameBackoffAndRetry, WaitsTwiceAsLongEachTime) {
  Stage stage(plain());
  ask(stage, "q");
  fail(stage, "server_error");
  EXPECT_TRUE(stage.transport->open().empty());
  wait(stage, 499 * kMillisecond);
  EXPECT_TRUE(stage.transport->open().empty());
  wait(stage, kMillisecond);
  ASSERT_EQ(stage.transport->open().size(), 1U);
  fail(stage, "server_error");
  wait(stage, 999 * kMillisecond);
  EXPECT_TRUE(stage.transport->open().empty());
  wait(stage, kMillisecond);
  EXPECT_EQ(stage.transport->open().size(), 1U);
}

TEST(GameBackoffAndRetry, TheSecondAnswerIsAnAnswer) {
  Stage stage(plain());
  ask(stage, "q");
  fail(stage, "overloaded");
  wait(stage, kSecond);
  const auto seen = answer(stage, "1 2\nA.");
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.attempts, 2U);
  EXPECT_FALSE(seen[0].event.fallback);
  EXPECT_EQ(stage.client->stats().retries, 1);
}

TEST(GameBackoffAndRetry, TriesNoMoreThanItMay) {
  Client::Config config = plain();
  config.engine.recovery.max_attempts = 2;
  config.engine.recovery.breaker_errors = 10;
  config.offline_fallback = false;
  Stage stage(std::move(config));
  ask(stage, "q");
  fail(stage, "server_error");
  wait(stage, kSecond);
  const auto seen = fail(stage, "server_error");
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.outcome, Outcome::server_error);
  EXPECT_EQ(seen[0].event.attempts, 2U);
}

TEST(GameBackoffAndRetry, WaitsAsLongAsTheProviderAsks) {
  Stage stage(plain());
  ask(stage, "q");
  fail(stage, "rate_limited", {{"retry-after-ms", "3000"}});
  wait(stage, 2900 * kMillisecond);
  EXPECT_TRUE(stage.transport->open().empty());
  wait(stage, 200 * kMillisecond);
  EXPECT_EQ(stage.transport->open().size(), 1U);
}

TEST(GameBackoffAndRetry, DoesNotRepeatWhatTheRequestIsToBlameFor) {
  Client::Config config = plain();
  Stage stage(std::move(config));
  ask(stage, "q");
  const auto seen = fail(stage, "bad_request");
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.kind, Kind::failed);
  EXPECT_EQ(seen[0].event.attempts, 1U);
}

TEST(GameBackoffAndRetry, JitterStaysWithinItsBoundsAndIsTheSeeds) {
  BackoffConfig config;
  config.jitter = Jitter::proportional;
  config.jitter_permille = 250;
  SeededBackoff one(config, 7);
  SeededBackoff same(config, 7);
  for (std::int64_t attempt = 0; attempt < 6; ++attempt) {
    const Duration plain_delay = std::min<Duration>(config.base << attempt, config.cap);
    const Duration delay = one.delay(attempt);
    EXPECT_EQ(delay, same.delay(attempt));
    EXPECT_GE(delay, plain_delay - plain_delay / 4 - 1);
    EXPECT_LE(delay, std::min<Duration>(plain_delay + plain_delay / 4 + 1, config.cap));
  }
}

}  // namespace
}  // namespace llmcore::game
