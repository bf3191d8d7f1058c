// The engine's promises, each in the world that tries it hardest.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine_harness.hpp"
#include "llmcore/rng.hpp"
#include "simulator.hpp"

namespace llmcore {
namespace {

using testing::call_to;
using testing::open_config;
using testing::text;
using testing::WatchedEngine;

__extension__ typedef __int128 Int128;

struct Moment {
  Instant at = 0;
  std::int64_t tokens = 0;
};

/// Sends of one lane under far too much load, when every answer takes a random time and uses all that it may.
std::vector<Moment> sends_under_load(const RateLimiterConfig& limits, std::uint64_t seed, Duration span) {
  Config config = open_config();
  config.limits = limits;
  config.queue.class_timeout = {3 * kSecond, 3 * kSecond, 3 * kSecond};
  Rng rng(seed);
  WatchedEngine engine(config, 0);
  std::map<std::pair<Instant, AttemptId>, std::int64_t> answers;
  std::map<CallId, std::int64_t> tokens;
  std::vector<Moment> sends;
  Now now{0, 0};
  Instant next_call = 0;
  while (now.mono < span) {
    const Instant answer = answers.empty() ? kNever : answers.begin()->first.first;
    const Instant due = engine.engine().next_deadline().value_or(kNever);
    now.mono = std::max(now.mono, std::min({next_call, answer, due}));
    if (now.mono == next_call) {
      Submit submit = call_to({"alpha"});
      submit.targets[0].input_tokens = rng.between(1, 40);
      submit.targets[0].output_tokens = rng.between(1, 40);
      const std::int64_t worst = submit.targets[0].input_tokens + submit.targets[0].output_tokens;
      tokens[engine.submit(std::move(submit), now)] = worst;
      next_call = now.mono + rng.between(kMillisecond, 200 * kMillisecond);
    } else if (now.mono == answer) {
      const auto [id, used] = std::make_pair(answers.begin()->first.second, answers.begin()->second);
      answers.erase(answers.begin());
      engine.handle(Replied{id, testing::usage_of(used, 0), nullptr, nullptr}, now);
    } else {
      engine.handle(Tick{}, now);
    }
    for (const Action& action : engine.take_actions()) {
      const auto* send = std::get_if<Send>(&action);
      if (send == nullptr) continue;
      const std::int64_t used = tokens.at(send->call);
      sends.push_back({now.mono, used});
      answers.emplace(std::make_pair(now.mono + rng.between(0, 2 * kSecond), send->attempt), used);
    }
  }
  EXPECT_EQ(engine.broken(), "") << "seed " << seed;
  return sends;
}

TEST(EnginePromise, P4NoWindowAdmitsMoreThanTheBurstAndTheRate) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    RateLimiterConfig limits;
    limits.minute_burst = seed % 2 == 0;
    limits.requests_per_minute = 200;
    limits.tokens_per_minute = 7'000;
    const std::vector<Moment> sends = sends_under_load(limits, seed, 5 * kMinute);
    ASSERT_GT(sends.size(), 400U);
    const auto within = [&](std::int64_t limit, auto&& amount_of) {
      const std::int64_t burst = limits.minute_burst ? limit : limit * 15 / 1'000;
      const std::int64_t rate = limits.minute_burst ? limit : limit - burst;
      for (std::size_t first = 0; first < sends.size(); ++first) {
        std::int64_t sum = 0;
        for (std::size_t last = first; last < sends.size(); ++last) {
          sum += amount_of(sends[last]);
          const Duration span = sends[last].at - sends[first].at;
          ASSERT_LE(Int128{sum} * kMinute, Int128{burst} * kMinute + Int128{rate} * span) << "seed " << seed;
          // What the server preset promises: not even a sliding minute holds more than the limit.
          if (!limits.minute_burst && span <= kMinute) {
            ASSERT_LE(sum, limit) << "seed " << seed;
          }
        }
      }
    };
    within(limits.requests_per_minute, [](const Moment&) { return std::int64_t{1}; });
    within(limits.tokens_per_minute, [](const Moment& moment) { return moment.tokens; });
  }
}

TEST(EnginePromise, P4GivesTheLongRunNearlyAllOfTheLimit) {
  RateLimiterConfig limits;
  limits.minute_burst = false;
  limits.requests_per_minute = 200;
  const std::size_t sent = sends_under_load(limits, 1, 10 * kMinute).size();
  EXPECT_GE(sent, 10U * 196U);
  EXPECT_LE(sent, 10U * 200U + 3U);
}

