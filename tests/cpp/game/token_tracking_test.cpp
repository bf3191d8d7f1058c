// The fifth of the game's ten suites: what was used, and what it cost.
#include "stage.hpp"

namespace llmcore::game {
namespace {

Client::Config priced() {
  Client::Config config = plain();
  auto card = std::make_shared<PriceCard>();
  card->base.input = 3'000'000'000;
  card->base.output = 15'000'000'000;
  config.prices["p1/m1"] = card;
  return config;
}

TEST(GameTokenTracking, AnAnswerSaysWhatItUsed) {
  Stage stage(plain());
  ask(stage, "q");
  const auto seen = answer(stage, "123 45\nA.");
  EXPECT_EQ(seen.at(0).event.input_tokens, 123);
  EXPECT_EQ(seen.at(0).event.output_tokens, 45);
}

TEST(GameTokenTracking, AndWhatItCostToTheNanoDollar) {
  Stage stage(priced());
  ask(stage, "q");
  EXPECT_EQ(answer(stage, "123 45\nA.").at(0).event.cost, 123 * 3'000 + 45 * 15'000);
}

TEST(GameTokenTracking, AnUnknownPriceIsNoZero) {
  Stage stage(plain());
  ask(stage, "q");
  EXPECT_FALSE(answer(stage, "1 1\nA.").at(0).event.cost);
}

TEST(GameTokenTracking, SumsAreThereForAHud) {
  Stage stage(priced());
  for (const char* text : {"a", "b", "c"}) {
    ask(stage, text);
    answer(stage, "10 2\nA.");
  }
  const Client::Stats stats = stage.client->stats();
  EXPECT_EQ(stats.input_tokens, 30);
  EXPECT_EQ(stats.output_tokens, 6);
  EXPECT_EQ(stats.cost, 3 * (10 * 3'000 + 2 * 15'000));
  EXPECT_EQ(stats.finished, 3);
}

TEST(GameTokenTracking, AttemptsThatFailedAreCountedToo) {
  Stage stage(priced());
  Client::Request request = Stage::say("q", true);
  ask(stage, std::move(request));
  const auto transfer = stage.transport->open().back().transfer;
  stage.transport->head(transfer, 200);
  stage.transport->data(transfer, "10 20\nHalf of");
  stage.transport->done(transfer, TransportError{Outcome::connection, "reset"});
  const auto seen = stage.look();
  EXPECT_EQ(seen.back().event.kind, Kind::failed);
  EXPECT_EQ(seen.back().event.output_tokens, 20);
  EXPECT_GT(seen.back().event.cost.value_or(0), 0);
}

TEST(GameTokenTracking, ABudgetStopsBeforeItIsSpent) {
  Client::Config config = priced();
  config.engine.budgets.push_back(BudgetRule{"global", Period::day, 2'000'000, {}});
  config.offline_fallback = false;
  config.max_tokens = 100;  // 1,500,000 at the most, and the prompt
  Stage stage(std::move(config));
  ask(stage, "a");
  const auto second = ask(stage, "b");
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].event.outcome, Outcome::over_budget);
  answer(stage, "10 10\nshort");  // what was set aside and not used comes back
  EXPECT_TRUE(ask(stage, "c").empty());
}

TEST(GameTokenTracking, ABudgetsThresholdsAreTold) {
  Client::Config config = priced();
  config.engine.budgets.push_back(BudgetRule{"player=*", Period::day, 1'000'000'000, {1, 50}});
  std::vector<std::string> alerts;
  config.observer = [&](const Action& action) {
    const auto* record = std::get_if<Record>(&action);
    const auto* alert = record != nullptr ? std::get_if<AlertRecord>(&record->body) : nullptr;
    if (alert != nullptr) alerts.push_back(alert->scope + " " + std::to_string(alert->percent));
  };
  Stage stage(std::move(config));
  Client::Request request = Stage::say("q");
  request.context.player_name = "ann";
  ask(stage, std::move(request));
  answer(stage, "0 1000\nA.");  // 15,000,000
  EXPECT_EQ(alerts, (std::vector<std::string>{"player=ann 1"}));
}

}  // namespace
}  // namespace llmcore::game
