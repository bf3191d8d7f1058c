// A call arrives: the cache, single flight, the first provider of its chain. Or it leaves early.
#include <algorithm>

#include "engine_impl.hpp"

namespace llmcore {

bool Engine::Impl::well_formed(const Submit& submit) {
  constexpr std::size_t kMostTargets = 16;
  constexpr std::int64_t kMostTokens = std::int64_t{1} << 53;
  if (submit.targets.empty() || submit.targets.size() > kMostTargets) return false;
  if (submit.deadline < 0 || submit.priority > Priority::low) return false;
  return std::all_of(submit.targets.begin(), submit.targets.end(), [](const Target& target) {
    const auto sane = [](std::int64_t n) { return n >= 0 && n <= kMostTokens; };
    return !target.provider.empty() && sane(target.input_tokens) && sane(target.output_tokens) && sane(target.images);
  });
}

void Engine::Impl::admit(Call& call) {
  if (call.submit.key) {
    if (const Cached* hit = cache_.get(*call.submit.key, now_)) {
      Finish answer;
      answer.source = Source::cache;
      answer.payload = hit->payload;
      answer.saved = hit->cost;
      finish(call, std::move(answer));
      return;
    }
    const auto [flight, fresh] = flights_.try_emplace(*call.submit.key);
    if (!fresh) {
      follow(call, flight->second);
      return;
    }
    flight->second.leader = call.id;
    call.leads = true;
  }
  enter_target(call);
}

void Engine::Impl::follow(Call& call, Flight& flight) {
  ++joined_;
  ++following_;
  call.state = State::following;
  flight.followers.insert(call.id);
  arm(call, call.deadline_at);
}

void Engine::Impl::enter_target(Call& call) {
  call.state = State::arriving;
  call.attempts_here = 0;
  call.lane = nullptr;
  if (call.at().always_answers) {
    send(call, nullptr);
    return;
  }
  Lane& lane = lane_of(call.submit.tenant, call.at().provider);
  lane.provider->recovery.call_arrived();
  // An unwell provider is passed by while there is another one; without one, the call waits for it to recover.
  if (call.has_next() && lane.provider->recovery.ready_at(now_) > now_) {
    fail_over(call, Outcome::exhausted);
    return;
  }
  if (over_budget(call)) return;
  const RequestQueue::Admission admission = lane.queue.push(call.id, call.submit.priority, call.deadline_at, now_);
  if (admission != RequestQueue::Admission::accepted) {
    const Instant ready = lane.limiter.ready_at(add_saturated(call.at().input_tokens, call.at().output_tokens), now_);
    give_up(call, Outcome::queue_full, ready == kNever ? 0 : ready - now_);
    return;
  }
  call.waiting_since = now_;
  wait_in(lane, call);
}

void Engine::Impl::cancel(const Cancel& input) {
  const auto found = calls_.find(input.call);
  if (found == calls_.end()) {
    ++late_;
    return;
  }
  Call& call = found->second;
  leave(call);
  Finish over;
  over.outcome = Outcome::cancelled;
  finish(call, std::move(over));
}

// Takes a call out of wherever it stands and gives back what it holds there.
void Engine::Impl::leave(Call& call) {
  switch (call.state) {
    case State::arriving: break;
    case State::queued:
      touch(*call.lane);
      take_out(call);
      break;
    case State::backing_off:
      --backing_off_;
      --call.lane->backing_off;
      call.queued += now_ - call.waiting_since;
      break;
    case State::following:
      --following_;
      call.queued += now_ - call.waiting_since;
      flights_.at(*call.submit.key).followers.erase(call.id);
      break;
    case State::in_flight:
      emit(Abort{call.id, call.attempt});
      tell_provider(call, Outcome::cancelled);
      close_attempt(call, Outcome::cancelled, Usage{}, nullptr, 0);
      break;
  }
  call.state = State::arriving;
  arm(call, kNever);
}

}  // namespace llmcore
