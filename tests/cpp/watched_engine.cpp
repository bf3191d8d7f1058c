#include "watched_engine.hpp"

#include <algorithm>
#include <variant>

namespace llmcore::testing {
namespace {

// However long a provider asks to wait, its lane comes back within a day.
constexpr Duration kLongestPause = 24 * kHour;

std::string name_of(CallId call) { return "call " + std::to_string(call); }

std::int64_t tokens_of(const Target& target) { return add_saturated(target.input_tokens, target.output_tokens); }

}  // namespace

// --- meters ----------------------------------------------------------------------------------------------------------

WatchedEngine::Meter WatchedEngine::Meter::of(std::int64_t limit, bool minute_burst, Instant now) {
  Meter meter;
  meter.at = now;
  if (limit == 0) return meter;
  meter.capacity = minute_burst ? limit : std::max<std::int64_t>(1, limit * 15 / 1000);
  meter.rate = minute_burst ? limit : std::max<Int128>(1, limit - meter.capacity);
  return meter;
}

void WatchedEngine::Meter::leak(Instant now) {
  level = std::max<Int128>(0, level - rate * (Int128{now} - at));
  at = now;
}

// One larger than the capacity goes when nothing of the burst is used.
bool WatchedEngine::Meter::admits(std::int64_t n) const {
  return capacity == 0 || n <= 0 || level + std::min<Int128>(n, capacity) * kMinute <= capacity * kMinute;
}

void WatchedEngine::Meter::add(std::int64_t n) {
  if (capacity != 0) level = std::max<Int128>(0, level + Int128{n} * kMinute);
}

// --- the way in ------------------------------------------------------------------------------------------------------

WatchedEngine::WatchedEngine(const Config& config, std::int64_t check_every)
    : config_(config), engine_(config), check_every_(check_every) {}

CallId WatchedEngine::submit(Submit submit, Now now) {
  begin(now);
  const CallId id = engine_.submit(submit, now);
  if (id != next_call_++) break_law("calls are not numbered one by one");
  Call& call = calls_[id];
  call.submitted_at = now_;
  call.deadline_at = add_saturated(now_, submit.deadline > 0 ? submit.deadline : config_.deadline);
  call.submit = std::move(submit);
  deadlines_.emplace(call.deadline_at, id);
  for (const Target& target : call.submit.targets) {
    if (!target.always_answers) ++providers_[target.provider].entered;
  }
  submitted_now_ = id;
  end();
  return id;
}

void WatchedEngine::handle(const Input& input, Now now) {
  begin(now);
  if (const auto* streaming = std::get_if<Streaming>(&input)) {
    if (Call* call = open_attempt(streaming->attempt)) call->streamed = true;
  } else if (const auto* reply = std::get_if<Replied>(&input)) {
    if (Call* call = open_attempt(reply->attempt)) {
      call->attempt->price = reply->price;
      call->answered = true;
      close(*call, Outcome::ok, reply->usage);
    }
  } else if (const auto* failure = std::get_if<Failed>(&input)) {
    if (Call* call = open_attempt(failure->attempt)) {
      call->attempt->price = failure->price;
      const bool sane = failure->outcome != Outcome::ok && static_cast<std::size_t>(failure->outcome) < kOutcomeCount;
      const Outcome outcome = sane ? failure->outcome : Outcome::server_error;
      const Target& target = call->at(call->attempt->target);
      if (outcome == Outcome::rate_limited && !target.always_answers && !call->streamed) {
        Lane& lane = lane_of(*call, target);
        const Duration pause = std::clamp<Duration>(failure->retry_after, 0, kLongestPause);
        lane.paused_until = std::max(lane.paused_until, add_saturated(now_, pause));
      }
      close(*call, outcome, failure->usage);
    }
  } else if (const auto* cancel = std::get_if<Cancel>(&input)) {
    if (calls_.count(cancel->call) == 0) {
      ++late_;
    } else {
      cancelled_now_ = cancel->call;
    }
  } else if (std::holds_alternative<Submit>(input)) {
    break_law("the witness takes calls by submit() only");
    return;
  }
  engine_.handle(input, now);
  end();
}

void WatchedEngine::begin(Now now) {
  if (inputs_++ == 0) {
    start_ = now.mono;
    now_ = now.mono;
  }
  if (now.mono < now_) ++regressions_;
  now_ = std::max(now_, now.mono);
  wall_ = now.wall;
  submitted_now_ = 0;
  cancelled_now_ = 0;
}

void WatchedEngine::end() {
  while (const std::optional<Action> action = engine_.poll()) {
    observe(*action);
    actions_.push_back(*action);
  }
  if (cancelled_now_ != 0 && calls_.count(cancelled_now_) != 0)
    break_law(name_of(cancelled_now_) + " outlives its end");
  if (!deadlines_.empty() && deadlines_.begin()->first <= now_) {
    break_law(name_of(deadlines_.begin()->second) + " outlives its deadline");
  }
  const std::optional<Instant> next = engine_.next_deadline();
  if (next && *next <= now_) break_law("a timer that is due was not served");
  if (!next && !deadlines_.empty() && deadlines_.begin()->first != kNever) break_law("no timer watches an open call");

  if (check_every_ == 0 || inputs_ % check_every_ != 0) return;
  const std::string complaint = engine_.check();
  if (!complaint.empty()) break_law("check(): " + complaint);
  const EngineStats stats = engine_.stats();
  const auto open = static_cast<std::int64_t>(open_attempts_.size());
  const auto unfinished = static_cast<std::int64_t>(calls_.size());
  if (stats.in_flight != open) break_law("in_flight is not what was sent and not closed");
  if (stats.in_flight + stats.queued + stats.backing_off + stats.following != unfinished) {
    break_law("the calls that are open are not where they could be");
  }
  if (stats.submitted != static_cast<std::int64_t>(next_call_ - 1)) break_law("submitted is miscounted");
  if (stats.finished != finishes_) break_law("finished is miscounted");
  if (stats.attempts != sends_) break_law("attempts is miscounted");
  if (stats.late != late_) break_law("late is miscounted");
  if (stats.clock_regressions != regressions_) break_law("clock_regressions is miscounted");
  check_accounts(stats);
}

std::vector<Action> WatchedEngine::take_actions() { return std::exchange(actions_, {}); }

bool WatchedEngine::at_rest() {
  if (!calls_.empty()) break_law(std::to_string(calls_.size()) + " calls never finished");
  if (!open_attempts_.empty()) break_law("an attempt was never closed");
  if (engine_.next_deadline()) break_law("a timer is armed though nothing waits");
  const EngineStats stats = engine_.stats();
  if (stats.finished != stats.submitted) break_law("not every submit has its finish");
  if (stats.in_flight != 0 || stats.queued != 0 || stats.backing_off != 0 || stats.following != 0) {
    break_law("a call is somewhere though all are finished");
  }
  if (stats.reserved_requests != 0) break_law("slots are held at rest");
  if (stats.reserved_tokens != 0) break_law("tokens are reserved at rest");
  if (stats.reserved_nano_usd != 0) break_law("money is reserved at rest");
  if (stats.late != late_) break_law("late is miscounted");
  std::int64_t outcomes = 0;
  for (const std::int64_t count : stats.outcomes) outcomes += count;
  if (outcomes != stats.finished) break_law("the outcomes do not add up to the calls");
  const std::string complaint = engine_.check();
  if (!complaint.empty()) break_law("check(): " + complaint);
  check_accounts(stats);
  return broken_.empty();
}

// --- the way out -----------------------------------------------------------------------------------------------------

void WatchedEngine::observe(const Action& action) {
  if (const auto* send = std::get_if<Send>(&action)) sent(*send);
  if (const auto* abort = std::get_if<Abort>(&action)) aborted(*abort);
  if (const auto* finish = std::get_if<Finish>(&action)) finished(*finish);
  if (const auto* record = std::get_if<Record>(&action)) {
    if (const auto* attempt = std::get_if<AttemptRecord>(&record->body)) recorded(*attempt);
    if (const auto* alert = std::get_if<AlertRecord>(&record->body)) alerted(*alert);
  }
}

void WatchedEngine::sent(const Send& send) {
  ++sends_;
  const auto found = calls_.find(send.call);
  if (found == calls_.end()) return break_law(name_of(send.call) + " is sent though it is over or unknown");
  Call& call = found->second;
  const std::string name = name_of(send.call);
  if (call.attempt) return break_law(name + " is sent while its last attempt is open or unrecorded");
  if (send.target >= call.submit.targets.size()) return break_law(name + " is sent to a target that it does not have");
  if (call.last_target && send.target < *call.last_target) break_law(name + " goes back in its chain");
  if (call.streamed) break_law(name + " is repeated after the user saw a part of the answer");
  if (call.answered) break_law(name + " is sent again after it was answered");
  if (!open_attempts_.emplace(send.attempt, send.call).second) break_law("two open attempts share an id");
  if (send.number != ++call.sends) break_law(name + " numbers its attempts wrongly");
  if (send.not_after <= now_) break_law(name + " is sent when its time is over");
  if (send.not_after > add_saturated(now_, config_.attempt_timeout)) break_law(name + " gets too much time");

  const Target& target = call.at(send.target);
  const bool again = call.last_target == send.target;
  call.last_target = send.target;
  call.sends_here = again ? call.sends_here + 1 : 1;
  Attempt attempt;
  attempt.id = send.attempt;
  attempt.number = send.number;
  attempt.target = send.target;
  attempt.sent_at = now_;
  attempt.sent_wall = wall_;
  attempt.not_after = send.not_after;
  if (target.always_answers) {
    deadlines_.erase({call.deadline_at, send.call});  // an answer that is certain may come a moment late
    call.attempt = std::move(attempt);
    return;
  }
  if (send.not_after > call.deadline_at) break_law(name + " may be worked on after its deadline");
  if (call.submit.key && ++in_flight_of_key_[*call.submit.key] > 1) break_law(name + " repeats a request in flight");

  Lane& lane = lane_of(call, target);
  const std::int64_t tokens = tokens_of(target);
  const std::int64_t most = lane.limits.tokens_per_minute;
  const std::int64_t counted = most > 0 ? std::min(tokens, most) : tokens;
  lane.requests.leak(now_);
  lane.tokens.leak(now_);
  if (!lane.requests.admits(1)) break_law(name + " exceeds the requests per minute");
  if (!lane.tokens.admits(counted)) break_law(name + " exceeds the tokens per minute");
  lane.requests.add(1);
  lane.tokens.add(counted);
  if (most > 0 && tokens > most && lane.in_flight > 0) break_law(name + " should have gone alone");
  if (++lane.in_flight > lane.limits.max_in_flight && lane.limits.max_in_flight > 0) {
    break_law(name + " exceeds the calls in flight");
  }
  if (now_ < lane.paused_until) break_law(name + " is sent before the time that the provider asked for");

  Provider& provider = providers_[target.provider];
  if (provider.open) {
    if (now_ < provider.open_until) break_law(name + " is sent through an open breaker");
    if (provider.probe != 0) break_law(name + " is sent while a probe is out");
    provider.probe = send.attempt;
  }
  if (again) {
    if (call.sends_here > config_.recovery.max_attempts) break_law(name + " is tried too often");
    ++provider.retries;
    const Int128 by_calls = Int128{provider.entered} * config_.recovery.retry_percent * kSecond;
    const Int128 by_time = Int128{100} * config_.recovery.retries_per_second * (Int128{now_} - start_ + kSecond);
    if (Int128{100} * provider.retries * kSecond > by_calls + by_time) break_law(name + " exceeds the retry budget");
  }

  const std::vector<std::pair<std::size_t, std::string>> accounts = accounts_of(call, target);
  if (!accounts.empty()) {
    const std::optional<NanoUsd> worst =
        target.price ? worst_case_cost(*target.price, target.input_tokens, target.output_tokens, target.images)
                     : std::nullopt;
    if (!worst) break_law(name + " is sent under a budget at an unknown price");
    attempt.worst_case = worst.value_or(0);
    for (const auto& key : accounts) {
      Account& account = accounts_[key];
      account.reserved += attempt.worst_case;
      if (account.spent + account.reserved > config_.budgets[key.first].limit + account.excess) {
        break_law(name + " overshoots the budget of " + key.second);
      }
    }
  }
  call.attempt = std::move(attempt);
}

void WatchedEngine::aborted(const Abort& abort) {
  const auto found = open_attempts_.find(abort.attempt);
  if (found == open_attempts_.end() || found->second != abort.call) {
    return break_law(name_of(abort.call) + " aborts what is not open");
  }
  Call& call = calls_.at(abort.call);
  if (abort.call == cancelled_now_) return close(call, Outcome::cancelled, Usage{});
  if (call.attempt->not_after > now_) break_law(name_of(abort.call) + " is aborted without cause");
  close(call, Outcome::timeout, Usage{});
}

void WatchedEngine::recorded(const AttemptRecord& record) {
  const std::string name = name_of(record.call);
  const auto found = calls_.find(record.call);
  if (found == calls_.end()) return break_law(name + " is recorded after its end");
  Call& call = found->second;
  if (!call.attempt || call.attempt->open) return break_law(name + " records an attempt that is not over");
  const Attempt attempt = *std::exchange(call.attempt, std::nullopt);
  const Target& target = call.at(attempt.target);
  if (record.attempt != attempt.id || record.number != attempt.number || record.target != attempt.target ||
      record.provider != target.provider || record.model != target.model || record.outcome != attempt.outcome ||
      record.started != attempt.sent_wall || record.latency != attempt.closed_at - attempt.sent_at) {
    break_law(name + " records something else than what happened");
  }
  const bool sane = attempt.usage.valid();
  const Usage usage = sane ? attempt.usage : Usage{};
  std::optional<NanoUsd> cost = 0;
  if (!target.always_answers && (attempt.outcome == Outcome::ok || attempt.usage != Usage{})) {
    const PriceCard* card = attempt.price ? attempt.price.get() : target.price.get();
    cost = card != nullptr && sane ? cost_of(*card, usage) : std::nullopt;
  }
  if (record.usage != usage) break_law(name + " records another usage than was reported");
  if (record.cost != cost) break_law(name + " records another cost than its usage has");
  call.usage += usage;
  if (call.cost && cost) {
    call.cost = add_saturated(*call.cost, *cost);
  } else {
    call.cost.reset();
  }
  if (target.always_answers) return;
  const NanoUsd charged = std::max<NanoUsd>(cost.value_or(attempt.worst_case), 0);
  for (const auto& key : accounts_of(call, target)) {
    Account& account = accounts_[key];
    account.reserved -= attempt.worst_case;
    account.spent += charged;
    account.excess += std::max<NanoUsd>(charged - attempt.worst_case, 0);
  }
}

void WatchedEngine::alerted(const AlertRecord& alert) {
  const std::string whose = "the alert of " + alert.scope;
  if (alert.rule >= config_.budgets.size()) return break_law(whose + " belongs to no rule");
  const BudgetRule& rule = config_.budgets[alert.rule];
  if (Int128{alert.spent} * 100 < Int128{rule.limit} * alert.percent) break_law(whose + " comes too early");
  if (rule.period != Period::total) return;
  if (!alerts_.emplace(alert.rule, alert.scope + " " + std::to_string(alert.percent)).second) {
    break_law(whose + " comes twice");
  }
}

void WatchedEngine::finished(const Finish& finish) {
  ++finishes_;
  const std::string name = name_of(finish.call);
  const auto found = calls_.find(finish.call);
  if (found == calls_.end()) return break_law(name + " finishes twice or is unknown");
  const Call& call = found->second;
  if (call.attempt) break_law(name + " finishes before its last attempt is closed and recorded");
  if ((finish.outcome == Outcome::ok) != (finish.source != Source::none)) break_law(name + " answers without a source");
  if ((finish.source == Source::provider) != call.answered) break_law(name + " is answered by nobody");
  if (finish.source == Source::cache || finish.source == Source::joined) {
    if (!call.submit.key || call.sends != 0) break_law(name + " shares an answer that it may not have");
    if (finish.cost != 0) break_law(name + " pays for a shared answer");
  }
  if (finish.source == Source::cache && finish.call != submitted_now_) break_law(name + " meets the cache too late");
  if (finish.outcome == Outcome::cancelled && finish.call != cancelled_now_ && call.sends == 0) {
    break_law(name + " was cancelled by nobody");
  }
  if (finish.source == Source::provider && finish.target != call.last_target) break_law(name + " names a wrong target");
  if (finish.target < call.submit.targets.size() &&
      (finish.provider != call.at(finish.target).provider || finish.model != call.at(finish.target).model)) {
    break_law(name + " names a provider that it did not ask for");
  }
  if (finish.attempts != call.sends) break_law(name + " miscounts its attempts");
  if (finish.usage != call.usage) break_law(name + " misadds its usage");
  if (finish.cost != call.cost) break_law(name + " misadds its cost");
  if (finish.latency != now_ - call.submitted_at) break_law(name + " mistakes its latency");
  if (finish.queued < 0 || finish.queued > finish.latency) break_law(name + " waited longer than it lived");
  if (finish.refusal && finish.outcome != Outcome::over_budget) break_law(name + " has a refusal and another outcome");
  if (finish.retry_hint < 0) break_law(name + " hints at the past");
  deadlines_.erase({call.deadline_at, finish.call});
  calls_.erase(found);
}

// --- books -----------------------------------------------------------------------------------------------------------

WatchedEngine::Call* WatchedEngine::open_attempt(AttemptId id) {
  const auto found = open_attempts_.find(id);
  if (found == open_attempts_.end()) {
    ++late_;
    return nullptr;
  }
  return &calls_.at(found->second);
}

void WatchedEngine::close(Call& call, Outcome outcome, const Usage& usage) {
  Attempt& attempt = *call.attempt;
  attempt.open = false;
  attempt.closed_at = now_;
  attempt.outcome = outcome;
  attempt.usage = usage;
  open_attempts_.erase(attempt.id);
  const Target& target = call.at(attempt.target);
  if (target.always_answers) return;
  if (call.submit.key && --in_flight_of_key_[*call.submit.key] == 0) in_flight_of_key_.erase(*call.submit.key);
  Lane& lane = lane_of(call, target);
  --lane.in_flight;
  const std::int64_t most = lane.limits.tokens_per_minute;
  const std::int64_t reserved = most > 0 ? std::min(tokens_of(target), most) : tokens_of(target);
  const std::int64_t used = usage.valid() ? usage.total_tokens() : 0;
  lane.tokens.leak(now_);
  // What is used beyond the reservation is left out: the engine takes it unless the provider has counted it already.
  lane.tokens.add(-std::max<std::int64_t>(reserved - used, 0));
  // A call that waited for most of its time, and then ran out of it, says nothing about the provider.
  const Duration patience = call.submit.deadline > 0 ? call.submit.deadline : config_.deadline;
  const bool cut_short = outcome == Outcome::timeout && now_ >= call.deadline_at &&
                         now_ - attempt.sent_at < std::min(patience, config_.attempt_timeout) / 2;
  judge(target, attempt.id, cut_short ? Outcome::cancelled : outcome);
}

// The breaker, as the design describes it.
void WatchedEngine::judge(const Target& target, AttemptId attempt, Outcome outcome) {
  Provider& provider = providers_[target.provider];
  const bool probe = provider.probe == attempt;
  if (probe) provider.probe = 0;
  if (outcome == Outcome::cancelled) return;
  const bool unwell = outcome == Outcome::timeout || outcome == Outcome::connection || outcome == Outcome::overloaded ||
                      outcome == Outcome::server_error;
  if (provider.open && !probe) return;
  if (!unwell) {
    provider.open = false;
    provider.errors_in_a_row = 0;
  } else if (provider.open || ++provider.errors_in_a_row >= config_.recovery.breaker_errors) {
    provider.open = true;
    provider.open_until = add_saturated(now_, config_.recovery.cooldown);
  }
}

WatchedEngine::Lane& WatchedEngine::lane_of(const Call& call, const Target& target) {
  const auto [found, fresh] = lanes_.try_emplace({call.submit.tenant, target.provider});
  Lane& lane = found->second;
  if (fresh) {
    const auto own = config_.provider_limits.find(target.provider);
    lane.limits = own == config_.provider_limits.end() ? config_.limits : own->second;
    lane.requests = Meter::of(lane.limits.requests_per_minute, lane.limits.minute_burst, now_);
    lane.tokens = Meter::of(lane.limits.tokens_per_minute, lane.limits.minute_burst, now_);
    lane.paused_until = start_;
  }
  return lane;
}

// Only of the rules that hold for all time: the others depend on which period a clock that jumps is in.
std::vector<std::pair<std::size_t, std::string>> WatchedEngine::accounts_of(const Call& call,
                                                                            const Target& target) const {
  std::set<std::string> scopes{"global", "tenant=" + call.submit.tenant, "provider=" + target.provider,
                               "model=" + target.model};
  if (!call.submit.call_type.empty()) scopes.insert("call_type=" + call.submit.call_type);
  for (const auto& [key, value] : call.submit.scopes) scopes.insert(key + "=" + value);
  std::vector<std::pair<std::size_t, std::string>> accounts;
  for (std::size_t rule = 0; rule < config_.budgets.size(); ++rule) {
    if (config_.budgets[rule].period != Period::total) continue;
    const std::string& watched = config_.budgets[rule].scope;
    for (const std::string& scope : scopes) {
      const bool any = watched.size() > 2 && watched.compare(watched.size() - 2, 2, "=*") == 0 &&
                       scope.compare(0, watched.size() - 1, watched, 0, watched.size() - 1) == 0;
      if (scope == watched || any) accounts.emplace_back(rule, scope);
    }
  }
  return accounts;
}

void WatchedEngine::check_accounts(const EngineStats& stats) {
  std::map<std::pair<std::size_t, std::string>, Account> mine;
  for (const auto& [key, account] : accounts_) {
    if (account.spent != 0 || account.reserved != 0) mine.emplace(key, account);
  }
  for (const Budget::Account& account : stats.budgets) {
    if (account.spent < 0 || account.reserved < 0) break_law("the account " + account.scope + " is below nothing");
    if (account.period != Period::total) continue;
    const auto found = mine.find({account.rule, account.scope});
    if (found == mine.end() || found->second.spent != account.spent || found->second.reserved != account.reserved) {
      break_law("the account " + account.scope + " does not hold what was spent and reserved");
    } else {
      mine.erase(found);
    }
  }
  if (!mine.empty()) break_law("the account " + mine.begin()->first.second + " was forgotten");
}

void WatchedEngine::break_law(const std::string& law) {
  if (broken_.empty()) broken_ = law + " (input " + std::to_string(inputs_) + ", instant " + std::to_string(now_) + ")";
}

}  // namespace llmcore::testing
