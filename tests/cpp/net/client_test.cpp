// The client of a frame loop, driven by hand: no thread, no network, a clock that stands still.
#include "llmcore/net/client.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "llmcore/net/providers.hpp"
#include "scripted.hpp"

namespace llmcore::net {
namespace {

using Kind = Client::Event::Kind;

TEST(Client, ACallIsSentReadAndFinished) {
  Stage stage;
  Client::Request request = Stage::say("Hello?");
  request.tag = 77;
  const CallId call = stage.client->submit(std::move(request));
  EXPECT_TRUE(stage.look().empty());
  const auto open = stage.transport->open();
  ASSERT_EQ(open.size(), 1U);
  EXPECT_EQ(open[0].request.body, "m1\n\nHello?\n");
  EXPECT_EQ(stage.client->stats().in_flight, 1);
  stage.transport->answer(open[0].transfer, "10 20\nGood day.");
  const auto seen = stage.look();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.kind, Kind::finished);
  EXPECT_EQ(seen[0].event.call, call);
  EXPECT_EQ(seen[0].event.tag, 77U);
  EXPECT_EQ(seen[0].text, "Good day.");
  EXPECT_EQ(seen[0].provider, "p1");
  EXPECT_EQ(seen[0].event.input_tokens, 10);
  EXPECT_EQ(seen[0].event.output_tokens, 20);
  EXPECT_FALSE(seen[0].event.fallback);
  const Client::Stats stats = stage.client->stats();
  EXPECT_EQ(stats.live, 0);
  EXPECT_EQ(stats.in_flight, 0);
  EXPECT_EQ(stats.output_tokens, 20);
}

TEST(Client, AnAnswerThatDoesNotSayWhatItUsedIsNeverForNothing) {
  Stage stage;
  stage.client->submit(Stage::say("Hello?"));
  stage.look();
  stage.transport->answer(stage.transport->open().at(0).transfer, "?\n{\"city\": \"Oslo\"}");
  const auto seen = stage.look();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.kind, Kind::finished);
  EXPECT_GT(seen[0].event.input_tokens, 0);
  EXPECT_EQ(seen[0].event.output_tokens, 4);  // of the call's arguments
}

TEST(Client, AStreamComesPieceByPieceAndAddsUp) {
  Stage stage;
  stage.client->submit(Stage::say("Tell me.", true));
  stage.look();
  const TransferId transfer = stage.transport->open().at(0).transfer;
  stage.transport->head(transfer, 200);
  stage.transport->data(transfer, "3 4\nOnce ");
  auto seen = stage.look();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.kind, Kind::token);
  EXPECT_EQ(seen[0].text, "Once ");
  stage.transport->data(transfer, "upon");
  stage.transport->data(transfer, " a time[end]");
  seen = stage.look();
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(seen[0].text + seen[1].text, "upon a time");
  EXPECT_EQ(seen[2].event.kind, Kind::finished);
  EXPECT_EQ(seen[2].text, "Once upon a time");
  stage.transport->done(transfer);  // the connection ends after the answer did
  EXPECT_TRUE(stage.look().empty());
}

TEST(Client, AStreamThatBreaksIsToldWithWhatCame) {
  Stage stage;
  stage.client->submit(Stage::say("Tell me.", true));
  stage.look();
  const TransferId transfer = stage.transport->open().at(0).transfer;
  stage.transport->head(transfer, 200);
  stage.transport->data(transfer, "3 4\nOnce");
  stage.transport->done(transfer, TransportError{Outcome::connection, "p1.test: reset"});
  const auto seen = stage.look();
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[1].event.kind, Kind::failed);
  EXPECT_EQ(seen[1].event.outcome, Outcome::connection);
  EXPECT_EQ(seen[1].text, "Once");
  EXPECT_EQ(seen[1].error, "p1/m1: p1.test: reset");
}

