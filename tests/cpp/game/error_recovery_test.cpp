// The eighth of the game's ten suites: providers that fail, and those behind them.
#include "stage.hpp"

namespace llmcore::game {
namespace {

Client::Config chained() {
  Client::Config config = plain();
  config.engine.recovery.max_attempts = 1;
  config.chain = {{"p1", "m1"}, {"p2", "m2"}};
  return config;
}

TEST(GameErrorRecovery, TheNextProviderIsAsked) {
  Stage stage(chained());
  ask(stage, "q");
  fail(stage, "server_error");
  ASSERT_EQ(stage.transport->open().size(), 1U);
  EXPECT_EQ(stage.transport->open()[0].request.url, "http://p2.test/");
  const auto seen = answer(stage, "1 2\nFrom the second.");
  EXPECT_EQ(seen.at(0).provider, "p2");
  EXPECT_TRUE(seen.at(0).event.fallback);
}

TEST(GameErrorRecovery, AndInTheEndTheTemplates) {
  Stage stage(chained());
  ask(stage, "q");
  fail(stage, "server_error");
  const auto seen = fail(stage, "overloaded");
  EXPECT_EQ(seen.at(0).provider, "offline");
  EXPECT_EQ(seen.at(0).event.attempts, 3U);
}

TEST(GameErrorRecovery, ThreeErrorsOpenTheBreaker) {
  Client::Config config = chained();
  config.chain = {{"p1", "m1"}};
  Stage stage(std::move(config));
  for (int i = 0; i < 3; ++i) {
    ask(stage, std::to_string(i).c_str());
    ASSERT_EQ(stage.transport->open().size(), 1U);
    break_off(stage);
  }
  ask(stage, "another");
  EXPECT_TRUE(stage.transport->open().empty());
}

TEST(GameErrorRecovery, OneProbeClosesItAgain) {
  Client::Config config = chained();
  config.chain = {{"p1", "m1"}};
  Stage stage(std::move(config));
  for (int i = 0; i < 3; ++i) {
    ask(stage, std::to_string(i).c_str());
    break_off(stage);
  }
  wait(stage, 10 * kSecond);
  ask(stage, "probe");
  ask(stage, "beside it");
  EXPECT_EQ(stage.transport->open().size(), 1U);
  EXPECT_FALSE(answer(stage, "1 1\nBack.").at(0).event.fallback);
  ask(stage, "and on");
  EXPECT_EQ(stage.transport->open().size(), 1U);
}

TEST(GameErrorRecovery, ASpentQuotaGoesToTheNextAtOnce) {
  Stage stage(chained());
  ask(stage, "q");
  fail(stage, "quota_exhausted");
  EXPECT_EQ(stage.transport->open().at(0).request.url, "http://p2.test/");
}

TEST(GameErrorRecovery, AStreamThatTheplayerSawIsNotRepeated) {
  Stage stage(chained());
  ask(stage, Stage::say("q", true));
  const auto transfer = stage.transport->open().at(0).transfer;
  stage.transport->head(transfer, 200);
  stage.transport->data(transfer, "1 1\nOnce upon");
  stage.transport->done(transfer, TransportError{Outcome::connection, "reset"});
  const auto seen = stage.look();
  EXPECT_EQ(seen.back().event.kind, Kind::failed);
  EXPECT_EQ(seen.back().text, "Once upon");
  EXPECT_TRUE(stage.transport->open().empty());
}

}  // namespace
}  // namespace llmcore::game
