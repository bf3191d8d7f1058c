// What the engine's tests by hand share: an engine whose clock the test moves, and short ways to say what happens.
//
// The engine is watched: besides what a test expects, every law must hold (watched_engine.hpp).
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "watched_engine.hpp"

namespace llmcore::testing {

/// Nothing is limited, and the first retry waits for exactly a second.
inline Config open_config() {
  Config config = Config::server();
  config.backoff.base = kSecond;
  config.backoff.cap = 8 * kSecond;
  config.backoff.jitter = Jitter::none;
  return config;
}

/// A full minute's burst of so many.
inline Config limited(std::int64_t requests, std::int64_t tokens = 0, std::int64_t in_flight = 0) {
  Config config = open_config();
  config.limits.requests_per_minute = requests;
  config.limits.tokens_per_minute = tokens;
  config.limits.max_in_flight = in_flight;
  config.limits.minute_burst = true;
  return config;
}

inline Config attempts(std::int64_t most) {
  Config config = open_config();
  config.recovery.max_attempts = most;
  config.recovery.breaker_errors = 1'000;
  return config;
}

/// A dollar for a million prompt tokens, two for a million generated ones.
inline std::shared_ptr<const PriceCard> dollar_card() {
  PriceCard card;
  card.base.input = 1'000'000'000;
  card.base.cache_read = card.base.cache_write_5m = card.base.cache_write_1h = card.base.input;
  card.base.output = card.base.reasoning = 2'000'000'000;
  return std::make_shared<const PriceCard>(card);
}

/// 100 tokens in, 100 out: at most 300,000 nano-dollars.
inline Target target_of(std::string provider) {
  Target target;
  target.model = provider + "-1";
  target.provider = std::move(provider);
  target.input_tokens = 100;
  target.output_tokens = 100;
  target.price = dollar_card();
  return target;
}

inline Target offline_target() {
  Target target;
  target.provider = "offline";
  target.model = "template";
  target.always_answers = true;
  return target;
}

/// A call that may go to these providers, in this order; "offline" always answers.
inline Submit call_to(const std::vector<std::string>& providers) {
  Submit submit;
  for (const std::string& provider : providers) {
    submit.targets.push_back(provider == "offline" ? offline_target() : target_of(provider));
  }
  return submit;
}

inline Submit with_priority(Submit submit, Priority priority) {
  submit.priority = priority;
  return submit;
}

inline Submit with_deadline(Submit submit, Duration deadline) {
  submit.deadline = deadline;
  return submit;
}

inline Submit with_tenant(Submit submit, std::string tenant) {
  submit.tenant = std::move(tenant);
  return submit;
}

/// The same text makes the same key, within a tenant.
inline Submit with_key(Submit submit, std::string_view request) {
  submit.key = fingerprint(submit.tenant, submit.targets.at(0).provider, submit.targets.at(0).model, request);
  return submit;
}

inline Usage usage_of(std::int64_t input, std::int64_t output) {
  Usage usage;
  usage.input_uncached = input;
  usage.output_text = output;
  return usage;
}

inline Blob text(std::string bytes) { return std::make_shared<const StringPayload>(std::move(bytes)); }

inline std::string text_of(const Blob& blob) {
  const auto* payload = dynamic_cast<const StringPayload*>(blob.get());
  return payload == nullptr ? std::string() : payload->bytes();
}

class Bench {
 public:
  static constexpr Instant kStart = 1'000 * kSecond;
  static constexpr WallTime kWallStart = 1'700'000'000 * kSecond;

  explicit Bench(const Config& config = open_config(), Instant start = kStart, std::int64_t check_every = 1)
      : watched_(config, check_every), now_{start, kWallStart} {}
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  ~Bench() { EXPECT_EQ(watched_.broken(), ""); }

  // --- time ---

  [[nodiscard]] Now now() const { return now_; }
  [[nodiscard]] Instant mono() const { return now_.mono; }
  /// Time passes; whatever falls due on the way is served punctually.
  void pass(Duration span) {
    const Instant until = now_.mono + span;
    for (int steps = 0; watched_.engine().next_deadline().value_or(kNever) <= until; ++steps) {
      if (steps > 100'000) {
        ADD_FAILURE() << "the engine never comes to the end of its timers";
        return;
      }
      tick_at(*watched_.engine().next_deadline());
    }
    tick_at(until);
  }
  /// One Tick then, and no other until then.
  void tick_at(Instant instant) {
    now_.wall += instant - now_.mono;
    now_.mono = instant;
    give(Tick{});
  }
  void set_clock(Now now) { now_ = now; }

  // --- inputs ---

