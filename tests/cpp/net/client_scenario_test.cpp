// tests/scenarios/*.json through the client: what it drives the engine to must be what the engine decides by itself.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "scenario.hpp"
#include "scripted.hpp"

namespace llmcore::net {
namespace {

class ClientScenario {
 public:
  explicit ClientScenario(const Json& scenario)
      : scenario_(scenario), settings_(scenario.value("settings", Json::object())) {
    Client::Config config;
    config.engine = config_of(settings_);
    const Json prices = settings_.value("prices", Json::object());
    for (const auto& [name, rates] : prices.items()) {
      auto card = std::make_shared<PriceCard>();
      card->base.input = card->base.cache_read = card->base.cache_write_5m = card->base.cache_write_1h =
          dollars(rates.value("input", Json(0)));
      card->base.output = card->base.reasoning = dollars(rates.value("output", Json(0)));
      config.prices[name] = card;
    }
    config.offline_fallback = false;
    config.estimate = [this](const Client::Request& request) { return estimates_.at(request.tag - 1); };
    config.observer = [this](const Action& action) { see(action); };
    stage_ = std::make_unique<Stage>(std::move(config));
    stage_->transport->hangs = true;
  }

  void run() {
    expect_known_keys(scenario_);
    for (const Json& step : scenario_.at("steps")) {
      streams_ = streams_ || step.contains("stream");
    }
    std::size_t number = 0;
    for (const Json& step : scenario_.at("steps")) {
      ++number;
      lines_.clear();
      const Duration at = milliseconds(step.at("at_ms"));
      stage_->clock.set(Now{at, kWallAtStart + at});
      perform(step);
      settle();
      const auto expected = step.value("expect", std::vector<std::string>{});
      std::string listed;
      for (const std::string& line : lines_) listed += "  " + line + "\n";
      ASSERT_EQ(lines_.size(), expected.size()) << "step " << number << "\nactual:\n" << listed;
      for (std::size_t i = 0; i < expected.size(); ++i) {
        ASSERT_TRUE(matches(expected[i], lines_[i]))
            << "step " << number << "\nexpected: " << expected[i] << "\nactual:   " << lines_[i];
      }
    }
    check_results();
  }

 private:
  void perform(const Json& step) {
    if (step.contains("submit")) {
      submit(step["submit"]);
    } else if (step.contains("reply")) {
      const Json& reply = step["reply"];
      std::string body = std::to_string(reply.value("input_tokens", 0)) + " " +
                         std::to_string(reply.value("output_tokens", 0)) + "\nanswer";
      if (streams_) body += "[end]";
      stage_->transport->answer(transfer_of(reply), body, observed(reply));
    } else if (step.contains("fail")) {
      const Json& failure = step["fail"];
      const Outcome outcome = outcome_named(failure.at("outcome").get<std::string>());
      const bool transports = !failure.contains("observe") && !failure.contains("retry_after_ms") &&
                              !failure.contains("should_retry") &&
                              (outcome == Outcome::connection || outcome == Outcome::timeout);
      if (transports || began_.count(failure["call"].get<std::string>()) != 0) {
        stage_->transport->done(transfer_of(failure), TransportError{outcome, "as the script says"});
        return;
      }
      Headers headers = observed(failure);
      if (failure.contains("retry_after_ms")) headers.emplace_back("retry-after-ms", failure["retry_after_ms"].dump());
      if (failure.contains("should_retry")) headers.emplace_back("x-should-retry", failure["should_retry"].dump());
      stage_->transport->fail(transfer_of(failure), failure["outcome"].get<std::string>(), std::move(headers));
    } else if (step.contains("stream")) {
      const std::string call = step["stream"]["call"];
      if (began_.insert(call).second) stage_->transport->head(transfer_of(step["stream"]), 200);
      stage_->transport->data(transfer_of(step["stream"]), "0 0\nfirst");
    } else if (step.contains("cancel")) {
      const std::string call = step["cancel"]["call"];
      cancelled_.insert(call);
      stage_->client->cancel(ids_.at(call));
    }
  }

  void submit(const Json& input) {
    const std::string name = input.at("call");
    Client::Request request = Stage::say(input.value("text", name), streams_);
    estimates_.push_back(input.value("input_tokens", 0));
    request.tag = estimates_.size();
    request.tenant = input.value("tenant", "default");
    request.call_type = input.value("call_type", "");
    const std::string priority = input.value("priority", "medium");
    request.priority = priority == "high" ? Priority::high : priority == "low" ? Priority::low : Priority::medium;
    request.deadline = input.contains("deadline_ms") ? milliseconds(input["deadline_ms"]) : 0;
    request.max_tokens = input.value("max_tokens", 100);
    request.cache = input.value("cache", false);
    request.context.user_id = input.value("user_id", "");
    request.context.game_id = input.value("game_id", "");
    for (const std::string& place : input.at("to").get<std::vector<std::string>>()) {
      const std::size_t slash = place.find('/');
      request.chain.push_back({place.substr(0, slash), place.substr(slash + 1)});
    }
    names_.push_back(name);
    chains_[name] = input.at("to").get<std::vector<std::string>>();
    ids_[name] = stage_->client->submit(std::move(request));
  }

  TransferId transfer_of(const Json& step) const {
    const std::string call = step.at("call");
    return attempts_.at({call, step.value("number", latest_.at(call))});
  }

