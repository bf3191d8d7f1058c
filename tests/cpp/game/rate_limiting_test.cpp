// The seventh of the game's ten suites: no faster than allowed, the important ones first.
#include "stage.hpp"

namespace llmcore::game {
namespace {

Client::Config limited(std::int64_t per_minute) {
  Client::Config config;  // the game's own preset: a minute's worth at once
  config.engine.limits.requests_per_minute = per_minute;
  config.offline_fallback = false;
  return config;
}

TEST(GameRateLimiting, SendsAMinutesWorthAtOnceAndNoMore) {
  Stage stage(limited(3));
  for (int i = 0; i < 5; ++i) stage.client->submit(Stage::say(std::to_string(i)));
  stage.look();
  EXPECT_EQ(stage.transport->open().size(), 3U);
}

TEST(GameRateLimiting, RefillsWithTime) {
  Stage stage(limited(60));
  for (int i = 0; i < 60; ++i) {
    stage.client->submit(Stage::say(std::to_string(i)));
    stage.look();
  }
  Client::Request late = Stage::say("late");
  late.priority = Priority::medium;
  stage.client->submit(std::move(late));
  stage.look();
  EXPECT_EQ(stage.transport->open().size(), 60U);
  wait(stage, 1100 * kMillisecond);
  EXPECT_EQ(stage.transport->open().size(), 61U);
}

TEST(GameRateLimiting, WhomThePlayerTalksToComesFirst) {
  Client::Config config = limited(60);
  config.engine.limits.max_in_flight = 1;
  Stage stage(std::move(config));
  ask(stage, "first");
  for (const Priority priority : {Priority::low, Priority::medium, Priority::high}) {
    Client::Request request = Stage::say(std::string(to_string(priority)));
    request.priority = priority;
    ask(stage, std::move(request));
  }
  std::vector<std::string> order;
  for (int i = 0; i < 3; ++i) {
    answer(stage, "1 1\nx");
    order.push_back(stage.transport->open().back().request.body);
  }
  EXPECT_NE(order[0].find("high"), std::string::npos);
  EXPECT_NE(order[1].find("medium"), std::string::npos);
  EXPECT_NE(order[2].find("low"), std::string::npos);
}

TEST(GameRateLimiting, AFullQueueRefusesAtOnce) {
  Client::Config config = limited(60);
  config.engine.limits.max_in_flight = 1;
  Stage stage(std::move(config));
  int refused = 0;
  for (int i = 0; i < 12; ++i) {
    for (const Seen& one : ask(stage, std::to_string(i).c_str()))
      refused += one.event.outcome == Outcome::queue_full ? 1 : 0;
  }
  EXPECT_EQ(refused, 12 - 1 - 3);  // one in flight, three of medium priority wait
}

TEST(GameRateLimiting, WhatWaitedTooLongIsToldSo) {
  Client::Config config = limited(60);
  config.engine.limits.max_in_flight = 1;
  Stage stage(std::move(config));
  ask(stage, "first");
  Client::Request urgent = Stage::say("urgent");
  urgent.priority = Priority::high;
  ask(stage, std::move(urgent));
  const auto seen = wait(stage, 3 * kSecond);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.outcome, Outcome::queue_timeout);
}

}  // namespace
}  // namespace llmcore::game
