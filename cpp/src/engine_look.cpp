// Statistics, the state hash, and the invariants in words.
#include <algorithm>

#include "engine_impl.hpp"

namespace llmcore {

EngineStats Engine::Impl::stats() const {
  EngineStats all;
  all.submitted = static_cast<std::int64_t>(next_call_ - 1);
  all.finished = finished_;
  all.outcomes = outcomes_;
  all.in_flight = in_flight_;
  all.backing_off = backing_off_;
  all.following = following_;
  all.attempts = attempts_;
  all.retries = retries_;
  all.failovers = failovers_;
  all.joined = joined_;
  all.late = late_;
  all.clock_regressions = clock_regressions_;
  all.cache = cache_.stats();
  all.reserved_nano_usd = budget_.reserved();
  all.budgets = budget_.accounts();
  all.lanes.reserve(lanes_.size());
  for (const auto& [key, lane] : lanes_) {
    all.lanes.push_back(LaneStats{lane.tenant, lane.provider_name, lane.limiter.stats(), lane.queue.stats()});
    all.queued += lane.queue.size();
    all.reserved_requests += lane.limiter.stats().in_flight;
    all.reserved_tokens += lane.limiter.stats().reserved_tokens;
  }
  all.providers.reserve(providers_.size());
  for (const auto& [name, provider] : providers_)
    all.providers.push_back(ProviderStats{name, provider.recovery.stats()});
  return all;
}

std::int64_t Engine::Impl::unhealthy() const noexcept {
  return std::count_if(providers_.begin(), providers_.end(),
                       [](const auto& entry) { return entry.second.recovery.stats().health != Health::healthy; });
}

void Engine::Impl::for_each_cached(const std::function<void(const Fingerprint&, const Blob&)>& function) const {
  cache_.for_each(now_, [&](const Fingerprint& key, const Cached& cached) { function(key, cached.payload); });
}

std::uint64_t Engine::Impl::state_hash() const {
  std::uint64_t hash = mix64(history_, next_call_);
  for (const std::uint64_t word : rng_.state()) hash = mix64(hash, word);
  for (const std::int64_t count : {finished_, in_flight_, backing_off_, following_, attempts_, late_, joined_}) {
    hash = mix64(hash, static_cast<std::uint64_t>(count));
  }
  for (const auto& [key, lane] : lanes_) hash = mix64(mix64(hash, lane.limiter.state_hash()), lane.queue.state_hash());
  for (const auto& [name, provider] : providers_) hash = mix64(hash, provider.recovery.state_hash());
  hash = mix64(hash, budget_.state_hash());
  hash = mix64(hash, cache_.state_hash());
  return hash;
}

std::string Engine::Impl::check() const {
  const auto say = [](std::string what) { return what; };
  std::int64_t queued = 0;
  std::int64_t flying = 0;
  std::int64_t backing_off = 0;
  std::int64_t following = 0;
  std::int64_t leading = 0;
  std::int64_t movable = 0;
  std::int64_t probes = 0;
  for (const auto& [id, call] : calls_) {
    const std::string name = "call " + std::to_string(id);
    if (call.leads) ++leading;
    if (call.armed != kNever && call_timers_.count({call.armed, id}) == 0) return say(name + " lost its timer");
    switch (call.state) {
      case State::arriving: return say(name + " is in no state between inputs");
      case State::queued:
        ++queued;
        if (call.lane == nullptr || !call.lane->queue.contains(id)) return say(name + " waits in no queue");
        if (call.has_next() != (call.lane->movable.count(id) == 1)) return say(name + " may or may not go elsewhere");
        if (call.has_next()) ++movable;
        break;
      case State::in_flight:
        ++flying;
        if (call.probe) ++probes;
        // A target that always answers has the attempt's time, which may be without end, whatever is left of the call's.
        if (call.armed == kNever && call.deadline_at != kNever && call.lane != nullptr) {
          return say(name + " is in flight without a deadline");
        }
        break;
      case State::backing_off:
        ++backing_off;
        if (call.armed == kNever) return say(name + " backs off without a timer");
        break;
      case State::following: {
        ++following;
        const auto flight = flights_.find(*call.submit.key);
        if (flight == flights_.end() || flight->second.followers.count(id) == 0) return say(name + " follows nobody");
        const auto leader = calls_.find(flight->second.leader);
        if (leader == calls_.end() || !leader->second.leads) return say(name + " follows a call that does not lead");
        break;
      }
    }
  }
  if (flying != in_flight_) return say("calls in flight and their count differ");
  if (backing_off != backing_off_) return say("calls backing off and their count differ");
  if (following != following_) return say("calls following and their count differ");
  if (attempts_ != closed_ + in_flight_) return say("attempts sent are not those closed and those in flight");
  if (static_cast<std::int64_t>(next_call_ - 1) != finished_ + static_cast<std::int64_t>(calls_.size())) {
    return say("calls submitted are not those finished and those known");
  }
  if (leading != static_cast<std::int64_t>(flights_.size())) return say("leaders and flights differ");

  std::int64_t waiting = 0;
  std::int64_t coming_back = 0;
  std::int64_t slots = 0;
  std::int64_t reserved_tokens = 0;
  for (const auto& [key, lane] : lanes_) {
    const RateLimiter::Stats limits = lane.limiter.stats();
    waiting += lane.queue.size();
    coming_back += lane.backing_off;
    slots += limits.in_flight;
    reserved_tokens += limits.reserved_tokens;
    movable -= static_cast<std::int64_t>(lane.movable.size());
    if (limits.in_flight != lane.in_flight) return say("lane " + lane.provider_name + " holds slots of no call");
    if (limits.reserved_tokens < 0) return say("lane " + lane.provider_name + " reserves less than nothing");
    if (lane.armed == kNever && lane.queue.next_expiry() != kNever) {
      return say("lane " + lane.provider_name + " would miss an expiry");
    }
    if (const std::optional<RequestQueue::Entry> head = lane.queue.peek()) {
      RateLimiter limiter = lane.limiter;  // asking it moves its clock
      const Target& target = calls_.at(head->id).at();
      const Instant ready = std::max(limiter.ready_at(add_saturated(target.input_tokens, target.output_tokens), now_),
                                     lane.provider->recovery.ready_at(now_));
      if (ready <= now_) return say("lane " + lane.provider_name + " holds back a call that could go");
      if (lane.armed > ready) return say("lane " + lane.provider_name + " would sleep too long");
    }
  }
  for (const auto& [name, provider] : providers_) probes -= provider.recovery.stats().health == Health::probing ? 1 : 0;
  if (probes != 0) return say("probes in flight and the providers that wait for one differ");
  if (waiting != queued) return say("calls queued and the queues differ");
  if (coming_back != backing_off_) return say("calls backing off and their lanes' counts differ");
  if (movable != 0) return say("calls that may go elsewhere and their index differ");
  if (slots > in_flight_) return say("more slots are held than calls are in flight");
  if (in_flight_ == 0 && (slots != 0 || reserved_tokens != 0 || budget_.reserved() != 0)) {
    return say("something is reserved while nothing is in flight");
  }
  for (const Budget::Account& account : budget_.accounts()) {
    if (account.reserved < 0) return say("account " + account.scope + " reserves less than nothing");
  }
  if (!dirty_.empty() || !new_leaders_.empty()) return say("a lane or a leader has news that nobody looked at");
  return {};
}

}  // namespace llmcore