TEST(Client, WithTheNetworkGoneThereIsATextInTheSameFrame) {
  Client::Config config;
  config.engine.recovery.max_attempts = 1;
  Stage stage(std::move(config));
  for (int error = 0; error < 3; ++error) {
    stage.client->submit(Stage::say("?"));
    stage.look();
    stage.transport->done(stage.transport->open().at(0).transfer, TransportError{Outcome::connection, "no route"});
    const auto seen = stage.look();
    ASSERT_EQ(seen.size(), 1U);
    EXPECT_EQ(seen[0].event.kind, Kind::finished);
  }
  // The breaker is open: nothing is tried, and nothing is waited for.
  Client::Request request = Stage::say("Who goes there?");
  request.call_type = "dialogue";
  request.placeholders = {{"name", "Mira"}};
  stage.client->submit(std::move(request));
  const auto seen = stage.look();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.kind, Kind::finished);
  EXPECT_TRUE(seen[0].event.fallback);
  EXPECT_EQ(seen[0].provider, "offline");
  EXPECT_FALSE(seen[0].text.empty());
  EXPECT_EQ(seen[0].event.cost, 0);
  EXPECT_TRUE(stage.transport->open().empty());
  EXPECT_EQ(stage.client->stats().fallbacks, 4);
}

TEST(Client, AKeyThatIsMissingFallsBackOrIsTold) {
  Client::Config config;
  config.providers = {std::make_shared<ScriptedProvider>("p1", true)};
  config.offline_fallback = false;
  Stage stage(config);
  stage.client->submit(Stage::say("?"));
  auto seen = stage.look();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.outcome, Outcome::auth);
  EXPECT_EQ(seen[0].error, "p1/m1: the key is missing: set SCRIPTED_API_KEY");
  config.offline_fallback = true;
  Stage fallback(config);
  fallback.client->submit(Stage::say("?"));
  seen = fallback.look();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_TRUE(seen[0].event.fallback);
}

TEST(Client, CancellingTellsAndGivesEverythingBack) {
  Stage stage;
  const CallId call = stage.client->submit(Stage::say("?"));
  stage.look();
  stage.client->cancel(call);
  stage.client->cancel(call);
  stage.client->cancel(12345);
  const auto seen = stage.look();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.outcome, Outcome::cancelled);
  EXPECT_EQ(stage.transport->aborted(), 1);
  EXPECT_EQ(stage.client->stats().live, 0);
  EXPECT_EQ(stage.client->stats().in_flight, 0);
}

TEST(Client, AnAnswerInTheMomentInWhichTheEngineGivesUpIsCountedOnce) {
  Stage stage;
  auto late = Stage::say("late");
  late.deadline = kSecond;
  stage.client->submit(Stage::say("first"));
  stage.client->submit(std::move(late));
  stage.look();
  const auto open = stage.transport->open();
  ASSERT_EQ(open.size(), 2U);
  EXPECT_EQ(stage.client->stats().in_flight, 2);
  stage.clock.advance(2 * kSecond);
  for (const auto& one : open) stage.transport->answer(one.transfer, "1 1\nyes");  // both in one poll
  EXPECT_FALSE(stage.look().empty());
  EXPECT_EQ(stage.client->stats().in_flight, 0);
  EXPECT_EQ(stage.client->stats().live, 0);
}

TEST(Client, AnEqualRequestIsAnsweredByTheCacheAndJoinedInFlight) {
  Stage stage;
  stage.client->submit(Stage::say("same", true));
  stage.client->submit(Stage::say("same", true));
  stage.look();
  ASSERT_EQ(stage.transport->open().size(), 1U);
  stage.transport->answer(stage.transport->open()[0].transfer, "1 2\none two[end]");
  auto seen = stage.look();
  ASSERT_EQ(seen.size(), 4U);
  for (const Seen& one : seen) {
    EXPECT_EQ(one.text, "one two");
    if (one.event.kind == Kind::finished) {
      EXPECT_EQ(one.event.source, one.event.call == 1 ? Source::provider : Source::joined);
    }
  }
  stage.client->submit(Stage::say("same", true));
  seen = stage.look();
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[1].event.source, Source::cache);
  EXPECT_EQ(stage.client->stats().cached, 2);
  Client::Request uncached = Stage::say("same", true);
  uncached.cache = false;
  stage.client->submit(std::move(uncached));
  EXPECT_TRUE(stage.look().empty());
  EXPECT_EQ(stage.transport->open().size(), 1U);
}

TEST(Client, TheCacheGoesThroughASaveFile) {
  Stage stage;
  for (const char* text : {"a", "b"}) {
    stage.client->submit(Stage::say(text));
    stage.look();
    stage.transport->answer(stage.transport->open().at(0).transfer, std::string("1 2\nanswer to ") + text);
    stage.look();
  }
  stage.client->save_cache();
  auto seen = stage.look();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.kind, Kind::cache_saved);
  EXPECT_EQ(seen[0].event.attempts, 2U);
  const std::string saved = seen[0].text;

  Stage later;
  std::string damaged = saved;
  damaged[damaged.size() / 2] ^= 1;
  later.client->load_cache(damaged);
  seen = later.look();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].error, "the saved answers are damaged: the checksum is not theirs");
  later.client->load_cache(saved);
  seen = later.look();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.kind, Kind::cache_loaded);
  EXPECT_EQ(seen[0].event.attempts, 2U);
  later.client->submit(Stage::say("b"));
  seen = later.look();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.source, Source::cache);
  EXPECT_EQ(seen[0].text, "answer to b");
}

