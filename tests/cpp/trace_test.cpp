// An hour of a real service's calls, driven through the engine in simulated time.
//
// The trace is the Azure LLM inference trace 2023 (code), published under CC-BY; it is not part of this project.
// LLMCORE_TRACES names the folder that holds azure_llm_2023_code.csv: TIMESTAMP,ContextTokens,GeneratedTokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine_harness.hpp"

namespace llmcore {
namespace {

using testing::dollar_card;
using testing::open_config;
using testing::usage_of;
using testing::WatchedEngine;

__extension__ typedef __int128 Int128;

struct Request {
  Instant at = 0;  // since the first
  std::int64_t prompt = 0;
  std::int64_t generated = 0;
};

/// "2023-11-16 18:17:03.9799600,4808,10": the trace lasts less than a day, so the time of the day is enough.
std::optional<Request> parse(const std::string& line) {
  unsigned hours = 0;
  unsigned minutes = 0;
  unsigned seconds = 0;
  char fraction[16] = "";
  Request request;
  long long prompt = 0;
  long long generated = 0;
  if (std::sscanf(line.c_str(), "%*d-%*d-%*d %u:%u:%u.%15[0-9],%lld,%lld", &hours, &minutes, &seconds, fraction,
                  &prompt, &generated) != 6) {
    return std::nullopt;
  }
  std::string digits = fraction;
  digits.resize(9, '0');
  request.at = hours * kHour + minutes * kMinute + seconds * kSecond + std::stoll(digits);
  request.prompt = prompt;
  request.generated = generated;
  return request;
}

/// Nothing if the environment names no trace.
std::optional<std::vector<Request>> read_trace() {
  const char* folder = std::getenv("LLMCORE_TRACES");
  if (folder == nullptr) return std::nullopt;
  std::ifstream file(std::string(folder) + "/azure_llm_2023_code.csv");
  std::vector<Request> trace;
  for (std::string line; std::getline(file, line);) {
    if (std::optional<Request> request = parse(line)) trace.push_back(*request);
  }
  const Instant first = trace.empty() ? 0 : trace.front().at;
  for (Request& request : trace) request.at -= first;
  return trace;
}

struct Sending {
  Instant at = 0;
  std::int64_t tokens = 0;  // that it reserved
};

struct Outcomes {
  std::vector<Sending> sends;
  std::map<Outcome, std::int64_t> finished;
  NanoUsd spent = 0;
  NanoUsd most_spent_and_reserved = 0;
  Duration longest_wait = 0;
  std::int64_t most_waiting = 0;
};

/// The provider needs 20 ms for each generated token and 0.2 ms for each of the prompt. Costs are what was used, at most.
Outcomes drive(const std::vector<Request>& trace, const Config& config) {
  WatchedEngine engine(config, 64);
  Outcomes all;
  std::map<std::pair<Instant, AttemptId>, CallId> answers;
  std::size_t next = 0;
  Now now{0, 1'700'000'000 * kSecond};
  const WallTime wall = now.wall;
  while (engine.broken().empty()) {
    const Instant arrival = next < trace.size() ? trace[next].at : kNever;
    const Instant answer = answers.empty() ? kNever : answers.begin()->first.first;
    const Instant due = engine.engine().next_deadline().value_or(kNever);
    const Instant first = std::min({arrival, answer, due});
    if (first == kNever) break;
    now.mono = std::max(now.mono, first);
    now.wall = wall + now.mono;
    if (answer == first) {
      const AttemptId attempt = answers.begin()->first.second;
      const Request& request = trace[answers.begin()->second - 1];
      answers.erase(answers.begin());
      engine.handle(Replied{attempt, usage_of(request.prompt, request.generated), nullptr, nullptr}, now);
    } else if (arrival == first) {
      Submit submit;
      Target target;
      target.provider = "azure";
      target.model = "code";
      target.input_tokens = trace[next].prompt;
      target.output_tokens = trace[next].generated + 200;  // nobody knows before how long an answer gets
      target.price = dollar_card();
      submit.targets.push_back(std::move(target));
      submit.priority = static_cast<Priority>(next % kPriorityCount);
      engine.submit(std::move(submit), now);
      ++next;
    } else {
      engine.handle(Tick{}, now);
    }
    for (const Action& action : engine.take_actions()) {
      if (const auto* send = std::get_if<Send>(&action)) {
        const Request& request = trace[send->call - 1];
        const Duration work = request.generated * 20 * kMillisecond + request.prompt * 200 * kMicrosecond;
        answers.emplace(std::make_pair(now.mono + work, send->attempt), send->call);
        all.sends.push_back({now.mono, request.prompt + request.generated + 200});
      } else if (const auto* finish = std::get_if<Finish>(&action)) {
        ++all.finished[finish->outcome];
        all.spent += finish->cost.value_or(0);
        all.longest_wait = std::max(all.longest_wait, finish->queued);
      } else if (std::holds_alternative<Abort>(action)) {
        const auto late = std::find_if(answers.begin(), answers.end(), [&](const auto& waiting) {
          return waiting.first.second == std::get<Abort>(action).attempt;
        });
        answers.erase(late);
      }
    }
    if (engine.inputs() % 64 == 0) {
      const EngineStats stats = engine.engine().stats();
      all.most_waiting = std::max(all.most_waiting, stats.queued);
      for (const Budget::Account& account : stats.budgets) {
        all.most_spent_and_reserved = std::max(all.most_spent_and_reserved, account.spent + account.reserved);
      }
    }
  }
  EXPECT_TRUE(engine.at_rest());
  EXPECT_EQ(engine.broken(), "");
  EXPECT_EQ(engine.engine().stats().submitted, static_cast<std::int64_t>(trace.size()));
  return all;
}

std::int64_t sum_of(const std::map<Outcome, std::int64_t>& finished) {
  std::int64_t sum = 0;
  for (const auto& [outcome, count] : finished) sum += count;
  return sum;
}

/// The largest amount in any minute, by a window that slides from send to send.
template <typename Amount>
std::int64_t most_in_a_minute(const std::vector<Sending>& sends, Amount&& amount_of) {
  std::int64_t most = 0;
  std::int64_t sum = 0;
  std::size_t first = 0;
  for (const Sending& send : sends) {
    sum += amount_of(send);
    while (send.at - sends[first].at >= kMinute) sum -= amount_of(sends[first++]);
    most = std::max(most, sum);
  }
  return most;
}

class Trace : public ::testing::Test {
 protected:
  void SetUp() override {
    std::optional<std::vector<Request>> trace = read_trace();
    if (!trace) GTEST_SKIP() << "set LLMCORE_TRACES to a folder with azure_llm_2023_code.csv to run this";
    trace_ = std::move(*trace);
    ASSERT_EQ(trace_.size(), 8'819U) << "LLMCORE_TRACES has no azure_llm_2023_code.csv, or another one";
  }
  std::vector<Request> trace_;
};

TEST_F(Trace, PassesThroughUnlimitedWithoutWaiting) {
  const Outcomes all = drive(trace_, open_config());
  EXPECT_EQ(all.finished.at(Outcome::ok), 8'819);
  EXPECT_EQ(all.longest_wait, 0);
}

TEST_F(Trace, HoldsTheRequestsOfEverySlidingMinute) {
  Config config = open_config();
  config.limits.requests_per_minute = 100;  // two thirds of what arrives
  const Outcomes all = drive(trace_, config);
  EXPECT_LE(most_in_a_minute(all.sends, [](const Sending&) { return std::int64_t{1}; }), 100);
  EXPECT_EQ(sum_of(all.finished), 8'819);
  EXPECT_GT(all.most_waiting, 100);
  EXPECT_GT(all.longest_wait, 10 * kSecond);
  // One after the other at even distances, a hundred a minute, would let 4,901 of them through: there are minutes without any.
  EXPECT_GE(all.sends.size(), 4'750U);
}

TEST_F(Trace, HoldsTheTokensOfEveryWindow) {
  Config config = open_config();
  config.limits.tokens_per_minute = 600'000;  // the busiest minutes want twice as much
  config.queue.class_timeout = {kMinute, kMinute, kMinute};
  config.deadline = config.attempt_timeout =
      kHour;  // so that every attempt ends with an answer, and gives back only what it did not use
  const Outcomes all = drive(trace_, config);
  EXPECT_EQ(sum_of(all.finished), 8'819);
  EXPECT_GT(all.longest_wait, kSecond);
  // What was reserved and not used comes back, at most 200 for each answer: the rest may never exceed the limit.
  const auto used = [](const Sending& send) { return send.tokens - 200; };
  EXPECT_LE(most_in_a_minute(all.sends, used), 600'000);
}

TEST_F(Trace, HoldsTheBurstAndTheRateOverEveryPairOfSends) {
  Config config = open_config();
  config.limits.requests_per_minute = 120;
  config.limits.tokens_per_minute = 1'000'000;
  config.limits.minute_burst = true;
  config.limits.max_in_flight = 8;
  const Outcomes all = drive(trace_, config);
  EXPECT_EQ(sum_of(all.finished), 8'819);
  for (std::size_t first = 0; first < all.sends.size(); ++first) {
    for (std::size_t last = first; last < all.sends.size(); ++last) {
      const Int128 allowed = Int128{120} * kMinute + Int128{120} * (all.sends[last].at - all.sends[first].at);
      ASSERT_LE(Int128{last - first + 1} * kMinute, allowed) << first << " to " << last;
    }
  }
}

TEST_F(Trace, SpendsNoMoreThanTheBudget) {
  const NanoUsd whole = drive(trace_, open_config()).spent;
  Config config = open_config();
  config.limits.requests_per_minute = 400;
  config.budgets = {BudgetRule{"global", Period::total, whole / 2, {50, 80, 100}},
                    BudgetRule{"model=code", Period::total, whole / 3, {100}}};
  const Outcomes all = drive(trace_, config);
  EXPECT_EQ(sum_of(all.finished), 8'819);
  EXPECT_GT(all.finished.at(Outcome::over_budget), 1'000);
  EXPECT_LE(all.spent, whole / 3);
  EXPECT_GT(all.spent, whole / 4) << "what there was to spend was spent";
  EXPECT_LE(all.most_spent_and_reserved, whole / 3);
}

TEST_F(Trace, RefusesInTheGamePresetWhatItCannotQueueAndLosesNothing) {
  const Outcomes all = drive(trace_, Config::game());
  EXPECT_EQ(sum_of(all.finished), 8'819);
  EXPECT_GT(all.finished.at(Outcome::queue_full), 0);
  EXPECT_LE(all.longest_wait, 10 * kSecond);
}

}  // namespace
}  // namespace llmcore
