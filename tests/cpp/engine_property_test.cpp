// What holds for the engine whatever comes: random inputs, and every law after each of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine_harness.hpp"
#include "llmcore/rng.hpp"
#include "simulator.hpp"

namespace llmcore {
namespace {

using testing::text;
using testing::WatchedEngine;
using testing::World;

std::string describe(const Usage& usage) {
  return std::to_string(usage.input_uncached) + "+" + std::to_string(usage.output_text);
}

std::string describe(const std::optional<NanoUsd>& cost) { return cost ? std::to_string(*cost) : "?"; }

/// Everything that an action says, but for its payload.
std::string describe(const Action& action) {
  const auto join = [](std::initializer_list<std::string> parts) {
    std::string line;
    for (const std::string& part : parts) line += part + " ";
    return line;
  };
  const auto number = [](auto value) { return std::to_string(static_cast<std::int64_t>(value)); };
  if (const auto* send = std::get_if<Send>(&action)) {
    return join({"send", number(send->call), number(send->attempt), number(send->number), number(send->target),
                 number(send->not_after)});
  }
  if (const auto* abort = std::get_if<Abort>(&action)) return join({"abort", number(abort->attempt)});
  if (const auto* finish = std::get_if<Finish>(&action)) {
    return join({"finish", number(finish->call), std::string(to_string(finish->outcome)),
                 std::string(to_string(finish->source)), number(finish->target), finish->provider, finish->model,
                 number(finish->attempts), number(finish->fallback), describe(finish->usage), describe(finish->cost),
                 number(finish->saved), number(finish->latency), number(finish->queued), number(finish->first_token),
                 number(finish->retry_hint), number(finish->refusal.has_value())});
  }
  const auto& record = std::get<Record>(action);
  if (const auto* attempt = std::get_if<AttemptRecord>(&record.body)) {
    return join({"attempt", number(attempt->attempt), attempt->provider, attempt->model,
                 std::string(to_string(attempt->outcome)), describe(attempt->usage), describe(attempt->cost),
                 number(attempt->started), number(attempt->latency), number(attempt->retry_after)});
  }
  const auto& alert = std::get<AlertRecord>(record.body);
  return join({"alert", alert.scope, number(alert.percent), number(alert.spent)});
}

using Step = std::pair<Input, Now>;

/// An engine with a log of what it did.
struct Logged {
  explicit Logged(const Config& config) : engine(config) {}

  void take(const Step& step) {
    if (const auto* submit = std::get_if<Submit>(&step.first)) {
      engine.submit(*submit, step.second);
    } else {
      engine.handle(step.first, step.second);
    }
    for (const Action& action : engine.take_actions()) {
      log.push_back(describe(action));
      if (const auto* send = std::get_if<Send>(&action)) open.push_back(send->attempt);
      if (const auto* record = std::get_if<Record>(&action)) {
        if (const auto* attempt = std::get_if<AttemptRecord>(&record->body)) {
          open.erase(std::find(open.begin(), open.end(), attempt->attempt));
        }
      }
      if (std::holds_alternative<Finish>(action)) ++finished;
    }
  }

  WatchedEngine engine;
  std::vector<std::string> log;
  std::vector<AttemptId> open;  // sent and not recorded
  std::int64_t finished = 0;
};

/// Hits the keys at random, but knows which attempts are open. Keeps what it hit, to be repeated.
class Monkey {
 public:
  explicit Monkey(std::uint64_t seed) : rng_(seed), config_(World::of(seed).config), logged_(config_) {}

  void play(int steps) {
    for (int i = 0; i < steps && logged_.engine.broken().empty(); ++i) {
      let_time_pass();
      hit(draw());
      if (rng_.below(50) == 0) {  // the clock goes back for one input
        const Now now = now_;
        now_.mono -= rng_.between(0, kHour);
        hit(draw());
        now_ = now;
      }
    }
  }
  /// Nobody answers any more.
  void let_all_time_pass() {
    while (const std::optional<Instant> next = logged_.engine.engine().next_deadline()) {
      now_.mono = std::max(now_.mono, *next);
      hit(Tick{});
      if (!logged_.engine.broken().empty()) return;
    }
  }

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const std::vector<Step>& steps() const { return steps_; }
  [[nodiscard]] Logged& logged() { return logged_; }

