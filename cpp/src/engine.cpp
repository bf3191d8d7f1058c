#include "llmcore/engine.hpp"

#include <algorithm>
#include <stdexcept>

#include "engine_impl.hpp"

namespace llmcore {
namespace {

const Config& usable(const Config& config) {
  const std::vector<std::string> problems = config.problems();
  if (problems.empty()) return config;
  std::string text;
  for (const std::string& problem : problems) {
    if (!text.empty()) text += "; ";
    text += problem;
  }
  throw std::invalid_argument(text);
}

}  // namespace

std::string_view to_string(Source source) noexcept {
  switch (source) {
    case Source::none: return "none";
    case Source::provider: return "provider";
    case Source::cache: return "cache";
    case Source::joined: return "joined";
  }
  return "none";
}

Engine::Impl::Impl(const Config& config)
    : config_(usable(config)),
      backoff_(config_.backoff),
      budget_(config_.budgets),
      cache_(config_.cache),
      tracker_(config_.tracker),
      rng_(config_.seed),
      forget_lanes_at_(static_cast<std::size_t>(config_.max_lanes)) {}

CallId Engine::Impl::submit(Submit submit, Now now) {
  advance(now);
  const CallId id = next_call_++;
  Call& call = calls_.try_emplace(id).first->second;
  call.id = id;
  call.submit = std::move(submit);
  call.submitted_at = now_;
  call.waiting_since = now_;
  const Duration patience = call.submit.deadline > 0 ? call.submit.deadline : config_.deadline;
  call.deadline_at = add_saturated(now_, patience);
  if (well_formed(call.submit)) {
    admit(call);
  } else {
    give_up(call, Outcome::bad_request);
  }
  fire_timers();
  settle_down();
  return id;
}

void Engine::Impl::handle(const Input& input, Now now) {
  if (const auto* submitted = std::get_if<Submit>(&input)) {
    submit(*submitted, now);
    return;
  }
  advance(now);
  // The input first, timers after: an answer that arrives together with its deadline still counts.
  if (const auto* first_byte = std::get_if<Streaming>(&input)) streaming(*first_byte);
  if (const auto* reply = std::get_if<Replied>(&input)) replied(*reply);
  if (const auto* failure = std::get_if<Failed>(&input)) failed(*failure);
  if (const auto* headers = std::get_if<Observed>(&input)) observed(*headers);
  if (const auto* wish = std::get_if<Cancel>(&input)) cancel(*wish);
  fire_timers();
  settle_down();
}

std::optional<Action> Engine::Impl::poll() {
  if (actions_.empty()) return std::nullopt;
  Action action = std::move(actions_.front());
  actions_.pop_front();
  return action;
}

std::optional<Instant> Engine::Impl::next_deadline() const {
  Instant next = kNever;
  if (!call_timers_.empty()) next = call_timers_.begin()->first;
  if (!lane_timers_.empty()) next = std::min(next, lane_timers_.begin()->first);
  if (next == kNever) return std::nullopt;
  return next;
}

void Engine::Impl::advance(Now now) {
  if (started_ && now.mono < now_) {
    ++clock_regressions_;
  } else {
    now_ = now.mono;
  }
  started_ = true;
  wall_ = now.wall;
}

void Engine::Impl::settle_down() {
  // Pumping a lane can fail calls over to another lane or make a follower the leader: go on until no lane has news. Lanes in order
  // of their age.
  while (!new_leaders_.empty() || !dirty_.empty()) {
    if (!new_leaders_.empty()) {
      const CallId id = new_leaders_.front();
      new_leaders_.pop_front();
      enter_target(calls_.at(id));
      continue;
    }
    const LaneId id = *dirty_.begin();
    dirty_.erase(dirty_.begin());
    const auto found = lane_by_id_.find(id);
    if (found != lane_by_id_.end()) pump(*found->second);
  }
  if (lanes_.size() > forget_lanes_at_) forget_idle_lanes();
}

void Engine::Impl::emit(Action action) {
  std::uint64_t hash = mix64(history_, action.index());
  if (const auto* sent = std::get_if<Send>(&action)) {
    hash = mix64(mix64(hash, sent->attempt), static_cast<std::uint64_t>(sent->not_after));
  } else if (const auto* aborted = std::get_if<Abort>(&action)) {
    hash = mix64(hash, aborted->attempt);
  } else if (const auto* finished = std::get_if<Finish>(&action)) {
    hash = mix64(mix64(hash, finished->call), static_cast<std::uint64_t>(finished->outcome));
    hash = mix64(mix64(hash, finished->attempts), static_cast<std::uint64_t>(finished->cost.value_or(-1)));
  } else if (const auto* record = std::get_if<Record>(&action)) {
    hash = mix64(mix64(hash, record->call), record->body.index());
  }
  history_ = hash;
  actions_.push_back(std::move(action));
}

Engine::Engine(const Config& config) : impl_(std::make_unique<Impl>(config)) {}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

CallId Engine::submit(Submit submit, Now now) { return impl_->submit(std::move(submit), now); }
void Engine::handle(const Input& input, Now now) { impl_->handle(input, now); }
std::optional<Action> Engine::poll() { return impl_->poll(); }
std::optional<Instant> Engine::next_deadline() const { return impl_->next_deadline(); }
EngineStats Engine::stats() const { return impl_->stats(); }
std::int64_t Engine::unhealthy() const noexcept { return impl_->unhealthy(); }
const TokenTracker& Engine::tracker() const { return impl_->tracker(); }
void Engine::for_each_cached(const std::function<void(const Fingerprint&, const Blob&)>& function) const {
  impl_->for_each_cached(function);
}
std::uint64_t Engine::state_hash() const { return impl_->state_hash(); }
std::string Engine::check() const { return impl_->check(); }

}  // namespace llmcore