TEST(Client, APlayersBudgetIsHisOwn) {
  Client::Config config;
  config.engine.budgets.push_back(BudgetRule{"player=*", Period::day, 1'000'000, {}});
  auto card = std::make_shared<PriceCard>();
  card->base.output = 10 * 1'000'000'000LL;  // 10 dollars for a million tokens
  config.prices["p1/m1"] = card;
  config.offline_fallback = false;
  config.max_tokens = 60;  // 600,000 nano-dollars at the most
  Stage stage(std::move(config));
  const auto ask = [&](const char* player) {
    Client::Request request = Stage::say("?");
    request.context.player_name = player;
    request.cache = false;
    stage.client->submit(std::move(request));
    return stage.look();
  };
  EXPECT_TRUE(ask("ann").empty());
  const auto refused = ask("ann");
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].event.outcome, Outcome::over_budget);
  EXPECT_TRUE(ask("bob").empty());
}

TEST(Client, APriceIsFoundByTheModelAloneWhateverItsCaseAndItsDate) {
  const auto cost_of = [](const char* price, const char* model) {
    Client::Config config;
    auto card = std::make_shared<PriceCard>();
    card->base.output = 1'000'000'000;
    config.prices[price] = card;
    config.chain = {{"p1", model}};
    Stage stage(std::move(config));
    stage.client->submit(Stage::say("?"));
    stage.look();
    stage.transport->answer(stage.transport->open().at(0).transfer, "1 2\nx");
    return stage.look().at(0).event.cost;
  };
  for (const char* price : {"p1/GPT-4o", "gpt-4o", "p1/gpt-4o-2024-08-06"}) {
    EXPECT_EQ(cost_of(price, "gpt-4o-2024-08-06"), 2'000) << price;
  }
  EXPECT_EQ(cost_of("m1-20250101", "m1"), std::nullopt);
  EXPECT_EQ(cost_of("p2/m1", "m1"), std::nullopt);
  EXPECT_EQ(cost_of("m1", "m1-2025-01-0x"), std::nullopt);
}

TEST(Client, AModelOnOnesOwnMachineCostsNothingAndNoBudgetRefusesIt) {
  Client::Config config;
  config.engine.budgets.push_back(BudgetRule{"player=*", Period::day, 1, {}});
  config.providers = {std::make_shared<net::LocalLlamaProvider>(), std::make_shared<ScriptedProvider>("p1")};
  config.chain = {{"llama", ""}};
  config.offline_fallback = false;
  Stage stage(std::move(config));
  auto request = Stage::say("?");
  request.context.player_name = "ann";
  stage.client->submit(std::move(request));
  EXPECT_TRUE(stage.look().empty());
  stage.transport->answer(stage.transport->open().at(0).transfer,
                          R"({"choices": [{"message": {"content": "Hm."}}], "usage": {"prompt_tokens": 1}})");
  const auto seen = stage.look();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].text, "Hm.");
  EXPECT_EQ(seen[0].event.cost, 0);
}

TEST(Client, MoreCallsThanMayBeOpenAreRefusedAtOnce) {
  Client::Config config;
  config.max_calls = 2;
  Stage stage(std::move(config));
  for (int i = 0; i < 3; ++i) stage.client->submit(Stage::say(std::to_string(i)));
  Client::Events events;
  ASSERT_EQ(stage.client->poll(events), 1U);
  EXPECT_EQ(events[0].call, 3U);
  EXPECT_EQ(events[0].outcome, Outcome::queue_full);
  EXPECT_EQ(stage.client->stats().live, 2);
}

