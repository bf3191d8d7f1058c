// What the game's suites share: a client in pump mode whose model a test answers by hand.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "../net/scripted.hpp"

namespace llmcore::game {

using net::ScriptedProvider;
using net::Seen;
using net::Stage;
using net::TransportError;
using Kind = Client::Event::Kind;

/// Asks, and gives what has come of it at once.
inline std::vector<Seen> ask(Stage& stage, Client::Request request) {
  stage.client->submit(std::move(request));
  return stage.look();
}
inline std::vector<Seen> ask(Stage& stage, const char* text) { return ask(stage, Stage::say(text)); }

/// What the newest request that is open is answered with.
inline std::vector<Seen> answer(Stage& stage, const std::string& body, net::Headers headers = {}) {
  stage.transport->answer(stage.transport->open().back().transfer, body, std::move(headers));
  return stage.look();
}
inline std::vector<Seen> fail(Stage& stage, const char* outcome, net::Headers headers = {}) {
  stage.transport->fail(stage.transport->open().back().transfer, outcome, std::move(headers));
  return stage.look();
}
inline std::vector<Seen> break_off(Stage& stage) {
  stage.transport->done(stage.transport->open().back().transfer, TransportError{Outcome::connection, "no route"});
  return stage.look();
}
inline std::vector<Seen> wait(Stage& stage, Duration span) {
  stage.clock.advance(span);
  return stage.look();
}

/// Without jitter, so that waits can be told; without the game's few requests a minute.
inline Client::Config plain() {
  Client::Config config;
  config.engine = Config::server();
  config.engine.backoff.jitter = Jitter::none;
  return config;
}

}  // namespace llmcore::game
