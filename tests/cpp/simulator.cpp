#include "simulator.hpp"

#include <algorithm>

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
    rule.period = rng.below(3) == 0 ? Period::hour : Period::total;
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
    script.name = "p" + std::to_string(i);
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
      jump.mono = one_of(rng, {0, -30 * kSecond, -kMillisecond, kSecond, 10 * kMinute});
      jump.wall = rng.between(-2 * kHour, 2 * kHour);
      world.jumps.push_back(jump);
    }
  }
  world.oversleep = one_of(rng, {0, 5 * kMillisecond, 2 * kSecond});
  return world;
}

std::string SimulationReport::describe() const {
  return "seed " + std::to_string(seed) + ": " + (broken.empty() ? "every law held" : broken) + "; " +
         std::to_string(stats.submitted) + " calls, " + std::to_string(inputs) + " inputs, " +
         std::to_string(simulated / kSecond) + " simulated seconds";
}

// --- the run ---------------------------------------------------------------------------------------------------------

Simulator::Simulator(World world)
    : world_(std::move(world)), rng_(world_.seed ^ 0x5eed), engine_(world_.config), calls_left_(world_.traffic.calls) {
  for (const ProviderScript& script : world_.providers) providers_[script.name].script = script;
  for (const ClockJump& jump : world_.jumps) at(jump.at, jump);
  if (calls_left_ > 0) at(0, Arrival{});
}

SimulationReport Simulator::run() {
  constexpr std::int64_t kTooMany = 1'000'000;
  while (engine_.broken().empty() && report_.broken.empty()) {
    const std::optional<Instant> deadline = engine_.engine().next_deadline();
    if (events_.empty() && !deadline) break;
    if (engine_.inputs() > kTooMany) {
      report_.broken = "the world never comes to rest";
      break;
    }
    // The deadline is an instant of the clock that jumps; the driver sleeps until that clock shows it, or a bit longer.
    Instant wake = kNever;
    if (deadline) wake = std::max(time_, *deadline - kEpoch - skew_ + rng_.between(0, world_.oversleep));
    if (!events_.empty() && events_.begin()->first.first <= wake) {
      const Event event = std::move(events_.begin()->second);
      time_ = std::max(time_, events_.begin()->first.first);
      events_.erase(events_.begin());
      happen(event);
    } else {
      time_ = wake;
      engine_.handle(Tick{}, now());
      perform();
    }
    if (chance(20)) {  // nobody forbids a driver to ask more often
      engine_.handle(Tick{}, now());
      perform();
    }
  }
  if (report_.broken.empty() && engine_.broken().empty() && !calls_.empty()) report_.broken = "a call was forgotten";
  if (report_.broken.empty()) engine_.at_rest();
  if (report_.broken.empty()) report_.broken = engine_.broken();
  report_.seed = world_.seed;
  report_.inputs = engine_.inputs();
  report_.simulated = time_;
  report_.hash = engine_.engine().state_hash();
  report_.stats = engine_.engine().stats();
  return report_;
}

void Simulator::at(Instant when, std::variant<Arrival, ClockJump, Input> what, AttemptId attempt) {
  events_.emplace(std::make_pair(when, next_event_++), Event{std::move(what), attempt});
}

void Simulator::happen(const Event& event) {
  if (std::holds_alternative<Arrival>(event.what)) {
    arrive();
    return;
  }
  if (const auto* jump = std::get_if<ClockJump>(&event.what)) {
    skew_ += jump->mono;
    wall_skew_ += jump->wall;
    return;
  }
  // What nobody waits for any more is usually lost; now and then it arrives all the same.
  const auto sent = attempts_.find(event.attempt);
  if (sent != attempts_.end() && sent->second.unwanted && !chance(200)) return;
  engine_.handle(std::get<Input>(event.what), now());
  perform();
}

void Simulator::perform() {
  for (const Action& action : engine_.take_actions()) {
    if (const auto* send = std::get_if<Send>(&action)) perform(*send);
    if (const auto* abort = std::get_if<Abort>(&action)) attempts_[abort->attempt].unwanted = true;
    if (const auto* finish = std::get_if<Finish>(&action)) judge(*finish);
  }
}

// --- clients ---------------------------------------------------------------------------------------------------------

