#include "world.hpp"

#include <cstddef>

#include "llmcore/rng.hpp"

namespace llmcore::testing {
namespace {

std::shared_ptr<const PriceCard> draw_price(Rng& rng) {
  PriceCard card;
  card.base.input = rng.between(0, 5'000'000'000);
  card.base.cache_read = card.base.input / 10;
  card.base.cache_write_5m = card.base.cache_write_1h = card.base.input;
  card.base.output = card.base.reasoning = rng.between(0, 20'000'000'000);
  card.base.per_request = rng.below(2) == 0 ? 0 : rng.between(0, 1'000'000);
  if (rng.below(3) == 0) {
    PriceTier tier;
    tier.above_input_tokens = rng.between(100, 2'000);
    tier.rates = card.base;
    tier.rates.input *= 2;
    card.tiers.push_back(tier);
  }
  return std::make_shared<const PriceCard>(card);
}

std::int64_t one_of(Rng& rng, const std::vector<std::int64_t>& choices) { return choices[rng.below(choices.size())]; }

RateLimiterConfig draw_limits(Rng& rng) {
  RateLimiterConfig limits;
  limits.requests_per_minute = one_of(rng, {0, 0, 20, 60, 600, 6'000});
  limits.tokens_per_minute = one_of(rng, {0, 0, 5'000, 100'000, 2'000'000});
  limits.max_in_flight = one_of(rng, {0, 1, 3, 20});
  limits.minute_burst = rng.below(2) == 0;
  return limits;
}

std::vector<Weather> draw_weather(Rng& rng) {
  std::vector<Weather> weather;
  Instant until = 0;
  for (std::uint64_t phases = rng.below(6); phases > 0; --phases) {
    Weather phase;
    until += rng.between(kSecond, 2 * kMinute);
    phase.until = until;
    switch (rng.below(11)) {
      case 0: phase.rate_limited = rng.between(100, 1'000); break;
      case 1:
        phase.rate_limited = rng.between(100, 1'000);
        phase.retry_after = rng.between(kMillisecond, 90 * kSecond);
        break;
      case 2:
        phase.overloaded = rng.between(100, 1'000);
        phase.retry_after = rng.below(2) == 0 ? 0 : rng.between(kSecond, 20 * kSecond);
        break;
      case 3: phase.server_error = rng.between(100, 1'000); break;
      case 4: phase.connection = rng.between(100, 1'000); break;
      case 5: phase.silent = rng.between(50, 600); break;
      case 6: phase.cut = rng.between(50, 600); break;
      case 7: phase.quota = rng.between(100, 1'000); break;
      case 8: phase.slowness = rng.between(2, 100); break;
      case 9: phase.rejected = rng.between(100, 1'000); break;
      default:  // a bit of everything
        phase.rate_limited = phase.overloaded = phase.server_error = phase.connection = phase.silent = 60;
        phase.cut = phase.quota = phase.rejected = 60;
        phase.slowness = rng.between(1, 3);
    }
    weather.push_back(phase);
  }
  return weather;
}

Config draw_config(Rng& rng) {
  Config config = rng.below(2) == 0 ? Config::game() : Config::server();
  config.seed = rng.next();
  if (rng.below(4) != 0) config.limits = draw_limits(rng);
  if (rng.below(3) == 0) config.provider_limits["p0"] = draw_limits(rng);
  if (rng.below(3) == 0) {
    for (std::int64_t& capacity : config.queue.class_capacity) capacity = rng.between(0, 60);
    config.queue.total_capacity = rng.between(0, 100);
    for (Duration& timeout : config.queue.class_timeout) timeout = one_of(rng, {0, kSecond, 10 * kSecond});
    config.queue.low_share = rng.between(0, 20);
  }
  config.cache.max_entries = one_of(rng, {0, 3, 100});
  config.cache.ttl = one_of(rng, {0, 10 * kSecond, kHour});
  config.backoff.base = one_of(rng, {0, kMillisecond, 500 * kMillisecond, 5 * kSecond});
  config.backoff.cap = one_of(rng, {0, kSecond, 30 * kSecond});
  config.backoff.jitter = static_cast<Jitter>(rng.below(3));
  config.recovery.max_attempts = rng.between(1, 5);
  config.recovery.retry_after_cap = one_of(rng, {0, 10 * kSecond, kMinute});
  config.recovery.breaker_errors = rng.between(1, 6);
  config.recovery.cooldown = one_of(rng, {0, kSecond, 10 * kSecond, kMinute});
  config.recovery.retry_percent = one_of(rng, {0, 20, 100});
  config.recovery.retries_per_second = one_of(rng, {0, 1, 10});
  config.deadline = rng.between(kSecond, 2 * kMinute);
  config.attempt_timeout = rng.between(kSecond, kMinute);
  config.max_lanes = rng.between(1, 12);
  for (std::uint64_t rules = rng.below(4); rules > 0; --rules) {
    const std::vector<std::string> scopes{"global", "tenant=*", "user=*", "user=u1", "provider=p1", "call_type=chat"};
    BudgetRule rule;
    rule.scope = scopes[rng.below(scopes.size())];
    rule.period = static_cast<Period>(rng.below(2) == 0 ? rng.below(3) : 3);
    rule.limit = rng.between(0, 2'000'000'000);
    config.budgets.push_back(rule);
  }
  return config;
}

Traffic draw_traffic(Rng& rng) {
  Traffic traffic;
  traffic.calls = rng.between(200, 2'000);
  traffic.largest_burst = one_of(rng, {1, 5, 20, 80});
  traffic.longest_pause = one_of(rng, {100 * kMillisecond, 2 * kSecond, 20 * kSecond});
  traffic.tenants = rng.between(1, 6);
  traffic.questions = one_of(rng, {0, 3, 50});
  traffic.longest_chain = rng.between(1, 4);
  traffic.offline = one_of(rng, {0, 300, 1'000});
  traffic.impatient = one_of(rng, {0, 50, 400});
  traffic.streaming = one_of(rng, {0, 300, 1'000});
  traffic.honest = one_of(rng, {1'000, 1'000, 900});
  traffic.shortest_deadline = rng.between(kMillisecond, 5 * kSecond);
  traffic.longest_deadline = traffic.shortest_deadline + rng.between(0, 2 * kMinute);
  traffic.largest_prompt = one_of(rng, {100, 2'000, 20'000});
  traffic.absurd = one_of(rng, {0, 0, 10});
  return traffic;
}

}  // namespace

World World::of(std::uint64_t seed) {
  Rng rng(seed);
  World world;
  world.seed = seed;
  world.config = draw_config(rng);
  const std::uint64_t providers = 1 + rng.below(4);
  for (std::uint64_t i = 0; i < providers; ++i) {
    ProviderScript script;
    script.name = "p";  // in two steps: GCC 12 warns of "p" + std::to_string(i) at -O3
    script.name += std::to_string(i);
    script.fastest = rng.between(kMillisecond, kSecond);
    script.spread = one_of(rng, {0, kSecond, 20 * kSecond});
    script.requests_per_minute = one_of(rng, {0, 0, 10, 100});
    script.sends_headers = rng.below(2) == 0;
    script.gives_advice = one_of(rng, {0, 200});
    if (rng.below(8) != 0) script.price = draw_price(rng);
    script.weather = draw_weather(rng);
    world.providers.push_back(std::move(script));
  }
  world.traffic = draw_traffic(rng);
  if (rng.below(2) == 0) {
    for (std::uint64_t jumps = rng.below(6); jumps > 0; --jumps) {
      ClockJump jump;
      jump.at = rng.between(0, 5 * kMinute);
      jump.mono = one_of(rng, {0, -kHour, -30 * kSecond, -kMillisecond, kSecond, 10 * kMinute, 24 * kHour});
      jump.wall =
          rng.below(4) == 0 ? rng.between(-40 * 24 * kHour, 40 * 24 * kHour) : rng.between(-2 * kHour, 2 * kHour);
      world.jumps.push_back(jump);
    }
  }
  if (rng.below(4) == 0) {
    for (std::uint64_t panics = 1 + rng.below(3); panics > 0; --panics) {
      world.panics.push_back(rng.between(0, 2 * kMinute));
    }
  }
  world.oversleep = one_of(rng, {0, 5 * kMillisecond, 2 * kSecond});
  world.idle_ticks = one_of(rng, {0, 50, 500});
  return world;
}

World World::large(std::uint64_t seed) {
  World world = of(seed);
  Rng rng(seed);
  world.traffic.calls = 20'000;
  world.traffic.largest_burst = 400;
  world.traffic.longest_pause = 2 * kSecond;
  world.traffic.shortest_deadline = 5 * kSecond;
  world.traffic.longest_deadline = 5 * kMinute;
  world.config.queue = RequestQueueConfig::server();
  world.config.max_lanes = 64;
  for (std::int64_t& cap : world.config.queue.class_capacity) cap = rng.between(500, 5'000);
  if (world.config.limits.requests_per_minute > 0) world.config.limits.requests_per_minute = rng.between(500, 5'000);
  world.check_every = 97;
  return world;
}

}  // namespace llmcore::testing