  CallId submit(const Submit& submit) {
    const CallId id = watched_.submit(submit, now_);
    sort();
    return id;
  }
  void give(const Input& input) {
    watched_.handle(input, now_);
    sort();
  }
  void reply(CallId call, std::string_view answer = "answer", const Usage& usage = usage_of(100, 50)) {
    give(Replied{attempt(call), usage, nullptr, text(std::string(answer))});
  }
  void fail(CallId call, Outcome outcome, Duration retry_after = 0, std::optional<bool> should_retry = std::nullopt) {
    Failed failed;
    failed.attempt = attempt(call);
    failed.outcome = outcome;
    failed.retry_after = retry_after;
    failed.should_retry = should_retry;
    give(failed);
  }
  void stream(CallId call) { give(Streaming{attempt(call)}); }
  void cancel(CallId call) { give(Cancel{call}); }
  /// Three errors that nobody retries: with the usual configuration the breaker of the provider is open afterwards.
  void break_down(const std::string& provider, const std::string& tenant = "default") {
    for (int i = 0; i < 3; ++i) {
      fail(submit(with_tenant(call_to({provider}), tenant)), Outcome::server_error, 0, false);
    }
  }

  // --- what came of it ---

  /// The last attempt of the call that was sent; 0 before the first.
  [[nodiscard]] AttemptId attempt(CallId call) const { return sends(call).empty() ? 0 : sends(call).back().attempt; }
  [[nodiscard]] const std::vector<Send>& sends(CallId call) const { return find(sends_, call); }
  [[nodiscard]] const std::vector<Abort>& aborts(CallId call) const { return find(aborts_, call); }
  [[nodiscard]] const std::vector<AttemptRecord>& records(CallId call) const { return find(records_, call); }
  [[nodiscard]] const std::vector<AlertRecord>& alerts() const { return alerts_; }
  [[nodiscard]] bool in_flight(CallId call) const {
    return sends(call).size() > records(call).size() && !finished(call);
  }
  [[nodiscard]] bool finished(CallId call) const { return finishes_.count(call) != 0; }
  /// Of an unfinished call: one that says nothing.
  [[nodiscard]] Finish finish(CallId call) const {
    EXPECT_TRUE(finished(call)) << "call " << call;
    return finished(call) ? finishes_.at(call) : Finish{};
  }
  [[nodiscard]] Outcome outcome(CallId call) const { return finish(call).outcome; }
  /// Calls in the order of their Sends since the last time this was asked.
  [[nodiscard]] std::vector<CallId> order() { return std::exchange(order_, {}); }
  /// Every action since the last time this was asked.
  [[nodiscard]] std::vector<Action> actions() { return std::exchange(actions_, {}); }

  [[nodiscard]] const Engine& engine() const { return watched_.engine(); }
  [[nodiscard]] EngineStats stats() const { return watched_.engine().stats(); }
  [[nodiscard]] std::optional<Instant> next_deadline() const { return watched_.engine().next_deadline(); }
  [[nodiscard]] ErrorRecovery::Stats recovery(std::string_view provider) const {
    for (const ProviderStats& one : stats().providers) {
      if (one.provider == provider) return one.recovery;
    }
    return {};
  }
  [[nodiscard]] std::optional<LaneStats> lane(std::string_view provider, std::string_view tenant = "default") const {
    for (const LaneStats& one : stats().lanes) {
      if (one.provider == provider && one.tenant == tenant) return one;
    }
    return std::nullopt;
  }
  bool at_rest() { return watched_.at_rest(); }

 private:
  template <typename T>
  static const std::vector<T>& find(const std::map<CallId, std::vector<T>>& table, CallId call) {
    static const std::vector<T> kNone;
    const auto found = table.find(call);
    return found == table.end() ? kNone : found->second;
  }
  void sort() {
    for (Action& action : watched_.take_actions()) {
      if (const auto* send = std::get_if<Send>(&action)) {
        sends_[send->call].push_back(*send);
        order_.push_back(send->call);
      } else if (const auto* abort = std::get_if<Abort>(&action)) {
        aborts_[abort->call].push_back(*abort);
      } else if (const auto* finish = std::get_if<Finish>(&action)) {
        finishes_.emplace(finish->call, *finish);
      } else if (const auto* record = std::get_if<Record>(&action)) {
        if (const auto* body = std::get_if<AttemptRecord>(&record->body)) records_[record->call].push_back(*body);
        if (const auto* body = std::get_if<AlertRecord>(&record->body)) alerts_.push_back(*body);
      }
      actions_.push_back(std::move(action));
    }
  }

  WatchedEngine watched_;
  Now now_;
  std::map<CallId, std::vector<Send>> sends_;
  std::map<CallId, std::vector<Abort>> aborts_;
  std::map<CallId, std::vector<AttemptRecord>> records_;
  std::map<CallId, Finish> finishes_;
  std::vector<AlertRecord> alerts_;
  std::vector<CallId> order_;
  std::vector<Action> actions_;
};

}  // namespace llmcore::testing
