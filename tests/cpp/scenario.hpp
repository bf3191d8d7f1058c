// Runs one of tests/scenarios/*.json against the engine. The format is described in tests/scenarios/README.md.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "llmcore/engine.hpp"

namespace llmcore {

using Json = nlohmann::json;

inline constexpr WallTime kWallAtStart = 1'700'000'000'000'000'000;

inline Duration seconds(const Json& value) { return std::llround(value.get<double>() * 1e9); }
inline Duration milliseconds(const Json& value) { return value.get<std::int64_t>() * kMillisecond; }
inline NanoUsd dollars(const Json& value) { return std::llround(value.get<double>() * 1e9); }

inline std::vector<std::string> words_of(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

// Whether each word of the expected line is in the actual one, the words before the first key=value in their place.
inline bool matches(const std::string& expected, const std::string& actual) {
  const std::vector<std::string> want = words_of(expected);
  const std::vector<std::string> have = words_of(actual);
  for (std::size_t i = 0; i < want.size(); ++i) {
    const bool positional = want[i].find('=') == std::string::npos || i < 2;
    if (positional && (i >= have.size() || have[i] != want[i])) return false;
    if (!positional && std::find(have.begin(), have.end(), want[i]) == have.end()) return false;
  }
  return true;
}

// A key that nobody reads would be an expectation that nobody checks.
inline void expect_only(const Json& object, const std::set<std::string>& known) {
  for (const auto& [key, value] : object.items()) {
    if (known.count(key) == 0) throw std::invalid_argument("unknown key in a scenario: " + key);
  }
}

inline void expect_known_keys(const Json& scenario) {
  expect_only(scenario, {"name", "about", "settings", "hangs", "steps", "at_end"});
  expect_only(scenario.value("settings", Json::object()),
              {"seed", "limits", "queue", "cache", "retry", "health", "budgets", "prices", "defaults"});
  const std::map<std::string, std::set<std::string>> inputs = {
      {"submit",
       {"call", "to", "text", "input_tokens", "max_tokens", "priority", "cache", "deadline_ms", "call_type", "tenant",
        "user_id", "game_id"}},
      {"reply", {"call", "number", "input_tokens", "output_tokens", "observe"}},
      {"fail", {"call", "number", "outcome", "retry_after_ms", "should_retry", "observe"}},
      {"stream", {"call"}},
      {"cancel", {"call"}}};
  for (const Json& step : scenario.at("steps")) {
    int found = 0;
    for (const auto& [input, keys] : inputs) {
      if (!step.contains(input)) continue;
      ++found;
      expect_only(step[input], keys);
    }
    if (found > 1) throw std::invalid_argument("a step has at most one input: " + step.dump());
    expect_only(step, {"at_ms", "submit", "reply", "fail", "stream", "cancel", "expect", "next_ms"});
  }
}

inline void apply_limits(const Json& from, RateLimiterConfig& to) {
  to.requests_per_minute = from.value("requests_per_minute", to.requests_per_minute);
  to.tokens_per_minute = from.value("tokens_per_minute", to.tokens_per_minute);
  to.max_in_flight = from.value("max_in_flight", to.max_in_flight);
}

inline Period period_named(const std::string& name) {
  for (const Period period : {Period::hour, Period::day, Period::month, Period::total}) {
    if (to_string(period) == name) return period;
  }
  throw std::invalid_argument("no such period: " + name);
}

inline Config config_of(const Json& settings) {
  const Json queue = settings.value("queue", Json::object());
  Config config = queue.value("preset", "server") == "game" ? Config::game() : Config::server();
  config.seed = settings.value("seed", std::uint64_t{0});
  config.backoff.jitter = Jitter::none;
  if (const auto limits = settings.find("limits"); limits != settings.end()) {
    apply_limits(*limits, config.limits);
    const Json providers = limits->value("providers", Json::object());
    for (const auto& [provider, own] : providers.items()) {
      RateLimiterConfig lane = config.limits;
      apply_limits(own, lane);
      config.provider_limits[provider] = lane;
    }
  }
  config.queue.total_capacity = queue.value("total", config.queue.total_capacity);
  if (queue.value("preset", "server") == "server") config.queue.class_capacity.fill(config.queue.total_capacity);
  const char* const classes[] = {"high", "medium", "low"};
  for (std::size_t i = 0; i < kPriorityCount; ++i) {
    config.queue.class_capacity[i] = queue.value(classes[i], config.queue.class_capacity[i]);
  }
  if (const auto cache = settings.find("cache"); cache != settings.end()) {
    if (cache->contains("ttl_seconds")) config.cache.ttl = seconds(cache->at("ttl_seconds"));
    config.cache.max_entries = cache->value("max_entries", config.cache.max_entries);
    config.cache.max_bytes = cache->value("max_bytes", config.cache.max_bytes);
  }
  if (const auto retry = settings.find("retry"); retry != settings.end()) {
    config.recovery.max_attempts = retry->value("max_attempts", config.recovery.max_attempts);
    if (retry->contains("base_delay")) config.backoff.base = seconds(retry->at("base_delay"));
    if (retry->contains("max_delay")) config.backoff.cap = seconds(retry->at("max_delay"));
    if (retry->contains("retry_after_cap")) config.recovery.retry_after_cap = seconds(retry->at("retry_after_cap"));
    if (retry->contains("attempt_timeout")) config.attempt_timeout = seconds(retry->at("attempt_timeout"));
    if (retry->contains("jitter")) {
      config.backoff.jitter = Jitter::proportional;
      config.backoff.jitter_permille = std::llround(retry->at("jitter").get<double>() * 1000.0);
    }
  }
  if (const auto health = settings.find("health"); health != settings.end()) {
    config.recovery.breaker_errors = health->value("breaker_errors", config.recovery.breaker_errors);
    if (health->contains("cooldown")) config.recovery.cooldown = seconds(health->at("cooldown"));
  }
  for (const Json& budget : settings.value("budgets", Json::array())) {
    BudgetRule rule;
    rule.scope = budget.value("scope", rule.scope);
    rule.period = period_named(budget.value("period", "total"));
    rule.limit = dollars(budget.at("limit_usd"));
    if (budget.contains("alerts")) rule.alert_percent = budget.at("alerts").get<std::vector<std::int64_t>>();
    config.budgets.push_back(rule);
  }
  if (settings.contains("defaults") && settings["defaults"].contains("deadline")) {
    config.deadline = seconds(settings["defaults"]["deadline"]);
  }
  return config;
}

class Scenario {
 public:
  /// Sees every input after the engine took it, with the time and the engine.
  using Tap = std::function<void(const Input&, Now, const Engine&)>;

  explicit Scenario(const Json& scenario, Tap tap = {})
      : scenario_(scenario),
        settings_(scenario.value("settings", Json::object())),
        hangs_(scenario.value("hangs", false)),
        tap_(std::move(tap)),
        engine_(config_of(settings_)) {
    const Json prices = settings_.value("prices", Json::object());
    for (const auto& [name, rates] : prices.items()) {
      auto card = std::make_shared<PriceCard>();
      card->base.input = card->base.cache_read = card->base.cache_write_5m = card->base.cache_write_1h =
          dollars(rates.value("input", Json(0)));
      card->base.output = card->base.reasoning = dollars(rates.value("output", Json(0)));
      prices_[name] = card;
    }
    auto free = std::make_shared<PriceCard>();
    prices_["offline/offline"] = free;
  }

  [[nodiscard]] Config config() const { return config_of(settings_); }

  void run() {
    expect_known_keys(scenario_);
    std::size_t number = 0;
    for (const Json& step : scenario_.at("steps")) {
      ++number;
      seen_.clear();
      now_ = Now{milliseconds(step.at("at_ms")), kWallAtStart + milliseconds(step.at("at_ms"))};
      perform(step);
      const auto expected = step.value("expect", std::vector<std::string>{});
      const std::string where =
          "step " + std::to_string(number) + " at " + std::to_string(step.at("at_ms").get<long>());
      EXPECT_EQ(seen_.size(), expected.size()) << where << "\nactual:\n" << listed();
      for (std::size_t i = 0; i < std::min(seen_.size(), expected.size()); ++i) {
        EXPECT_TRUE(matches(expected[i], seen_[i]))
            << where << "\nexpected: " << expected[i] << "\nactual:   " << seen_[i];
      }
      EXPECT_EQ(engine_.check(), "") << where;
      if (step.contains("next_ms")) {
        const std::optional<Instant> next = engine_.next_deadline();
        EXPECT_EQ(next ? Json(*next / kMillisecond) : Json(), step.at("next_ms")) << where;
      }
      if (::testing::Test::HasFailure()) return;
    }
    finish();
  }

 private:
  void feed(const Input& input) {
    engine_.handle(input, now_);
    if (tap_) tap_(input, now_, engine_);
  }

  void perform(const Json& step) {
    if (step.contains("submit")) {
      submit(step["submit"]);
    } else if (step.contains("reply")) {
      const Json& reply = step["reply"];
      observe(reply);
      Replied input;
      input.attempt = attempt_of(reply);
      input.usage.input_uncached = reply.value("input_tokens", 0);
      input.usage.output_text = reply.value("output_tokens", 0);
      input.payload = std::make_shared<StringPayload>("answer");
      feed(input);
    } else if (step.contains("fail")) {
      const Json& failure = step["fail"];
      observe(failure);
      Failed input;
      input.attempt = attempt_of(failure);
      input.outcome = outcome_named(failure.at("outcome"));
      input.retry_after = failure.contains("retry_after_ms") ? milliseconds(failure["retry_after_ms"]) : 0;
      if (failure.contains("should_retry")) input.should_retry = failure["should_retry"].get<bool>();
      feed(input);
    } else if (step.contains("stream")) {
      feed(Streaming{attempt_of(step["stream"])});
    } else if (step.contains("cancel")) {
      cancelling_ = calls_.at(step["cancel"]["call"]);
      feed(Cancel{cancelling_});
    } else {
      feed(Tick{});
    }
    drain();
    cancelling_ = 0;
  }

  void submit(const Json& input) {
    Submit call;
    const std::string name = input.at("call");
    const std::string text = input.value("text", name);
    call.tenant = input.value("tenant", "default");
    call.call_type = input.value("call_type", "");
    const std::string priority = input.value("priority", "medium");
    call.priority = priority == "high" ? Priority::high : priority == "low" ? Priority::low : Priority::medium;
    call.deadline = input.contains("deadline_ms") ? milliseconds(input["deadline_ms"]) : 0;
    for (const std::string& place : input.at("to").get<std::vector<std::string>>()) {
      const std::size_t slash = place.find('/');
      Target target;
      target.provider = place.substr(0, slash);
      target.model = place.substr(slash + 1);
      target.input_tokens = input.value("input_tokens", 0);
      target.output_tokens = input.value("max_tokens", 100);
      const auto price = prices_.find(place);
      if (price != prices_.end()) target.price = price->second;
      target.always_answers = target.provider == "offline" && !call.targets.empty();
      call.targets.push_back(target);
    }
    if (input.value("cache", false)) {
      call.key = fingerprint(call.tenant, call.targets[0].provider, call.targets[0].model, text);
    }
    for (const char* scope : {"user", "game"}) {
      const std::string key = std::string(scope) + "_id";
      if (input.contains(key)) call.scopes.emplace_back(scope, input[key].get<std::string>());
    }
    names_.push_back(name);  // ids count from 1 in the order of submission
    calls_[name] = names_.size();
    targets_[names_.size()] = call.targets;
    tenants_[names_.size()] = call.tenant;
    feed(std::move(call));
  }

  void observe(const Json& input) {
    if (!input.contains("observe")) return;
    const Json& headers = input["observe"];
    const CallId call = calls_.at(input.at("call"));
    Observed observed;
    observed.tenant = tenants_.at(call);
    observed.provider = targets_.at(call).at(latest_.at(call).target).provider;
    const auto count = [&](const char* key) {
      return headers.contains(key) ? std::optional(headers[key].get<std::int64_t>()) : std::nullopt;
    };
    observed.limits.remaining_requests = count("remaining_requests");
    observed.limits.remaining_tokens = count("remaining_tokens");
    observed.limits.requests_reset = headers.value("requests_reset_ms", std::int64_t{0}) * kMillisecond;
    observed.limits.tokens_reset = headers.value("tokens_reset_ms", std::int64_t{0}) * kMillisecond;
    observed.limits.requests_limit = count("requests_limit");
    observed.limits.tokens_limit = count("tokens_limit");
    feed(observed);
  }

  AttemptId attempt_of(const Json& input) const {
    const CallId call = calls_.at(input.at("call"));
    const auto number = input.value("number", latest_.at(call).number);
    return attempts_.at({call, number});
  }

  void drain() {
    while (std::optional<Action> action = engine_.poll()) {
      std::ostringstream line;
      if (const auto* sent = std::get_if<Send>(&*action)) {
        latest_[sent->call] = *sent;
        attempts_[{sent->call, sent->number}] = sent->attempt;
        line << "send " << name(sent->call) << ' ' << sent->number << ' ' << place(*sent)
             << " by=" << sent->not_after / kMillisecond;
        seen_.push_back(line.str());
        if (targets_.at(sent->call).at(sent->target).provider == "offline") {
          Replied reply;
          reply.attempt = sent->attempt;
          reply.payload = std::make_shared<StringPayload>("offline answer");
          feed(reply);
        }
        continue;
      }
      if (const auto* aborted = std::get_if<Abort>(&*action)) {
        const auto number = static_cast<std::uint32_t>(aborted->attempt % 1024);
        line << "abort " << name(aborted->call) << ' ' << number;
        seen_.push_back(line.str());
        if (!hangs_ && aborted->call != cancelling_) {
          Failed given_up;
          given_up.attempt = aborted->attempt;
          given_up.outcome = Outcome::timeout;
          feed(given_up);
        }
        continue;
      }
      if (const auto* record = std::get_if<Record>(&*action)) {
        if (const auto* attempt = std::get_if<AttemptRecord>(&record->body)) {
          line << "record " << name(attempt->call) << ' ' << attempt->number << ' ' << to_string(attempt->outcome)
               << " cost=" << money(attempt->cost) << " at=" << attempt->provider << '/' << attempt->model;
        } else {
          const auto& alert = std::get<AlertRecord>(record->body);
          line << "alert " << alert.scope << ' ' << alert.percent;
        }
      } else if (const auto* over = std::get_if<Finish>(&*action)) {
        line << "finish " << name(over->call) << ' ' << to_string(over->outcome) << ' ' << to_string(over->source)
             << " attempts=" << over->attempts << " cost=" << money(over->cost) << " saved=" << over->saved
             << " fallback=" << (over->fallback ? "yes" : "no") << " from=" << over->provider << '/' << over->model
             << " queued_ms=" << over->queued / kMillisecond << " hint_ms=" << over->retry_hint / kMillisecond;
      }
      seen_.push_back(line.str());
    }
  }

  void finish() {
    const EngineStats stats = engine_.stats();
    const std::map<std::string, std::int64_t> counters = {{"submitted", stats.submitted},
                                                          {"finished", stats.finished},
                                                          {"in_flight", stats.in_flight},
                                                          {"queued", stats.queued},
                                                          {"backing_off", stats.backing_off},
                                                          {"following", stats.following},
                                                          {"attempts", stats.attempts},
                                                          {"retries", stats.retries},
                                                          {"failovers", stats.failovers},
                                                          {"joined", stats.joined},
                                                          {"late", stats.late},
                                                          {"clock_regressions", stats.clock_regressions}};
    const Json at_end = scenario_.value("at_end", Json::object());
    for (const auto& [key, value] : at_end.items()) {
      EXPECT_EQ(counters.at(key), value.get<std::int64_t>()) << key << " at the end";
    }
    if (stats.in_flight == 0) {
      EXPECT_EQ(stats.reserved_requests, 0);
      EXPECT_EQ(stats.reserved_tokens, 0);
      EXPECT_EQ(stats.reserved_nano_usd, 0);
    }
  }

  static Outcome outcome_named(const std::string& name) {
    for (std::size_t i = 0; i < kOutcomeCount; ++i) {
      if (to_string(static_cast<Outcome>(i)) == name) return static_cast<Outcome>(i);
    }
    throw std::invalid_argument("no such outcome: " + name);
  }
  static std::string money(const std::optional<NanoUsd>& cost) { return cost ? std::to_string(*cost) : "unknown"; }
  const std::string& name(CallId call) const { return names_.at(call - 1); }
  std::string place(const Send& sent) const {
    const Target& target = targets_.at(sent.call).at(sent.target);
    return target.provider + "/" + target.model;
  }
  std::string listed() const {
    std::string text;
    for (const std::string& line : seen_) text += "  " + line + "\n";
    return text;
  }

  Json scenario_;
  Json settings_;
  bool hangs_;
  Tap tap_;
  Engine engine_;
  Now now_;
  std::map<std::string, std::shared_ptr<PriceCard>> prices_;
  std::vector<std::string> names_;
  std::map<std::string, CallId> calls_;
  std::map<CallId, std::vector<Target>> targets_;
  std::map<CallId, std::string> tenants_;
  std::map<CallId, Send> latest_;
  std::map<std::pair<CallId, std::uint32_t>, AttemptId> attempts_;
  std::vector<std::string> seen_;
  CallId cancelling_ = 0;
};

inline std::vector<Json> all_scenarios() {
  std::vector<Json> all;
  std::set<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(LLMCORE_SCENARIOS)) {
    if (entry.path().extension() == ".json") files.insert(entry.path());
  }
  for (const auto& file : files) {
    std::ifstream stream(file);
    const Json whole = Json::parse(stream);
    for (const Json& scenario : whole.at("scenarios")) all.push_back(scenario);
  }
  return all;
}

}  // namespace llmcore