 private:
  void hit(const Input& input) {
    steps_.emplace_back(input, now_);
    logged_.take(steps_.back());
  }

  // Timers are served in time, so that a Tick more changes nothing.
  void let_time_pass() {
    Duration span = 0;
    switch (rng_.below(4)) {
      case 0: span = rng_.between(0, kMillisecond); break;
      case 1: span = rng_.between(0, kSecond); break;
      case 2: span = rng_.below(8) == 0 ? rng_.between(0, 30 * kSecond) : 0; break;
      default: break;
    }
    const Instant until = now_.mono + span;
    while (true) {
      const std::optional<Instant> next = logged_.engine.engine().next_deadline();
      if (!next || *next > until || !logged_.engine.broken().empty()) break;
      now_.mono = std::max(now_.mono, *next);
      hit(Tick{});
    }
    now_.mono = until;
    now_.wall += span;
    if (rng_.below(100) == 0) now_.wall += rng_.between(-kHour, kHour);
  }

  Input draw() {
    switch (rng_.below(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4: return draw_call();
      case 5:
      case 6:
      case 7: return Replied{attempt(), usage(), nullptr, rng_.below(4) == 0 ? nullptr : text("answer")};
      case 8:
      case 9:
      case 10: {
        Failed failed;
        failed.attempt = attempt();
        failed.outcome = static_cast<Outcome>(rng_.below(kOutcomeCount));
        if (rng_.below(8) == 0) failed.should_retry = rng_.below(2) == 0;
        if (rng_.below(3) == 0) failed.retry_after = rng_.between(-kSecond, 2 * kMinute);
        if (rng_.below(8) == 0) failed.usage = usage();
        return failed;
      }
      case 11: return Streaming{attempt()};
      case 12: return Cancel{1 + rng_.below(submitted_ + 2)};
      case 13: {
        Observed observed;
        observed.tenant = tenant();
        observed.provider = "p" + std::to_string(rng_.below(3));
        if (rng_.below(2) == 0) observed.limits.remaining_requests = rng_.between(-1, 20);
        if (rng_.below(2) == 0) observed.limits.remaining_tokens = rng_.between(-1, 20'000);
        observed.limits.requests_reset = rng_.between(-kSecond, kMinute);
        observed.limits.tokens_reset = rng_.between(-kSecond, kMinute);
        return observed;
      }
      default: return Tick{};
    }
  }

  Submit draw_call() {
    ++submitted_;
    Submit submit;
    submit.tenant = tenant();
    submit.priority = static_cast<Priority>(rng_.below(3));
    if (rng_.below(2) == 0) submit.deadline = rng_.between(1, kMinute);
    for (std::uint64_t length = 1 + rng_.below(3); length > 0; --length) {
      Target target = testing::target_of("p" + std::to_string(rng_.below(3)));
      target.input_tokens = rng_.between(0, rng_.below(10) == 0 ? 200'000 : 2'000);
      target.output_tokens = rng_.between(0, 1'000);
      if (rng_.below(20) == 0) target.price = nullptr;
      if (rng_.below(12) == 0) target.always_answers = true;
      submit.targets.push_back(std::move(target));
    }
    if (rng_.below(3) == 0) submit = testing::with_key(std::move(submit), std::to_string(rng_.below(4)));
    if (rng_.below(60) == 0) submit.targets[0].output_tokens = -1;
    if (rng_.below(4) == 0) submit.scopes.emplace_back("user", "u" + std::to_string(rng_.below(2)));
    return submit;
  }

  std::string tenant() { return "t" + std::to_string(rng_.below(3)); }
  Usage usage() { return testing::usage_of(rng_.between(rng_.below(50) == 0 ? -1 : 0, 2'000), rng_.between(0, 1'000)); }
  AttemptId attempt() {
    const std::vector<AttemptId>& open = logged_.open;
    if (open.empty() || rng_.below(20) == 0) return rng_.below(submitted_ * 1'024 + 2'048);
    return open[rng_.below(open.size())];
  }

  Rng rng_;
  Config config_;
  Logged logged_;
  Now now_{50 * kSecond, 1'700'000'000 * kSecond};
  std::uint64_t submitted_ = 0;
  std::vector<Step> steps_;
};

constexpr std::uint64_t kSeeds = 300;
constexpr int kSteps = 250;

TEST(EngineProperty, EveryLawHoldsUnderAnyInputs) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Monkey monkey(seed);
    monkey.play(kSteps);
    monkey.let_all_time_pass();
    EXPECT_TRUE(monkey.logged().engine.at_rest());
    ASSERT_EQ(monkey.logged().engine.broken(), "") << "seed " << seed;
    ASSERT_EQ(monkey.logged().finished, monkey.logged().engine.engine().stats().submitted) << "seed " << seed;
  }
}

TEST(EngineProperty, TheSameInputsMakeTheSameActionsAndTheSameHash) {
  for (std::uint64_t seed = 1; seed <= kSeeds / 3; ++seed) {
    Monkey monkey(seed);
    monkey.play(kSteps);
    Logged again(monkey.config());
    for (const Step& step : monkey.steps()) again.take(step);
    ASSERT_EQ(again.log, monkey.logged().log) << "seed " << seed;
    ASSERT_EQ(again.engine.engine().state_hash(), monkey.logged().engine.engine().state_hash()) << "seed " << seed;
  }
}

TEST(EngineProperty, ATickThatIsNotDueChangesNothing) {
  for (std::uint64_t seed = 1; seed <= kSeeds / 3; ++seed) {
    Monkey monkey(seed);
    monkey.play(kSteps);
    Rng rng(seed);
    Logged again(monkey.config());
    Instant reached = 0;
    for (const Step& step : monkey.steps()) {
      // Any time from the last input on, and before; nothing falls due before the next input.
      for (std::uint64_t ticks = reached == 0 ? 0 : rng.below(3); ticks > 0; --ticks) {
        Now now = step.second;
        now.mono = rng.below(4) == 0 ? reached - rng.between(0, kHour)
                                     : rng.between(std::min(reached, now.mono), std::max(reached, now.mono));
        if (again.engine.engine().next_deadline().value_or(kNever) <= now.mono) continue;
        const std::uint64_t before = again.engine.engine().state_hash();
        const std::size_t actions = again.log.size();
        again.take({Tick{}, now});
        ASSERT_EQ(again.engine.engine().state_hash(), before) << "seed " << seed;
        ASSERT_EQ(again.log.size(), actions) << "seed " << seed;
      }
      again.take(step);
      reached = std::max(reached, step.second.mono);
    }
    ASSERT_EQ(again.log, monkey.logged().log) << "seed " << seed;
    ASSERT_EQ(again.engine.engine().state_hash(), monkey.logged().engine.engine().state_hash()) << "seed " << seed;
  }
}

TEST(EngineProperty, CancellingEverythingAtAnyPointGivesEverythingBack) {
  for (std::uint64_t seed = 1; seed <= kSeeds / 3; ++seed) {
    Monkey monkey(seed);
    monkey.play(kSteps);
    Rng rng(seed);
    for (int cut = 0; cut < 4; ++cut) {
      const std::size_t length = 1 + rng.below(monkey.steps().size());
      Logged engine(monkey.config());
      for (std::size_t i = 0; i < length; ++i) engine.take(monkey.steps()[i]);
      const Now now = monkey.steps()[length - 1].second;
      std::vector<CallId> calls;
      for (CallId call = 1; call <= static_cast<CallId>(engine.engine.engine().stats().submitted); ++call) {
        if (!engine.engine.finished(call)) calls.push_back(call);
      }
      while (!calls.empty()) {
        const auto victim = calls.begin() + static_cast<std::ptrdiff_t>(rng.below(calls.size()));
        engine.take({Cancel{*victim}, now});
        calls.erase(victim);
      }
      EXPECT_TRUE(engine.engine.at_rest());
      ASSERT_EQ(engine.engine.broken(), "") << "seed " << seed << " cut after " << length;
    }
  }
}

}  // namespace
}  // namespace llmcore
