// Configurations and inputs of the engine out of a fuzzer's bytes: any at all, and such as the engine takes.
#pragma once

#include <memory>
#include <string>

#include "bytes.hpp"
#include "llmcore/engine.hpp"

namespace llmcore::fuzz {

inline RateLimiterConfig any_limits(Bytes& bytes) {
  RateLimiterConfig limits;
  limits.requests_per_minute = bytes.number();
  limits.tokens_per_minute = bytes.number();
  limits.max_in_flight = bytes.number();
  limits.minute_burst = bytes.flag();
  return limits;
}

inline Config any_config(Bytes& bytes) {
  Config config = bytes.flag() ? Config::game() : Config::server();
  config.seed = bytes.byte();
  const std::uint8_t parts = bytes.byte();  // one problem hides the others: most parts stay as they are
  if ((parts & 1U) != 0) config.limits = any_limits(bytes);
  if ((parts & 2U) != 0) config.provider_limits[std::string(bytes.text())] = any_limits(bytes);
  if ((parts & 4U) != 0) {
    for (std::int64_t& capacity : config.queue.class_capacity) capacity = bytes.number();
    config.queue.total_capacity = bytes.number();
    for (Duration& timeout : config.queue.class_timeout) timeout = bytes.number();
    config.queue.low_share = bytes.number();
  }
  if ((parts & 8U) != 0) {
    config.cache.max_entries = bytes.number();
    config.cache.max_bytes = bytes.number();
    config.cache.ttl = bytes.number();
  }
  if ((parts & 16U) != 0) {
    config.backoff.base = bytes.number();
    config.backoff.cap = bytes.number();
    config.backoff.jitter = static_cast<Jitter>(bytes.below(4));
    config.backoff.jitter_permille = bytes.number();
  }
  if ((parts & 32U) != 0) {
    config.recovery.max_attempts = bytes.number();
    config.recovery.retry_after_cap = bytes.number();
    config.recovery.breaker_errors = bytes.number();
    config.recovery.cooldown = bytes.number();
    config.recovery.retry_percent = bytes.number();
    config.recovery.retries_per_second = bytes.number();
  }
  if ((parts & 64U) != 0) {
    for (std::size_t rules = bytes.below(4); rules > 0; --rules) {
      BudgetRule rule;
      rule.scope = bytes.flag() ? "tenant=*" : std::string(bytes.text());
      rule.period = static_cast<Period>(bytes.below(5));
      rule.limit = bytes.number();
      rule.alert_percent.clear();
      for (std::size_t alerts = bytes.below(4); alerts > 0; --alerts) rule.alert_percent.push_back(bytes.number());
      config.budgets.push_back(std::move(rule));
    }
  }
  if ((parts & 128U) != 0) {
    config.deadline = bytes.number();
    config.attempt_timeout = bytes.number();
    config.max_lanes = bytes.number();
  }
  return config;
}

inline std::shared_ptr<const PriceCard> any_price(Bytes& bytes) {
  if (bytes.below(4) == 0) return nullptr;
  PriceCard card;
  card.base.input = bytes.number();
  card.base.output = bytes.number();
  card.base.reasoning = card.base.output;
  card.base.per_request = bytes.number();
  if (bytes.flag()) card.tiers.push_back({bytes.number(), card.base});
  if (bytes.below(4) != 0 && !card.valid()) return nullptr;  // the bindings refuse such a card; a C++ host may not
  return std::make_shared<const PriceCard>(card);
}

inline Usage any_usage(Bytes& bytes) {
  Usage usage;
  usage.input_uncached = bytes.number();
  usage.output_text = bytes.number();
  if (bytes.below(4) == 0) usage.cache_read = bytes.number();
  if (bytes.below(4) == 0) usage.reasoning = bytes.number();
  return usage;
}

inline Submit any_submit(Bytes& bytes) {
  Submit submit;
  submit.tenant = "t" + std::to_string(bytes.below(3));
  submit.priority = static_cast<Priority>(bytes.below(4));
  submit.deadline = bytes.number();
  for (std::size_t length = bytes.below(4); length > 0; --length) {
    Target target;
    target.provider = "p" + std::to_string(bytes.below(3));
    target.model = "m";
    target.input_tokens = bytes.number();
    target.output_tokens = bytes.number();
    target.price = any_price(bytes);
    target.always_answers = bytes.below(8) == 0;
    submit.targets.push_back(std::move(target));
  }
  if (bytes.flag()) submit.key = fingerprint(submit.tenant, "p", "m", std::to_string(bytes.below(3)));
  if (bytes.flag()) submit.scopes.emplace_back("user", bytes.text());
  return submit;
}

}  // namespace llmcore::fuzz
