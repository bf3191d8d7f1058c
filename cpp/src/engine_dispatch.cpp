// Lanes and timers: which call is sent next, and until when the others wait.
#include <algorithm>

#include "engine_impl.hpp"

namespace llmcore {

Engine::Impl::Lane& Engine::Impl::lane_of(const std::string& tenant, const std::string& provider) {
  const auto known = lanes_.find({tenant, provider});
  if (known != lanes_.end()) return known->second;
  Provider& of = providers_.try_emplace(provider, config_.recovery, now_).first->second;
  const auto own = config_.provider_limits.find(provider);
  const RateLimiterConfig& limits = own == config_.provider_limits.end() ? config_.limits : own->second;
  const LaneId id = next_lane_++;
  Lane& lane =
      lanes_.try_emplace({tenant, provider}, id, tenant, provider, of, limits, config_.queue, now_).first->second;
  lane_by_id_.emplace(id, &lane);
  of.lanes.insert(id);
  return lane;
}

// A tenant that comes once must not cost memory for ever. A lane that stands as a new one would can go: nobody can tell.
void Engine::Impl::forget_idle_lanes() {
  for (auto it = lanes_.begin(); it != lanes_.end();) {
    Lane& lane = it->second;
    if (lane.in_flight == 0 && lane.backing_off == 0 && lane.queue.empty() && lane.limiter.at_rest(now_)) {
      arm(lane, kNever);
      lane.provider->lanes.erase(lane.id);
      lane_by_id_.erase(lane.id);
      it = lanes_.erase(it);
      continue;
    }
    ++it;
  }
  // Doubling keeps the sweep's cost constant per new lane even when few can go.
  forget_lanes_at_ = std::max(static_cast<std::size_t>(config_.max_lanes), 2 * lanes_.size());
}

void Engine::Impl::pump(Lane& lane) {
  for (const RequestQueue::Entry& expired : lane.queue.expire(now_)) {
    Call& call = calls_.at(expired.id);
    take_out(call);
    give_up(call, call.attempts == 0 ? Outcome::queue_timeout : call.last_failure);
  }
  Instant wake = kNever;
  while (const std::optional<RequestQueue::Entry> head = lane.queue.peek()) {
    Call& call = calls_.at(head->id);
    const std::int64_t tokens = add_saturated(call.at().input_tokens, call.at().output_tokens);
    const Instant limiter_ready = lane.limiter.ready_at(tokens, now_);
    const Instant provider_ready = lane.provider->recovery.ready_at(now_);
    const bool unwell = provider_ready > now_;
    if ((unwell || paused_beyond_cap(lane)) && !lane.movable.empty()) {
      evacuate(lane, unwell ? Outcome::exhausted : Outcome::rate_limited);
      continue;
    }
    if (std::max(limiter_ready, provider_ready) > now_) {
      if (pass_over(call, limiter_ready, provider_ready)) continue;
      // kNever means "when a slot or the probe comes back", which touches the lane by itself.
      wake = std::max(limiter_ready, provider_ready);
      break;
    }
    lane.queue.pop();
    take_out(call);
    if (over_budget(call)) continue;
    const std::optional<RateLimiter::Reservation> reservation = lane.limiter.reserve(tokens, now_);
    LLMCORE_ASSERT(reservation.has_value());
    call.reserved = reservation.value_or(RateLimiter::Reservation{});
    call.place = head->seq;
    send(call, &lane);
  }
  arm(lane, std::min(wake, lane.queue.next_expiry()));
}

// The call has taken its place in the lane's queue.
void Engine::Impl::wait_in(Lane& lane, Call& call) {
  call.state = State::queued;
  call.lane = &lane;
  if (call.has_next()) lane.movable.insert(call.id);
  touch(lane);
}

// The call leaves its lane's queue, if it has not left it already.
void Engine::Impl::take_out(Call& call) {
  call.lane->queue.remove(call.id);
  call.lane->movable.erase(call.id);
  call.state = State::arriving;
  call.queued += now_ - call.waiting_since;
}

// Calls that have another target do not wait for a provider that is shut, wherever in the queue they stand.
void Engine::Impl::evacuate(Lane& lane, Outcome why) {
  const std::set<CallId> leaving = lane.movable;
  for (const CallId id : leaving) {
    Call& call = calls_.at(id);
    take_out(call);
    fail_over(call, why);
  }
}

// Whether the provider has asked for a wait that nobody sleeps who can go elsewhere.
bool Engine::Impl::paused_beyond_cap(const Lane& lane) const {
  return lane.limiter.stats().paused_until > add_saturated(now_, config_.recovery.retry_after_cap);
}

// The head of the lane cannot go now. Takes it out if waiting makes no sense for it.
bool Engine::Impl::pass_over(Call& call, Instant limiter_ready, Instant provider_ready) {
  const Lane& lane = *call.lane;
  const bool unwell = provider_ready > now_;
  const bool unwell_too_long = provider_ready != kNever && provider_ready >= call.deadline_at;
  const Instant paused_until = lane.limiter.stats().paused_until;  // 0: it is not
  const bool paused_too_long = paused_until != 0 && paused_until >= call.deadline_at;
  const bool too_long = limiter_ready != kNever && limiter_ready >= call.deadline_at;
  const bool elsewhere = call.has_next() && too_long;
  if (!elsewhere && !unwell_too_long && !paused_too_long) return false;

  take_out(call);
  const Outcome why = unwell ? Outcome::exhausted : Outcome::rate_limited;
  if (elsewhere) {
    fail_over(call, why);
  } else {
    const Instant ready = std::max(limiter_ready, provider_ready);
    give_up(call, why, ready == kNever ? 0 : ready - now_);
  }
  return true;
}

// Refuses or fails over a call that no budget has room for; true if it did.
bool Engine::Impl::over_budget(Call& call) {
  if (budget_.rules().empty()) return false;
  std::optional<BudgetRefusal> refusal = budget_.refusal(scopes_of(call), worst_case(call), wall_);
  if (!refusal) return false;
  if (call.has_next()) {
    fail_over(call, Outcome::over_budget);
  } else {
    give_up(call, Outcome::over_budget, 0, std::move(refusal));
  }
  return true;
}

std::optional<NanoUsd> Engine::Impl::worst_case(const Call& call) const {
  const Target& target = call.at();
  if (target.always_answers) return 0;
  if (!target.price) return std::nullopt;
  return worst_case_cost(*target.price, target.input_tokens, target.output_tokens, target.images);
}

Scopes Engine::Impl::scopes_of(const Call& call) const {
  Scopes scopes = call.submit.scopes;
  scopes.emplace_back("tenant", call.submit.tenant);
  scopes.emplace_back("provider", call.at().provider);
  scopes.emplace_back("model", call.at().model);
  if (!call.submit.call_type.empty()) scopes.emplace_back("call_type", call.submit.call_type);
  return scopes;
}

void Engine::Impl::send(Call& call, Lane* lane) {
  LLMCORE_ASSERT(call.attempts + 1 < kAttemptsPerCall);
  ++call.attempts;
  ++call.attempts_here;
  ++attempts_;
  ++in_flight_;
  if (call.attempts_here > 1) ++retries_;
  call.state = State::in_flight;
  call.lane = lane;
  call.attempt = attempt_id(call.id, call.attempts);
  call.sent_at = now_;
  call.sent_wall = wall_;
  call.tried = call.target;
  call.streaming = false;
  call.probe = false;
  const std::optional<NanoUsd> worst = worst_case(call);
  Instant not_after = add_saturated(now_, config_.attempt_timeout);
  if (lane != nullptr) {
    ++lane->in_flight;
    call.probe = lane->provider->recovery.sent(now_);
    if (!budget_.rules().empty()) {
      call.money = budget_.reserve(scopes_of(call), worst.value_or(0), wall_);
    }
    not_after = std::min(not_after, call.deadline_at);
  }
  arm(call, not_after);
  emit(Send{call.id, call.attempt, call.attempts, call.target, not_after, worst});
}

void Engine::Impl::arm(Call& call, Instant at) {
  if (call.armed == at) return;
  if (call.armed != kNever) call_timers_.erase({call.armed, call.id});
  call.armed = at;
  if (at != kNever) call_timers_.insert({at, call.id});
}

void Engine::Impl::arm(Lane& lane, Instant at) {
  if (lane.armed == at) return;
  if (lane.armed != kNever) lane_timers_.erase({lane.armed, lane.id});
  lane.armed = at;
  if (at != kNever) lane_timers_.insert({at, lane.id});
}

void Engine::Impl::fire_timers() {
  while (!call_timers_.empty() && call_timers_.begin()->first <= now_) {
    Call& call = calls_.at(call_timers_.begin()->second);
    arm(call, kNever);
    timer_of(call);
  }
  while (!lane_timers_.empty() && lane_timers_.begin()->first <= now_) {
    Lane& lane = *lane_by_id_.at(lane_timers_.begin()->second);
    arm(lane, kNever);
    touch(lane);
  }
}

void Engine::Impl::timer_of(Call& call) {
  switch (call.state) {
    case State::in_flight:
      emit(Abort{call.id, call.attempt});
      tell_provider(call, Outcome::timeout);
      close_attempt(call, Outcome::timeout, Usage{}, nullptr, 0);
      after_failure(call, Outcome::timeout, std::nullopt, 0);
      break;
    case State::backing_off:
      --backing_off_;
      --call.lane->backing_off;
      call.lane->queue.restore(call.id, call.submit.priority, call.place, call.deadline_at, now_);
      wait_in(*call.lane, call);
      break;
    case State::following:
      leave(call);
      give_up(call, Outcome::timeout);
      break;
    case State::arriving:
    case State::queued: break;  // the lane's timer watches its queue
  }
}

void Engine::Impl::observed(const Observed& input) {
  Lane& lane = lane_of(input.tenant, input.provider);
  lane.limiter.observe(input.limits, now_);
  touch(lane);
}

}  // namespace llmcore
