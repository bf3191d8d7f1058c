#include "simulator.hpp"

#include <algorithm>

#include "llmcore/hash.hpp"

namespace llmcore::testing {
namespace {

std::uint64_t fold(std::uint64_t hash, std::initializer_list<std::int64_t> numbers) {
  for (const std::int64_t number : numbers) hash = mix64(hash, number);
  return hash;
}

std::uint64_t fold(std::uint64_t hash, const Usage& usage) {
  return fold(hash, {usage.input_uncached, usage.cache_read, usage.output_text, usage.reasoning, usage.total_tokens()});
}

/// Everything that the action says, but for its payload.
std::uint64_t fold(std::uint64_t hash, const Action& action) {
  const auto signed_of = [](auto value) { return static_cast<std::int64_t>(value); };
  hash = mix64(hash, action.index());
  if (const auto* send = std::get_if<Send>(&action)) {
    return fold(hash, {signed_of(send->call), signed_of(send->attempt), send->number, send->target, send->not_after});
  }
  if (const auto* abort = std::get_if<Abort>(&action)) {
    return fold(hash, {signed_of(abort->call), signed_of(abort->attempt)});
  }
  if (const auto* finish = std::get_if<Finish>(&action)) {
    hash = fold(hash, {signed_of(finish->call), signed_of(finish->outcome), signed_of(finish->source), finish->target});
    hash = mix64(mix64(hash, std::string_view(finish->provider)), std::string_view(finish->model));
    hash = fold(fold(hash, finish->usage), {finish->attempts, finish->fallback, finish->cost.value_or(-1)});
    hash = fold(hash, {finish->saved, finish->latency, finish->queued, finish->first_token, finish->retry_hint});
    return finish->refusal ? mix64(mix64(hash, std::string_view(finish->refusal->scope)), finish->refusal->spent)
                           : hash;
  }
  const auto& record = std::get<Record>(action);
  if (const auto* attempt = std::get_if<AttemptRecord>(&record.body)) {
    hash = fold(hash, {signed_of(attempt->attempt), signed_of(attempt->outcome), attempt->cost.value_or(-1)});
    return fold(fold(hash, attempt->usage), {attempt->started, attempt->latency, attempt->retry_after});
  }
  const auto& alert = std::get<AlertRecord>(record.body);
  return fold(mix64(hash, std::string_view(alert.scope)), {alert.percent, alert.spent, alert.limit});
}

}  // namespace

std::string SimulationReport::describe() const {
  return "seed " + std::to_string(seed) + ": " + (broken.empty() ? "every law held" : broken) + "; " +
         std::to_string(stats.submitted) + " calls, " + std::to_string(inputs) + " inputs, " +
         std::to_string(simulated / kSecond) + " simulated seconds";
}

// --- the run ---------------------------------------------------------------------------------------------------------

Simulator::Simulator(World world)
    : world_(std::move(world)),
      rng_(world_.seed ^ 0x5eed),
      idle_rng_(world_.seed ^ 0x1d1e),
      engine_(world_.config, world_.check_every),
      calls_left_(world_.traffic.calls) {
  for (const ProviderScript& script : world_.providers) providers_[script.name].script = script;
  for (const ClockJump& jump : world_.jumps) at(jump.at, jump);
  for (const Instant panic : world_.panics) at(panic, Panic{});
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
    idle_until(events_.empty() ? wake : std::min(wake, events_.begin()->first.first));
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
  }
  if (report_.broken.empty() && engine_.broken().empty() && !calls_.empty()) report_.broken = "a call was forgotten";
  if (report_.broken.empty()) engine_.at_rest();
  if (report_.broken.empty()) report_.broken = engine_.broken();
  report_.seed = world_.seed;
  report_.inputs = engine_.inputs();
  report_.simulated = time_;
  report_.state = engine_.engine().state_hash();
  report_.stats = engine_.engine().stats();
  return report_;
}

void Simulator::at(Instant when, Happening what, AttemptId attempt) {
  events_.emplace(std::make_pair(when, next_event_++), Event{std::move(what), attempt});
}

