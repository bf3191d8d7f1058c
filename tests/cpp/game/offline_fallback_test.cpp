// The third of the game's ten suites: text without a model.
#include <nlohmann/json.hpp>

#include "llmcore/offline.hpp"
#include "stage.hpp"

namespace llmcore::game {
namespace {

Client::Config unplugged() {
  Client::Config config = plain();
  config.engine.recovery.max_attempts = 1;
  return config;
}

TEST(GameOfflineFallback, AnswersWhereNoProviderIsConfigured) {
  Client::Config config;
  config.worker_thread = false;
  Client client(std::move(config));
  client.submit(Stage::say("Hello?"));
  client.pump();
  Client::Events events;
  ASSERT_EQ(client.poll(events), 1U);
  EXPECT_EQ(events[0].provider, "offline");
  EXPECT_FALSE(events[0].text.empty());
}

TEST(GameOfflineFallback, SaysThatItIsOne) {
  Stage stage(unplugged());
  ask(stage, "Hello?");
  const auto seen = break_off(stage);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_TRUE(seen[0].event.fallback);
  EXPECT_EQ(seen[0].event.attempts, 2U);
}

TEST(GameOfflineFallback, SaysTheSameToTheSameQuestion) {
  const auto once = [] {
    Stage stage(unplugged());
    ask(stage, "Who built the mill?");
    return break_off(stage).at(0).text;
  };
  EXPECT_EQ(once(), once());
}

TEST(GameOfflineFallback, IsAboutWhatTheCallIsFor) {
  const OfflineGenerator generator;
  OfflineRequest request;
  request.problem = OfflineGenerator::problem_of("player_decision");
  EXPECT_EQ(request.problem, ProblemType::decision);
  const std::string decision = generator.generate(request);
  request.problem = ProblemType::danger;
  EXPECT_NE(generator.generate(request), decision);
}

TEST(GameOfflineFallback, GrowsWithSeverity) {
  const OfflineGenerator generator;
  OfflineRequest request;
  request.problem = ProblemType::danger;
  request.severity = 0;
  const std::size_t calm = generator.generate(request).size();
  request.severity = 1000;
  EXPECT_GT(generator.generate(request).size(), calm);
}

TEST(GameOfflineFallback, SpeaksOfWhomItIsTold) {
  Client::Config config = unplugged();
  Stage stage(std::move(config));
  bool named = false;
  for (int i = 0; i < 8 && !named; ++i) {
    Client::Request request = Stage::say("Question " + std::to_string(i));
    request.call_type = "dialogue";
    request.placeholders = {{"name", "Mirabel"}};
    auto seen = ask(stage, std::move(request));
    if (seen.empty()) seen = break_off(stage);
    named = seen.at(0).text.find("Mirabel") != std::string::npos;
  }
  EXPECT_TRUE(named);
}

TEST(GameOfflineFallback, AnswersJsonWhereJsonIsAskedFor) {
  Stage stage(unplugged());
  Client::Request request = Stage::say("Decide.");
  request.json = true;
  ask(stage, std::move(request));
  const auto seen = break_off(stage);
  const auto json = nlohmann::json::parse(seen.at(0).text, nullptr, false);
  ASSERT_TRUE(json.is_object()) << seen.at(0).text;
}

TEST(GameOfflineFallback, CostsNothingAndNeedsNoNetwork) {
  Stage stage(unplugged());
  for (int i = 0; i < 3; ++i) {
    ask(stage, Stage::say(std::to_string(i)));
    break_off(stage);
  }
  const auto seen = ask(stage, "And now?");  // the breaker is open: nothing is sent any more
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.cost, 0);
  EXPECT_TRUE(stage.transport->open().empty());
  EXPECT_EQ(stage.client->stats().cost, 0);
}

}  // namespace
}  // namespace llmcore::game
