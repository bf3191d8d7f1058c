// One event of every kind and every input, each field with a value of its own: what a format must carry.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "llmcore/recording_format.hpp"

namespace llmcore {

inline std::shared_ptr<const PriceCard> sample_card() {
  auto card = std::make_shared<PriceCard>();
  card->base = Rates{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
  card->tiers = {PriceTier{128'000, Rates{20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32}}};
  card->source = "a list of ours";
  return card;
}

inline Usage sample_usage() { return Usage{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, true}; }

inline Config sample_config() {
  Config config = Config::server();
  config.seed = 0xFEDC'BA98'7654'3210;
  config.limits = RateLimiterConfig{600, 90'000, 7, false};
  config.provider_limits["local"] = RateLimiterConfig{0, 0, 1, true};
  config.provider_limits["openai"] = RateLimiterConfig{60, 0, 0, true};
  config.queue.class_timeout = {1, 2, 3};
  config.cache = ResponseCacheConfig{5, 6'000, 7 * kSecond};
  config.backoff = BackoffConfig{kMillisecond, kMinute, Jitter::full, 100};
  config.recovery = ErrorRecoveryConfig{9, 8 * kSecond, 7, 6 * kSecond, 5, 4};
  config.budgets = {BudgetRule{"global", Period::day, 5'000'000'000, {}},
                    BudgetRule{"user=*", Period::hour, 1'000, {10, 100, 150}}};
  config.tracker = TokenTrackerConfig{5, 6, 7, 800, 900};
  config.usage_scopes = {"user", "game"};
  config.deadline = 33 * kSecond;
  config.attempt_timeout = 11 * kSecond;
  config.max_lanes = 17;
  return config;
}

inline Submit sample_submit() {
  Submit call;
  call.tenant = "tenant";
  call.call_type = "commentary";
  call.priority = Priority::high;
  call.deadline = 9 * kSecond;
  call.key = fingerprint("tenant", "openai", "m", "{}");
  call.targets = {Target{"openai", "m", 40, 200, 1, sample_card(), false},
                  Target{"offline", "o", 40, 200, 0, nullptr, true}};
  call.scopes = {{"user", "alice"}, {"game", "g7"}};
  return call;
}

inline std::vector<Input> sample_inputs() {
  return {sample_submit(),
          Streaming{1'025},
          Replied{1'026, sample_usage(), sample_card(), std::make_shared<StringPayload>("an answer")},
          Replied{1'027, Usage{}, nullptr, nullptr},
          Failed{1'028, Outcome::rate_limited, true, 3 * kSecond, sample_usage(), sample_card()},
          Failed{1'029, Outcome::timeout, std::nullopt, 0, Usage{}, nullptr},
          Observed{"tenant", "openai", RateObservation{-1, 4'000, 5, 6, 60, 5'000}},
          Cancel{77},
          Tick{}};
}

inline std::vector<RecordedEvent> sample_events() {
  std::vector<RecordedEvent> events{recorded::Begin{kRecordingVersion, "llmcore test"},
                                    recorded::Start{sample_config()}};
  std::int64_t mono = 0;
  for (const Input& input : sample_inputs()) {
    mono += 1'000'003;
    events.emplace_back(
        recorded::Fed{{mono, -mono}, input, {0x0123'4567'89AB'CDEFU ^ static_cast<std::uint64_t>(mono)}});
  }
  const Fingerprint key = fingerprint("", "POST", "http://host/v1", "{}");
  events.emplace_back(
      recorded::Request{3, 1'025, key, 2, "openai", "POST", "http://host/v1", std::string("{\"a\":\0\xff}", 8)});
  events.emplace_back(recorded::Response{3, 1'025, key, 2, 429, {{"retry-after", "2"}, {"date", ""}}, "slow", {}, ""});
  events.emplace_back(recorded::Response{3, 1'026, key, 3, 0, {}, "", Outcome::timeout, "host:80 said nothing"});
  events.emplace_back(recorded::Frame{-42});
  events.emplace_back(recorded::Draw{"loot", 0, ~std::uint64_t{0}});
  events.emplace_back(recorded::Draw{"damage", 20, 19});
  events.emplace_back(recorded::Snapshot{42, "world", {7}, std::nullopt});
  events.emplace_back(recorded::Snapshot{42, "units", hash_of_state("orcs"), "orcs"});
  events.emplace_back(recorded::End{events.size()});
  return events;
}

}  // namespace llmcore