TEST(Client, AGameThatDoesNotLookFindsEverythingLater) {
  Client::Config config;
  config.event_bytes = 64 * 1024;
  Stage stage(std::move(config));
  stage.client->submit(Stage::say("?", true));
  stage.look();
  const TransferId transfer = stage.transport->open().at(0).transfer;
  stage.transport->head(transfer, 200);
  stage.transport->data(transfer, "1 2\n");
  std::string all;
  for (int i = 0; i < 3000; ++i) {
    const std::string piece = "piece " + std::to_string(i) + " of a long story. ";
    all += piece;
    stage.transport->data(transfer, piece);
  }
  stage.transport->data(transfer, "[end]");
  stage.client->pump();
  std::string told;
  std::string whole;
  for (int round = 0; round < 1000 && whole.empty(); ++round) {
    for (const Seen& one : stage.look()) {
      (one.event.kind == Kind::token ? told : whole) += one.text;
    }
  }
  EXPECT_EQ(told, all);
  EXPECT_EQ(whole, all);
}

TEST(Client, APollTakesNoMoreThanItMay) {
  Stage stage;
  for (int i = 0; i < 4; ++i) stage.client->submit(Stage::say(std::to_string(i)));
  stage.client->pump();
  for (const auto& open : stage.transport->open()) stage.transport->answer(open.transfer, "1 1\nx");
  stage.client->pump();
  Client::Events events;
  EXPECT_EQ(stage.client->poll(events, {.events = 3}), 3U);
  EXPECT_EQ(stage.client->poll(events, {.events = 3}), 1U);
  EXPECT_EQ(stage.client->poll(events, {.events = 3}), 0U);
}

TEST(Client, ANumberThatIsNoneIsRefusedInASentence) {
  Stage stage;
  for (const auto wrong : {+[](Client::Request& request) { request.priority = static_cast<Priority>(9); },
                           +[](Client::Request& request) { request.deadline = -1; },
                           +[](Client::Request& request) { request.max_tokens = INT64_MAX; }}) {
    Client::Request request = Stage::say("?");
    wrong(request);
    stage.client->submit(std::move(request));
    const auto seen = stage.look();
    ASSERT_EQ(seen.size(), 1U);
    EXPECT_EQ(seen[0].event.outcome, Outcome::bad_request);
    EXPECT_NE(seen[0].error.find("priority, deadline or max_tokens"), std::string::npos) << seen[0].error;
  }
}

TEST(Client, ThePollsOfAGameTakeTheirMemoryOnce) {
  Stage stage;
  Client::Events events;
  EXPECT_EQ(stage.client->poll(events), 0U);
  const std::size_t room = events.capacity();
  EXPECT_GE(room, Client::PollBudget{}.events);
  for (int i = 0; i < 200; ++i) stage.client->submit(Stage::say(std::to_string(i)));
  stage.client->shutdown(kSecond);
  EXPECT_EQ(stage.client->poll(events, {Client::PollBudget{}.events, kHour}), 200U);
  EXPECT_EQ(events.capacity(), room);
}

TEST(Client, ShuttingDownCancelsWhatIsOpenAndTakesNothingOn) {
  Stage stage;
  for (int i = 0; i < 5; ++i) stage.client->submit(Stage::say(std::to_string(i)));
  stage.look();
  EXPECT_TRUE(stage.client->shutdown(kSecond));
  EXPECT_TRUE(stage.client->shutdown(kSecond));
  stage.client->submit(Stage::say("late"));
  const auto seen = stage.look();
  ASSERT_EQ(seen.size(), 6U);
  for (const Seen& one : seen) EXPECT_EQ(one.event.outcome, Outcome::cancelled);
  EXPECT_EQ(stage.client->stats().live, 0);
}

TEST(Client, EveryProblemOfAConfigurationIsNamedAtOnce) {
  Client::Config config;
  config.max_calls = 0;
  config.event_bytes = 1;
  config.providers = {nullptr};
  config.chain = {{"nobody", "m"}};
  std::string problem;
  EXPECT_EQ(Client::create(config, problem), nullptr);
  for (const char* part : {"max_calls", "event_bytes", "null", "nobody"}) {
    EXPECT_NE(problem.find(part), std::string::npos) << part << " in " << problem;
  }
  EXPECT_THROW(Client{config}, std::invalid_argument);
}

TEST(Client, WithoutProvidersTheTemplatesAnswer) {
  Client::Config config;
  config.worker_thread = false;
  Client client(std::move(config));
  client.submit(Stage::say("Is anybody there?", true));
  client.pump();
  Client::Events events;
  ASSERT_EQ(client.poll(events), 2U);
  EXPECT_EQ(events[0].kind, Kind::token);
  EXPECT_EQ(events[1].kind, Kind::finished);
  EXPECT_FALSE(events[1].fallback);
  EXPECT_EQ(events[0].text, events[1].text);
}

}  // namespace
}  // namespace llmcore::net