void Simulator::happen(const Event& event) {
  if (std::holds_alternative<Arrival>(event.what)) {
    arrive();
    return;
  }
  if (std::holds_alternative<Panic>(event.what)) {
    panic();
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
  const auto& input = std::get<Input>(event.what);
  if (const auto* wish = std::get_if<Cancel>(&input)) {
    cancel(wish->call);
    return;
  }
  engine_.handle(input, now());
  perform();
}

// Ticks before anything is due. The engine must not be able to tell that they were there.
void Simulator::idle_until(Instant next) {
  while (idle_rng_.between(1, 1'000) <= world_.idle_ticks) {
    const Instant time = next > time_ ? idle_rng_.between(time_, next) : time_;
    const std::uint64_t before = engine_.engine().state_hash();
    if (engine_.engine().next_deadline().value_or(kNever) <= now_at(time).mono) return;
    engine_.handle(Tick{}, now_at(time));
    ++report_.idle_ticks;
    if (!engine_.take_actions().empty()) report_.broken = "a tick before its time did something";
    if (engine_.engine().state_hash() != before) report_.broken = "a tick before its time changed the state";
  }
}

// Calls one off and keeps count of where it stood. A call that leads hands over to one that follows, which takes its place: that
// counts as the follower's end.
void Simulator::cancel(CallId call) {
  const EngineStats before = engine_.engine().stats();
  const bool known = calls_.count(call) != 0;
  engine_.handle(Cancel{call}, now());
  const EngineStats after = engine_.engine().stats();
  if (!known) {
    ++report_.cancelled_late;
  } else if (after.in_flight < before.in_flight) {
    ++report_.cancelled_in_flight;
  } else if (after.backing_off < before.backing_off) {
    ++report_.cancelled_backing_off;
  } else if (after.queued < before.queued) {
    ++report_.cancelled_queued;
  } else if (after.following < before.following) {
    ++report_.cancelled_following;
  }
  perform();
}

// Everybody gives up: whatever was going on, all of it comes back.
void Simulator::panic() {
  if (!calls_.empty()) ++report_.panics;
  std::vector<CallId> victims;
  for (const auto& [call, submit] : calls_) victims.push_back(call);
  while (!victims.empty()) {
    std::swap(victims[rng_.below(victims.size())], victims.back());
    cancel(victims.back());
    victims.pop_back();
  }
  engine_.at_rest();
}

void Simulator::perform() {
  report_.most_open = std::max(report_.most_open, static_cast<std::int64_t>(calls_.size()));
  for (const Action& action : engine_.take_actions()) {
    report_.decisions = fold(report_.decisions, action);
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
    const Duration patience = std::min(submit.deadline > 0 ? submit.deadline : world_.config.deadline, kHour);
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
  if (chance(traffic.absurd)) make_absurd(submit);
  return submit;
}

void Simulator::make_absurd(Submit& submit) {
  constexpr std::int64_t kMostTokens = std::int64_t{1} << 53;
  switch (rng_.below(7)) {
    case 0: submit.deadline = kNever; break;
    case 1: submit.deadline = -rng_.between(1, kHour); break;
    case 2: submit.priority = static_cast<Priority>(kPriorityCount); break;
    case 3: submit.scopes.emplace_back("", ""); break;
    case 4: submit.targets.resize(20, submit.targets.empty() ? Target{} : submit.targets.back()); break;
    default:
      for (Target& target : submit.targets) {
        target.input_tokens = rng_.between(kMostTokens - 1, kMostTokens + 1);
        target.output_tokens = rng_.below(2) == 0 ? kMostTokens : rng_.between(-1, 1);
        target.images = rng_.below(2) == 0 ? kMostTokens : 0;
      }
  }
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
  if (chance(world_.traffic.absurd)) reply.usage.output_text = rng_.below(2) == 0 ? -1 : kNever;
  if (chance(100)) reply.price = world_.providers[rng_.below(world_.providers.size())].price;  // another model answered
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
  if (chance(world_.traffic.absurd)) failure.retry_after = rng_.below(2) == 0 ? kNever : -kSecond;
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