void Simulator::arrive() {
  const Traffic& traffic = world_.traffic;
  for (std::int64_t burst = rng_.between(1, traffic.largest_burst); burst > 0 && calls_left_ > 0; --burst) {
    --calls_left_;
    Submit submit = draw_call();
    const Duration patience = submit.deadline > 0 ? submit.deadline : world_.config.deadline;
    const CallId call = engine_.submit(submit, now());
    calls_.emplace(call, std::move(submit));
    if (chance(traffic.impatient)) at(time_ + rng_.between(0, patience), Cancel{call});
    perform();
  }
  if (chance(10)) {  // somebody asks for what never was
    engine_.handle(Cancel{rng_.next()}, now());
    engine_.handle(Streaming{rng_.next()}, now());
    perform();
  }
  if (calls_left_ > 0) at(time_ + rng_.between(0, traffic.longest_pause), Arrival{});
}

Submit Simulator::draw_call() {
  const Traffic& traffic = world_.traffic;
  Submit submit;
  submit.tenant = "t" + std::to_string(rng_.between(1, traffic.tenants));
  submit.priority = static_cast<Priority>(rng_.below(kPriorityCount));
  if (rng_.below(2) == 0) submit.call_type = "chat";
  if (rng_.below(2) == 0) submit.scopes.emplace_back("user", "u" + std::to_string(rng_.below(3)));
  if (rng_.below(8) != 0) submit.deadline = rng_.between(traffic.shortest_deadline, traffic.longest_deadline);
  std::size_t first = rng_.below(world_.providers.size());
  for (std::int64_t length = rng_.between(1, traffic.longest_chain); length > 0; --length) {
    const ProviderScript& script = world_.providers[first++ % world_.providers.size()];
    Target target;
    target.provider = script.name;
    target.model = script.name + "-" + std::to_string(rng_.below(2));
    target.input_tokens = rng_.between(0, traffic.largest_prompt);
    target.output_tokens = rng_.between(0, traffic.largest_prompt / 2);
    target.price = script.price;
    submit.targets.push_back(std::move(target));
  }
  if (chance(traffic.offline)) {
    Target offline;
    offline.provider = offline.model = "offline";
    offline.always_answers = true;
    submit.targets.push_back(std::move(offline));
  }
  if (traffic.questions > 0 && rng_.below(2) == 0) {
    const std::string question = std::to_string(rng_.between(1, traffic.questions));
    submit.key = fingerprint(submit.tenant, submit.targets[0].provider, "any", question);
  }
  if (chance(3)) submit.targets.clear();  // some do not know what they ask for
  return submit;
}

// What only the world can know about an answer.
void Simulator::judge(const Finish& finish) {
  ++report_.sources[static_cast<std::size_t>(finish.source)];
  const auto found = calls_.find(finish.call);
  if (found == calls_.end()) {
    report_.broken = "call " + std::to_string(finish.call) + " was nobody's";
    return;
  }
  const Submit& submit = found->second;
  const auto* payload = dynamic_cast<const StringPayload*>(finish.payload.get());
  if (payload != nullptr && submit.key && payload->bytes() != submit.key->hex()) {
    report_.broken = "call " + std::to_string(finish.call) + " got the answer to another question or another tenant's";
  }
  const bool shared = finish.source == Source::cache || finish.source == Source::joined;
  if (shared && payload == nullptr) {
    report_.broken = "call " + std::to_string(finish.call) + " was given an empty answer";
  }
  calls_.erase(found);
}

// --- providers -------------------------------------------------------------------------------------------------------

void Simulator::perform(const Send& send) {
  attempts_[send.attempt].call = send.call;
  const Target& target = calls_.at(send.call).targets.at(send.target);
  if (target.always_answers) {
    Replied reply;
    reply.attempt = send.attempt;
    reply.usage = draw_usage(target);
    const std::optional<Fingerprint>& key = calls_.at(send.call).key;
    reply.payload = std::make_shared<const StringPayload>(key ? key->hex() : "template");
    at(time_ + rng_.between(0, 5 * kMillisecond), reply, send.attempt);
    return;
  }
  answer(send, target, providers_.find(target.provider)->second);
}

