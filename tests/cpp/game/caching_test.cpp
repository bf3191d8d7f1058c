// The fourth of the game's ten suites: answers that are there already.
#include "stage.hpp"

namespace llmcore::game {
namespace {

TEST(GameCaching, AnEqualRequestIsAnsweredWithoutANetwork) {
  Stage stage(plain());
  ask(stage, "q");
  answer(stage, "5 6\nA.");
  const auto seen = ask(stage, "q");
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].text, "A.");
  EXPECT_EQ(seen[0].event.source, Source::cache);
}

TEST(GameCaching, AnotherRequestIsNot) {
  Stage stage(plain());
  ask(stage, "q");
  answer(stage, "5 6\nA.");
  EXPECT_TRUE(ask(stage, "q?").empty());
  Client::Request longer = Stage::say("q");
  longer.max_tokens = 17;
  Client::Request schema = Stage::say("q");
  schema.json_schema = R"({"type":"object"})";
  EXPECT_TRUE(ask(stage, std::move(schema)).empty());
}

TEST(GameCaching, AnAnswerAges) {
  Client::Config config = plain();
  config.engine.cache.ttl = 10 * kSecond;
  Stage stage(std::move(config));
  ask(stage, "q");
  answer(stage, "5 6\nA.");
  stage.clock.advance(9 * kSecond);
  EXPECT_EQ(ask(stage, "q").size(), 1U);
  stage.clock.advance(2 * kSecond);
  EXPECT_TRUE(ask(stage, "q").empty());
}

TEST(GameCaching, FailuresAndFallbacksAreNotKept) {
  Client::Config config = plain();
  config.engine.recovery.max_attempts = 1;
  Stage stage(std::move(config));
  ask(stage, "q");
  EXPECT_TRUE(break_off(stage).at(0).event.fallback);
  EXPECT_TRUE(ask(stage, "q").empty());
  EXPECT_EQ(stage.transport->open().size(), 1U);
}

TEST(GameCaching, HoldsNoMoreThanItMay) {
  Client::Config config = plain();
  config.engine.cache.max_entries = 2;
  Stage stage(std::move(config));
  for (const char* text : {"a", "b", "c", "d"}) {
    ask(stage, text);
    answer(stage, "1 1\nx");
  }
  int kept = 0;
  for (const char* text : {"a", "b", "c", "d"}) kept += ask(stage, text).empty() ? 0 : 1;
  EXPECT_LE(kept, 2);
  EXPECT_GE(kept, 1);
}

TEST(GameCaching, EqualRequestsInFlightAreOneRequest) {
  Stage stage(plain());
  for (int i = 0; i < 5; ++i) stage.client->submit(Stage::say("q"));
  stage.look();
  EXPECT_EQ(stage.transport->open().size(), 1U);
  const auto seen = answer(stage, "5 6\nA.");
  ASSERT_EQ(seen.size(), 5U);
  for (const Seen& one : seen) EXPECT_EQ(one.text, "A.");
  EXPECT_EQ(stage.client->stats().cached, 4);
}

TEST(GameCaching, TellsWhatItSaved) {
  Client::Config config = plain();
  auto card = std::make_shared<PriceCard>();
  card->base.output = 1'000'000'000;  // a dollar for a million tokens
  config.prices["p1/m1"] = card;
  Stage stage(std::move(config));
  ask(stage, "q");
  EXPECT_EQ(answer(stage, "0 1000\nA.").at(0).event.cost, 1'000'000);
  const auto seen = ask(stage, "q");
  EXPECT_EQ(seen.at(0).event.cost, 0);
  EXPECT_EQ(seen.at(0).event.saved, 1'000'000);
  EXPECT_EQ(stage.client->stats().saved, 1'000'000);
}

TEST(GameCaching, TenantsShareNothing) {
  Stage stage(plain());
  Client::Request one = Stage::say("q");
  one.tenant = "one";
  ask(stage, std::move(one));
  answer(stage, "5 6\nfor one");
  Client::Request other = Stage::say("q");
  other.tenant = "other";
  EXPECT_TRUE(ask(stage, std::move(other)).empty());
}

}  // namespace
}  // namespace llmcore::game