  static Headers observed(const Json& step) {
    Headers headers;
    const Json told = step.value("observe", Json::object());
    for (const auto& [key, value] : told.items()) headers.emplace_back(key, value.dump());
    return headers;
  }

  // Until nothing more happens. A transport that can be stopped gives an aborted attempt up at once.
  void settle() {
    for (int round = 0; round < 4; ++round) {
      stage_->client->pump();
      for (const Seen& one : stage_->look()) results_.push_back(one);
      for (const AttemptId attempt : std::exchange(aborted_, {})) {
        stage_->transport->done(attempt, TransportError{Outcome::timeout, "given up"});
      }
    }
  }

  const std::string& name(CallId call) const { return names_.at(call - 1); }

  void see(const Action& action) {
    std::ostringstream line;
    if (const auto* sent = std::get_if<Send>(&action)) {
      const std::string& call = name(sent->call);
      latest_[call] = sent->number;
      attempts_[{call, sent->number}] = sent->attempt;
      line << "send " << call << ' ' << sent->number << ' ' << chains_.at(call).at(sent->target)
           << " by=" << sent->not_after / kMillisecond;
    } else if (const auto* aborted = std::get_if<Abort>(&action)) {
      const bool stoppable = !scenario_.value("hangs", false) && cancelled_.count(name(aborted->call)) == 0;
      if (stoppable) aborted_.push_back(aborted->attempt);
      line << "abort " << name(aborted->call) << ' ' << aborted->attempt % 1024;
    } else if (const auto* record = std::get_if<Record>(&action)) {
      if (const auto* attempt = std::get_if<AttemptRecord>(&record->body)) {
        line << "record " << name(attempt->call) << ' ' << attempt->number << ' ' << to_string(attempt->outcome)
             << " cost=" << money(attempt->cost) << " at=" << attempt->provider << '/' << attempt->model;
      } else {
        const auto& alert = std::get<AlertRecord>(record->body);
        line << "alert " << alert.scope << ' ' << alert.percent;
      }
    } else if (const auto* over = std::get_if<Finish>(&action)) {
      finishes_[name(over->call)] = *over;
      line << "finish " << name(over->call) << ' ' << to_string(over->outcome) << ' ' << to_string(over->source)
           << " attempts=" << over->attempts << " cost=" << money(over->cost) << " saved=" << over->saved
           << " fallback=" << (over->fallback ? "yes" : "no") << " from=" << over->provider << '/' << over->model
           << " queued_ms=" << over->queued / kMillisecond << " hint_ms=" << over->retry_hint / kMillisecond;
    }
    lines_.push_back(line.str());
  }

  // What the game was told is what the engine decided, and told once.
  void check_results() {
    EXPECT_TRUE(stage_->client->shutdown(kSecond));
    for (const Seen& one : stage_->look()) results_.push_back(one);
    std::set<CallId> told;
    for (const Seen& one : results_) {
      if (one.event.kind == Client::Event::Kind::token) continue;
      EXPECT_TRUE(told.insert(one.event.call).second) << "told twice";
      const Finish& finish = finishes_.at(name(one.event.call));
      EXPECT_EQ(one.event.kind == Client::Event::Kind::finished, finish.outcome == Outcome::ok);
      EXPECT_EQ(one.event.outcome, finish.outcome);
      EXPECT_EQ(one.event.source, finish.source);
      EXPECT_EQ(one.event.fallback, finish.fallback);
      EXPECT_EQ(one.event.attempts, finish.attempts);
      EXPECT_EQ(one.event.cost, finish.cost);
      EXPECT_EQ(one.event.saved, finish.saved);
      EXPECT_EQ(one.event.retry_hint, finish.retry_hint);
    }
    EXPECT_EQ(told.size(), names_.size());
    EXPECT_EQ(stage_->client->stats().live, 0);
    EXPECT_EQ(stage_->client->stats().in_flight, 0);
  }

  static std::string money(const std::optional<NanoUsd>& cost) { return cost ? std::to_string(*cost) : "unknown"; }

  Json scenario_;
  Json settings_;
  std::vector<std::string> names_;
  std::vector<std::int64_t> estimates_;
  std::map<std::string, CallId> ids_;
  std::map<std::string, std::vector<std::string>> chains_;
  std::map<std::string, std::uint32_t> latest_;
  std::map<std::pair<std::string, std::uint32_t>, AttemptId> attempts_;
  std::map<std::string, Finish> finishes_;
  bool streams_ = false;  // all calls do, if one does: an equal request that streams is another
  std::set<std::string> began_;
  std::set<std::string> cancelled_;
  std::vector<AttemptId> aborted_;
  std::vector<std::string> lines_;
  std::vector<Seen> results_;
  std::unique_ptr<Stage> stage_;  // the first to go: its end is observed too
};

class ClientScenarios : public ::testing::TestWithParam<Json> {};

TEST_P(ClientScenarios, Runs) {
  SCOPED_TRACE(GetParam().at("about").get<std::string>());
  ClientScenario(GetParam()).run();
}

INSTANTIATE_TEST_SUITE_P(All, ClientScenarios, ::testing::ValuesIn(all_scenarios()),
                         [](const auto& scenario) { return scenario.param.at("name").template get<std::string>(); });

}  // namespace
}  // namespace llmcore::net