void Simulator::answer(const Send& send, const Target& target, Provider& provider) {
  const ProviderScript& script = provider.script;
  const Weather calm;
  const auto phase = std::find_if(script.weather.begin(), script.weather.end(),
                                  [&](const Weather& weather) { return time_ < weather.until; });
  const Weather& weather = phase == script.weather.end() ? calm : *phase;
  Duration latency = script.fastest + (script.spread > 0 ? rng_.between(0, script.spread) : 0);
  if (rng_.below(50) == 0) latency *= 10;
  latency *= weather.slowness;

  const Submit& submit = calls_.at(send.call);
  std::deque<Instant>& recent = provider.recent[submit.tenant];
  while (!recent.empty() && recent.front() <= time_ - kMinute) recent.pop_front();
  if (script.requests_per_minute > 0) {
    const auto used = static_cast<std::int64_t>(recent.size());
    if (script.sends_headers) {
      Observed headers;
      headers.tenant = submit.tenant;
      headers.provider = script.name;
      headers.limits.remaining_requests = std::max<std::int64_t>(0, script.requests_per_minute - used - 1);
      headers.limits.requests_reset = recent.empty() ? kMinute : recent.front() + kMinute - time_;
      at(time_ + latency / 2, headers, send.attempt);
    }
    if (used >= script.requests_per_minute) {
      Weather refusal;
      if (rng_.below(2) == 0) refusal.retry_after = recent.front() + kMinute - time_;
      return fail(send, Outcome::rate_limited, latency / 4, refusal, script);
    }
  }
  recent.push_back(time_);

  std::int64_t dice = rng_.between(1, 1'000);
  const auto strikes = [&dice](std::int64_t permille) {
    dice -= permille;
    return dice <= 0;
  };
  if (strikes(weather.rate_limited)) return fail(send, Outcome::rate_limited, latency / 4, weather, script);
  if (strikes(weather.overloaded)) return fail(send, Outcome::overloaded, latency, weather, script);
  if (strikes(weather.server_error)) return fail(send, Outcome::server_error, latency, weather, script);
  if (strikes(weather.connection)) return fail(send, Outcome::connection, latency / 8, weather, script);
  if (strikes(weather.silent)) return;
  const bool cut = strikes(weather.cut);
  if (!cut && strikes(weather.quota)) return fail(send, Outcome::quota_exhausted, latency / 4, weather, script);
  if (!cut && strikes(weather.rejected)) {
    const std::vector<Outcome> reasons{Outcome::bad_request, Outcome::context_length, Outcome::content_filter,
                                       Outcome::not_found,   Outcome::auth,           Outcome::timeout};
    return fail(send, reasons[rng_.below(reasons.size())], latency / 4, weather, script);
  }

  if (cut || chance(world_.traffic.streaming)) at(time_ + latency / 3, Streaming{send.attempt}, send.attempt);
  const Usage usage = draw_usage(target);
  if (cut) {
    Failed failure;
    failure.attempt = send.attempt;
    failure.outcome = Outcome::connection;
    failure.usage = usage;
    at(time_ + latency / 2, failure, send.attempt);
    return;
  }
  Replied reply;
  reply.attempt = send.attempt;
  reply.usage = usage;
  if (!chance(20)) reply.payload = std::make_shared<const StringPayload>(submit.key ? submit.key->hex() : "answer");
  at(time_ + latency, reply, send.attempt);
  if (chance(10)) at(time_ + latency + rng_.between(0, kSecond), reply, send.attempt);  // once more, by mistake
}

void Simulator::fail(const Send& send, Outcome outcome, Duration latency, const Weather& weather,
                     const ProviderScript& script) {
  Failed failure;
  failure.attempt = send.attempt;
  failure.outcome = outcome;
  failure.retry_after = weather.retry_after;
  if (chance(script.gives_advice)) failure.should_retry = rng_.below(2) == 0;
  at(time_ + latency, failure, send.attempt);
}

Usage Simulator::draw_usage(const Target& target) {
  const std::int64_t times = chance(world_.traffic.honest) ? 1 : 3;
  Usage usage;
  usage.input_uncached = rng_.between(0, target.input_tokens * times);
  usage.cache_read = rng_.between(0, target.input_tokens * times - usage.input_uncached);
  usage.output_text = rng_.between(0, target.output_tokens * times);
  usage.reasoning = rng_.between(0, target.output_tokens * times - usage.output_text);
  return usage;
}

}  // namespace llmcore::testing