TEST(EnginePromise, P5NeverSpendsMoreThanTheBudgetWhileCostsKeepToTheirWorstCase) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Rng rng(seed);
    Config config = open_config();
    const NanoUsd limit = rng.between(1'000'000, 30'000'000);
    config.budgets = {BudgetRule{"global", Period::total, limit, {}}};
    WatchedEngine engine(config, 16);
    std::vector<AttemptId> open;
    NanoUsd spent = 0;
    std::int64_t refused = 0;
    Now now{0, 0};
    for (int i = 0; i < 1'000; ++i) {
      now.mono += rng.between(0, kSecond);
      if (open.empty() || rng.below(3) != 0) {
        engine.submit(testing::with_deadline(call_to({"alpha"}), kHour), now);
      } else {
        const auto at = open.begin() + static_cast<std::ptrdiff_t>(rng.below(open.size()));
        engine.handle(Replied{*at, testing::usage_of(rng.between(0, 100), rng.between(0, 100)), nullptr, nullptr}, now);
      }
      for (const Action& action : engine.take_actions()) {
        if (const auto* send = std::get_if<Send>(&action)) open.push_back(send->attempt);
        if (const auto* finish = std::get_if<Finish>(&action)) refused += finish->outcome == Outcome::over_budget;
        if (const auto* record = std::get_if<Record>(&action)) {
          const auto& attempt = std::get<AttemptRecord>(record->body);
          spent += attempt.cost.value_or(0);
          open.erase(std::find(open.begin(), open.end(), attempt.attempt));
        }
        ASSERT_LE(spent, limit) << "seed " << seed;
      }
    }
    EXPECT_GT(refused, 0) << "seed " << seed << " did not come near its limit";
    ASSERT_EQ(engine.broken(), "") << "seed " << seed;
  }
}

TEST(EnginePromise, P7AProviderThatAlwaysFailsIsNotBuriedInRetries) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Rng rng(seed);
    Config config = open_config();
    config.recovery.breaker_errors = 1'000'000;  // or it would stop the calls before the budget does
    config.recovery.max_attempts = 10;
    config.backoff.base = config.backoff.cap = 0;
    WatchedEngine engine(config, 0);
    std::int64_t attempts = 0;
    std::int64_t calls = 0;
    Now now{0, 0};
    while (now.mono < 5 * kSecond) {
      now.mono += rng.between(0, 2 * kMillisecond);
      engine.submit(call_to({"alpha"}), now);
      ++calls;
      for (std::vector<Action> actions = engine.take_actions(); !actions.empty(); actions = engine.take_actions()) {
        for (const Action& action : actions) {
          const auto* send = std::get_if<Send>(&action);
          if (send == nullptr) continue;
          ++attempts;
          Failed failed;
          failed.attempt = send->attempt;
          engine.handle(failed, now);
        }
      }
      ASSERT_LE(Int128{attempts} * 10 * kSecond, Int128{calls} * 12 * kSecond + Int128{100} * (now.mono + kSecond));
    }
    EXPECT_GE(attempts * 100, calls * 119) << "what it may retry, it does";
    ASSERT_EQ(engine.broken(), "") << "seed " << seed;
  }
}

TEST(EnginePromise, P8OneCallPerKeyIsInFlight) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Rng rng(seed);
    Config config = open_config();
    config.cache.ttl = kSecond;
    config.limits.max_in_flight = 4;
    WatchedEngine engine(config, 16);
    std::map<CallId, std::uint64_t> key_of;
    std::map<std::uint64_t, AttemptId> open;
    Now now{0, 0};
    for (int i = 0; i < 1'000; ++i) {
      now.mono += rng.between(0, 300 * kMillisecond);
      const std::uint64_t key = rng.below(6);
      if (rng.below(2) == 0) {
        Submit submit = testing::with_key(call_to({"alpha"}), std::to_string(key));
        submit.deadline = rng.between(kMillisecond, 30 * kSecond);
        key_of[engine.submit(std::move(submit), now)] = key;
      } else if (rng.below(4) == 0) {
        engine.handle(Cancel{1 + rng.below(key_of.size() + 1)}, now);
      } else if (open.count(key) != 0) {
        Failed failed;
        failed.attempt = open[key];
        failed.outcome = rng.below(2) == 0 ? Outcome::server_error : Outcome::auth;
        if (rng.below(2) == 0) {
          engine.handle(Replied{open[key], {}, nullptr, text(std::to_string(key))}, now);
        } else {
          engine.handle(failed, now);
        }
      } else {
        engine.handle(Tick{}, now);
      }
      for (const Action& action : engine.take_actions()) {
        if (const auto* record = std::get_if<Record>(&action)) {
          const auto& attempt = std::get<AttemptRecord>(record->body);
          ASSERT_EQ(open[key_of.at(attempt.call)], attempt.attempt);
          open.erase(key_of.at(attempt.call));
        }
        if (const auto* send = std::get_if<Send>(&action)) {
          ASSERT_TRUE(open.emplace(key_of.at(send->call), send->attempt).second) << "seed " << seed;
        }
        if (const auto* finish = std::get_if<Finish>(&action)) {
          if (finish->payload) {
            ASSERT_EQ(testing::text_of(finish->payload), std::to_string(key_of.at(finish->call)));
          }
        }
      }
    }
    ASSERT_EQ(engine.broken(), "") << "seed " << seed;
  }
}

}  // namespace
}  // namespace llmcore
