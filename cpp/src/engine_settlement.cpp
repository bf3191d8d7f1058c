// An attempt ends, a call ends: what it cost, what is remembered, what happens next.
#include <algorithm>

#include "engine_impl.hpp"

namespace llmcore {
namespace {

constexpr Duration kLongestPause = 24 * kHour;
constexpr std::string_view kDefaultTenant = "default";
constexpr std::string_view kTenantScope = "tenant";

}  // namespace

// The call whose open attempt this is, or nothing (counted) if the attempt is over.
Engine::Impl::Call* Engine::Impl::in_flight(AttemptId attempt) {
  const auto found = calls_.find(call_of(attempt));
  if (found != calls_.end() && found->second.state == State::in_flight && found->second.attempt == attempt) {
    return &found->second;
  }
  ++late_;
  return nullptr;
}

// What an attempt's end says about its provider's health, and to whom else that matters.
void Engine::Impl::tell_provider(const Call& call, Outcome outcome) {
  if (call.lane == nullptr) return;
  Provider& provider = *call.lane->provider;
  const Health before = provider.recovery.stats().health;
  if (outcome == Outcome::cancelled || cut_short(call, outcome)) {
    provider.recovery.abandoned(call.probe);
  } else if (counts_against_health(outcome)) {
    provider.recovery.failed(call.probe, now_);
  } else {
    provider.recovery.succeeded(call.probe);
  }
  // Only a change of health can set free, or send elsewhere, what waits in the provider's other lanes.
  if (call.probe || provider.recovery.stats().health != before) touch_all(provider);
}

// Whether the call's deadline ended an attempt that had less than half of the time it would have had without waiting. That says
// something about the queue and nothing about the provider: a crowd of impatient calls must not open the breaker of one that is well.
bool Engine::Impl::cut_short(const Call& call, Outcome outcome) const {
  if (outcome != Outcome::timeout || now_ < call.deadline_at) return false;
  const Duration patience = call.submit.deadline > 0 ? call.submit.deadline : config_.deadline;
  return now_ - call.sent_at < std::min(patience, config_.attempt_timeout) / 2;
}

void Engine::Impl::streaming(const Streaming& input) {
  Call* call = in_flight(input.attempt);
  if (call == nullptr || call->streaming) return;
  call->streaming = true;
  call->first_token_at = now_;
  history_ = mix64(history_, call->attempt);
}

void Engine::Impl::replied(const Replied& input) {
  Call* call = in_flight(input.attempt);
  if (call == nullptr) return;
  tell_provider(*call, Outcome::ok);
  close_attempt(*call, Outcome::ok, input.usage, input.price.get(), 0);
  if (call->submit.key && input.payload && call->target == 0) {
    cache_.put(*call->submit.key, Cached{input.payload, call->cost.value_or(0)}, input.payload->size(), now_);
  }
  Finish answer;
  answer.source = Source::provider;
  answer.payload = input.payload;
  finish(*call, std::move(answer));
}

void Engine::Impl::failed(const Failed& input) {
  Call* call = in_flight(input.attempt);
  if (call == nullptr) return;
  const bool known = input.outcome != Outcome::ok && static_cast<std::size_t>(input.outcome) < kOutcomeCount;
  const Outcome outcome = known ? input.outcome : Outcome::server_error;
  const Duration retry_after = std::max<Duration>(input.retry_after, 0);
  tell_provider(*call, outcome);
  close_attempt(*call, outcome, input.usage, input.price.get(), retry_after);
  after_failure(*call, outcome, input.should_retry, retry_after);
}

// Gives back slot, tokens and money, and writes the attempt down. The call is in flight before and in no state after.
void Engine::Impl::close_attempt(Call& call, Outcome outcome, const Usage& reported, const PriceCard* price,
                                 Duration retry_after) {
  const Target& target = call.at();
  const bool used = outcome == Outcome::ok || reported != Usage{};
  const bool told = reported.valid();  // impossible counts tell nothing: what was used, and cost, is unknown
  const Usage usage = told ? reported : Usage{};
  std::optional<NanoUsd> cost = 0;
  if (used && !target.always_answers) {
    const PriceCard* card = price != nullptr ? price : target.price.get();
    cost = card != nullptr && told ? cost_of(*card, usage) : std::nullopt;
  }

  AttemptRecord record;
  record.call = call.id;
  record.attempt = call.attempt;
  record.number = call.attempts;
  record.target = call.target;
  record.provider = target.provider;
  record.model = target.model;
  record.outcome = outcome;
  record.usage = usage;
  record.cost = cost;
  record.started = call.sent_wall;
  record.latency = now_ - call.sent_at;
  record.retry_after = retry_after;
  emit(Record{call.id, std::move(record)});

  --in_flight_;
  ++closed_;
  if (Lane* lane = call.lane; lane != nullptr) {
    --lane->in_flight;
    lane->limiter.settle(call.reserved, usage.total_tokens(), now_);
    touch(*lane);
    if (!budget_.rules().empty()) {
      // An answer whose cost cannot be told is charged what was set aside for it: a limit errs on the safe side.
      for (BudgetAlert& alert : budget_.settle(call.money, cost.value_or(call.money.amount), wall_)) {
        emit(Record{call.id, std::move(alert)});
      }
    }
  }
  call.reserved = {};
  call.money = {};
  call.usage += usage;
  if (call.cost && cost) {
    call.cost = add_saturated(*call.cost, *cost);
  } else {
    call.cost.reset();
  }
  if (outcome != Outcome::ok) call.last_failure = outcome;
  call.state = State::arriving;
  arm(call, kNever);
}

void Engine::Impl::after_failure(Call& call, Outcome outcome, std::optional<bool> should_retry, Duration retry_after) {
  Lane* lane = call.lane;
  // The user has seen a part of the answer: nothing is repeated behind his back. And what an always-answering target cannot do, no
  // other can.
  if (call.streaming || lane == nullptr || outcome == Outcome::cancelled) {
    if (lane != nullptr && outcome == Outcome::rate_limited) pause(*lane, next_attempt_at(call, retry_after));
    Finish over;
    over.outcome = outcome;
    finish(call, std::move(over));
    return;
  }
  const Verdict verdict = lane->provider->recovery.advise(outcome, should_retry, retry_after, call.attempts_here, now_);
  if (outcome == Outcome::rate_limited || verdict == Verdict::retry) {
    const Instant next = next_attempt_at(call, retry_after);
    if (outcome == Outcome::rate_limited) pause(*lane, next);
    if (verdict == Verdict::retry && next < call.deadline_at) {
      ++backing_off_;
      ++lane->backing_off;
      call.state = State::backing_off;
      call.waiting_since = now_;
      arm(call, next);
      return;
    }
  }
  if (verdict == Verdict::stop) {
    give_up(call, outcome, retry_after);
  } else if (now_ >= call.deadline_at || !call.has_next()) {
    give_up(call, outcome, retry_after);
  } else {
    fail_over(call, outcome);
  }
}

Instant Engine::Impl::next_attempt_at(const Call& call, Duration retry_after) {
  return add_saturated(now_, std::max(backoff_.delay(call.attempts_here - 1, rng_), retry_after));
}

// However long a provider asks to wait: an absurd header must not end its lane for ever.
void Engine::Impl::pause(Lane& lane, Instant until) {
  lane.limiter.pause_until(std::min(until, add_saturated(now_, kLongestPause)));
}

void Engine::Impl::fail_over(Call& call, Outcome outcome) {
  if (!call.has_next()) {
    give_up(call, outcome);
    return;
  }
  ++failovers_;
  ++call.target;
  enter_target(call);
}

// The call has no answer from here. If its chain ends in a target that always answers, and the request itself was not at fault, that
// one answers; otherwise it is over.
void Engine::Impl::give_up(Call& call, Outcome outcome, Duration retry_hint, std::optional<BudgetRefusal> refusal) {
  const bool own_fault =
      verdict_of(outcome) == Verdict::stop && outcome != Outcome::queue_full && outcome != Outcome::queue_timeout;
  if (!own_fault && !call.submit.targets.empty()) {
    const auto last = static_cast<std::uint32_t>(call.submit.targets.size() - 1);
    if (call.target < last && call.submit.targets[last].always_answers) {
      ++failovers_;
      call.target = last;
      enter_target(call);
      return;
    }
  }
  Finish over;
  // "No provider could be tried" is not the reason when one was tried.
  over.outcome = outcome == Outcome::exhausted && call.attempts > 0 ? call.last_failure : outcome;
  over.retry_hint = retry_hint;
  over.refusal = std::move(refusal);
  finish(call, std::move(over));
}

// Ends the call: fills in what it knows, tells the followers, forgets it.
void Engine::Impl::finish(Call& call, Finish over) {
  LLMCORE_ASSERT(call.state == State::arriving);
  over.call = call.id;
  // What a call fails with may have happened at an earlier target than the one it gave up at.
  const bool tells_attempt = over.outcome != Outcome::ok && over.outcome == call.last_failure;
  over.target = tells_attempt ? call.tried : call.target;
  over.attempts = call.attempts;
  over.fallback = over.fallback || (over.source == Source::provider && call.target > 0);
  if (over.provider.empty() && over.target < call.submit.targets.size()) {
    over.provider = call.submit.targets[over.target].provider;
    over.model = call.submit.targets[over.target].model;
  }
  over.usage = call.usage;
  over.cost = call.cost;
  over.latency = now_ - call.submitted_at;
  over.queued = call.queued;
  over.first_token = call.first_token_at ? *call.first_token_at - call.submitted_at : 0;

  track(call, over);
  ++finished_;
  ++outcomes_[static_cast<std::size_t>(over.outcome)];
  arm(call, kNever);
  if (call.leads) land(call, over);
  const CallId id = call.id;
  emit(std::move(over));
  calls_.erase(id);
}

// Counts a finished call, for itself and for whom it was made.
void Engine::Impl::track(const Call& call, const Finish& over) {
  UsageSample sample;
  sample.model = over.model;
  sample.call_type = call.submit.call_type;
  sample.outcome = over.outcome;
  sample.cache_hit = over.source == Source::cache || over.source == Source::joined;
  sample.attempts = over.attempts;
  sample.usage = over.usage;
  sample.cost = over.cost;
  sample.saved = over.saved;
  sample.latency = over.latency;

  // One text for all of them, with room for all before the first view into it is taken.
  tracked_scopes_.clear();
  scope_text_.clear();
  const auto tracks = [this](std::string_view key) {
    return std::find(config_.usage_scopes.begin(), config_.usage_scopes.end(), key) != config_.usage_scopes.end();
  };
  const bool has_tenant = call.submit.tenant != kDefaultTenant && tracks(kTenantScope);
  std::size_t length = has_tenant ? kTenantScope.size() + 1 + call.submit.tenant.size() : 0;
  for (const auto& [key, value] : call.submit.scopes) length += key.size() + 1 + value.size();
  scope_text_.reserve(length);
  const auto add = [this](std::string_view key, std::string_view value) {
    const std::size_t start = scope_text_.size();
    scope_text_.append(key).append(1, '=').append(value);
    tracked_scopes_.push_back(std::string_view(scope_text_).substr(start));
  };
  if (has_tenant) add(kTenantScope, call.submit.tenant);
  for (const auto& [key, value] : call.submit.scopes) {
    if (tracks(key)) add(key, value);
  }
  sample.scopes = tracked_scopes_;
  tracker_.record(sample, wall_);
}

// Followers get the answer of a call that was answered by a target they have named too. Of the others the next leads, and
// the rest follow it.
void Engine::Impl::land(const Call& leader, const Finish& over) {
  const auto found = flights_.find(*leader.submit.key);
  Flight& flight = found->second;
  if (over.outcome == Outcome::ok && over.payload) {
    for (auto it = flight.followers.begin(); it != flight.followers.end();) {
      Call& follower = calls_.at(*it);
      const std::vector<Target>& own = follower.submit.targets;
      const auto same = std::find_if(own.begin(), own.end(), [&over](const Target& target) {
        return target.provider == over.provider && target.model == over.model;
      });
      if (same == own.end()) {
        ++it;
        continue;
      }
      it = flight.followers.erase(it);
      follower.target = static_cast<std::uint32_t>(same - own.begin());
      --following_;
      follower.state = State::arriving;
      follower.queued += now_ - follower.waiting_since;
      Finish answer;
      answer.source = Source::joined;
      answer.provider = over.provider;
      answer.model = over.model;
      answer.fallback = over.fallback;
      answer.payload = over.payload;
      answer.saved = over.cost.value_or(0);
      finish(follower, std::move(answer));
    }
  }
  if (flight.followers.empty()) {
    flights_.erase(found);
    return;
  }
  Call& next = calls_.at(*flight.followers.begin());
  flight.followers.erase(flight.followers.begin());
  flight.leader = next.id;
  --following_;
  next.state = State::arriving;
  next.queued += now_ - next.waiting_since;
  next.leads = true;
  arm(next, kNever);
  // It enters later: it may be refused at once, and the one after it, and each would stand on the stack of the one before.
  new_leaders_.push_back(next.id);
}

}  // namespace llmcore
