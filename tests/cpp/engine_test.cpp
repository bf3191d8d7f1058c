// The engine's contract: what goes in, what comes out, late and senseless inputs, streaming, the hash.
#include "llmcore/engine.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine_harness.hpp"

namespace llmcore {
namespace {

using testing::Bench;
using testing::call_to;
using testing::open_config;
using testing::target_of;
using testing::text;
using testing::text_of;
using testing::usage_of;

// --- a call's way ----------------------------------------------------------------------------------------------------

TEST(Engine, DoesNothingBeforeTheFirstInput) {
  Engine engine(open_config());
  EXPECT_FALSE(engine.poll());
  EXPECT_FALSE(engine.next_deadline());
  EXPECT_EQ(engine.check(), "");
  EXPECT_EQ(engine.stats().submitted, 0);
}

TEST(Engine, RefusesAConfigurationAndNamesEveryProblem) {
  Config config;
  config.deadline = 0;
  config.limits.max_in_flight = -1;
  try {
    const Engine engine(config);
    ADD_FAILURE() << "accepted";
  } catch (const std::invalid_argument& refused) {
    const std::string said = refused.what();
    EXPECT_NE(said.find("deadline"), std::string::npos) << said;
    EXPECT_NE(said.find("max_in_flight"), std::string::npos) << said;
  }
}

TEST(Engine, SendsACallThatMayGoAtOnce) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha"}));
  ASSERT_EQ(bench.sends(call).size(), 1U);
  const Send send = bench.sends(call)[0];
  EXPECT_EQ(send.call, call);
  EXPECT_EQ(send.number, 1U);
  EXPECT_EQ(send.target, 0U);
  EXPECT_EQ(send.not_after, bench.mono() + 60 * kSecond);
  EXPECT_EQ(bench.next_deadline(), send.not_after);
  EXPECT_EQ(bench.stats().in_flight, 1);
}

TEST(Engine, FinishesACallThatWasAnswered) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.pass(2 * kSecond);
  bench.reply(call, "forty-two", usage_of(100, 50));
  const Finish finish = bench.finish(call);
  EXPECT_EQ(finish.outcome, Outcome::ok);
  EXPECT_EQ(finish.source, Source::provider);
  EXPECT_EQ(finish.target, 0U);
  EXPECT_EQ(finish.provider, "alpha");
  EXPECT_EQ(finish.model, "alpha-1");
  EXPECT_EQ(finish.attempts, 1U);
  EXPECT_FALSE(finish.fallback);
  EXPECT_EQ(finish.usage, usage_of(100, 50));
  EXPECT_EQ(finish.cost, 200'000);
  EXPECT_EQ(finish.saved, 0);
  EXPECT_EQ(finish.latency, 2 * kSecond);
  EXPECT_EQ(finish.queued, 0);
  EXPECT_EQ(finish.first_token, 0);
  EXPECT_EQ(text_of(finish.payload), "forty-two");
  EXPECT_TRUE(bench.at_rest());
}

TEST(Engine, RecordsTheAttemptBeforeTheFinish) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha"}));
  static_cast<void>(bench.actions());
  bench.pass(kSecond);
  bench.reply(call);
  const std::vector<Action> actions = bench.actions();
  ASSERT_EQ(actions.size(), 2U);
  ASSERT_TRUE(std::holds_alternative<Record>(actions[0]));
  EXPECT_TRUE(std::holds_alternative<Finish>(actions[1]));
  const auto& record = std::get<AttemptRecord>(std::get<Record>(actions[0]).body);
  EXPECT_EQ(record.call, call);
  EXPECT_EQ(record.attempt, bench.attempt(call));
  EXPECT_EQ(record.number, 1U);
  EXPECT_EQ(record.provider, "alpha");
  EXPECT_EQ(record.model, "alpha-1");
  EXPECT_EQ(record.outcome, Outcome::ok);
  EXPECT_EQ(record.usage, usage_of(100, 50));
  EXPECT_EQ(record.cost, 200'000);
  EXPECT_EQ(record.started, Bench::kWallStart);
  EXPECT_EQ(record.latency, kSecond);
}

TEST(Engine, TakesASubmitThroughHandleAsWell) {
  Engine one(open_config());
  Engine other(open_config());
  const Submit submit = call_to({"alpha"});
  EXPECT_EQ(one.submit(submit, {5, 5}), 1U);
  other.handle(submit, {5, 5});
  EXPECT_EQ(one.state_hash(), other.state_hash());
  EXPECT_EQ(std::get<Send>(*other.poll()).call, 1U);
}

TEST(Engine, MovesWithEverythingThatIsInFlight) {
  Engine first(open_config());
  first.submit(call_to({"alpha"}), {0, 0});
  Engine second(std::move(first));
  const AttemptId attempt = std::get<Send>(*second.poll()).attempt;
  Engine third(open_config());
  third = std::move(second);
  third.handle(Replied{attempt, {}, nullptr, text("x")}, {1, 1});
  EXPECT_EQ(third.stats().finished, 1);
  EXPECT_EQ(third.check(), "");
}

TEST(Engine, CountsAFinishedCallInTheTracker) {
  Bench bench;
  Submit submit = call_to({"alpha"});
  submit.call_type = "chat";
  bench.reply(bench.submit(submit));
  const auto rows = bench.engine().tracker().rows();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].model, "alpha-1");
  EXPECT_EQ(rows[0].call_type, "chat");
  EXPECT_EQ(rows[0].totals.calls, 1);
  EXPECT_EQ(rows[0].totals.cost, 200'000);
}

TEST(Engine, NamesTheSourcesOfAnswers) {
  EXPECT_EQ(to_string(Source::none), "none");
  EXPECT_EQ(to_string(Source::provider), "provider");
  EXPECT_EQ(to_string(Source::cache), "cache");
  EXPECT_EQ(to_string(Source::joined), "joined");
}

// --- senseless inputs ------------------------------------------------------------------------------------------------

TEST(Engine, RefusesMalformedSubmitsThroughTheSameExit) {
  std::vector<std::pair<std::string, Submit>> malformed;
  const auto add = [&](const std::string& name, const auto& spoil) {
    Submit submit = call_to({"alpha"});
    spoil(submit);
    malformed.emplace_back(name, submit);
  };
  add("no target", [](Submit& s) { s.targets.clear(); });
  add("17 targets", [](Submit& s) { s.targets.resize(17, target_of("alpha")); });
  add("a target without a provider", [](Submit& s) { s.targets[0].provider.clear(); });
  add("negative input", [](Submit& s) { s.targets[0].input_tokens = -1; });
  add("negative output", [](Submit& s) { s.targets[0].output_tokens = -1; });
  add("negative images", [](Submit& s) { s.targets[0].images = -1; });
  add("absurd input", [](Submit& s) { s.targets[0].input_tokens = std::numeric_limits<std::int64_t>::max(); });
  add("a second target that is malformed", [](Submit& s) {
    s.targets.push_back(target_of("beta"));
    s.targets[1].output_tokens = -1;
  });
  add("a deadline in the past", [](Submit& s) { s.deadline = -1; });
  add("no such priority", [](Submit& s) { s.priority = static_cast<Priority>(3); });
  for (const auto& [name, submit] : malformed) {
    SCOPED_TRACE(name);
    Bench bench;
    const CallId call = bench.submit(submit);
    EXPECT_EQ(bench.outcome(call), Outcome::bad_request);
    EXPECT_TRUE(bench.sends(call).empty());
    EXPECT_TRUE(bench.at_rest());
  }
}

TEST(Engine, AcceptsSixteenTargetsAndTheLargestEstimates) {
  Bench bench;
  Submit submit;
  submit.targets.resize(16, target_of("alpha"));
  submit.targets[0].input_tokens = submit.targets[0].output_tokens = std::int64_t{1} << 53;
  EXPECT_TRUE(bench.in_flight(bench.submit(submit)));
}

TEST(Engine, TakesAFailureWithoutAReasonForAServerError) {
  Bench bench;
  const CallId ok = bench.submit(call_to({"alpha"}));
  bench.fail(ok, Outcome::ok, 0, false);
  EXPECT_EQ(bench.outcome(ok), Outcome::server_error);
  const CallId unknown = bench.submit(call_to({"alpha"}));
  bench.fail(unknown, static_cast<Outcome>(kOutcomeCount), 0, false);
  EXPECT_EQ(bench.outcome(unknown), Outcome::server_error);
}

TEST(Engine, TakesNoImpossibleUsageAtItsWord) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.reply(call, "x", usage_of(-1, 50));
  EXPECT_EQ(bench.outcome(call), Outcome::ok);
  EXPECT_EQ(bench.finish(call).usage, Usage{});
  EXPECT_EQ(bench.finish(call).cost, std::nullopt) << "what cannot be told did not cost nothing";
}

TEST(Engine, TreatsANegativeRetryAfterAsNone) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.fail(call, Outcome::rate_limited, -5 * kSecond);
  bench.pass(kSecond);
  EXPECT_EQ(bench.sends(call).size(), 2U);
}

// --- late inputs -----------------------------------------------------------------------------------------------------

TEST(Engine, IgnoresAndCountsInputsAboutWhatIsOver) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.reply(call);
  const std::uint64_t before = bench.engine().state_hash();
  bench.reply(call, "again");
  bench.fail(call, Outcome::timeout);
  bench.stream(call);
  bench.cancel(call);
  EXPECT_EQ(bench.stats().late, 4);
  EXPECT_EQ(bench.stats().finished, 1);
  EXPECT_NE(bench.engine().state_hash(), before) << "what was counted is part of the state";
}

TEST(Engine, IgnoresAndCountsInputsAboutWhatNeverWas) {
  Bench bench;
  constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t id : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{77}, kMost}) {
    bench.give(Replied{id, {}, nullptr, nullptr});
    Failed failed;
    failed.attempt = id;
    bench.give(failed);
    bench.give(Streaming{id});
    bench.give(Cancel{id});
  }
  EXPECT_EQ(bench.stats().late, 16);
  EXPECT_TRUE(bench.at_rest());
}

TEST(Engine, IgnoresTheAnswerOfAnAttemptThatWasGivenUp) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha"}));
  const AttemptId first = bench.attempt(call);
  bench.pass(61 * kSecond);  // given up after 60 s, tried again a second later
  ASSERT_EQ(bench.sends(call).size(), 2U);
  bench.give(Replied{first, usage_of(1, 1), nullptr, text("late")});
  EXPECT_FALSE(bench.finished(call));
  EXPECT_EQ(bench.stats().late, 1);
  bench.reply(call, "in time");
  EXPECT_EQ(text_of(bench.finish(call).payload), "in time");
}

// --- streaming -------------------------------------------------------------------------------------------------------

TEST(Engine, TellsWhenTheFirstTokenCame) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.pass(300 * kMillisecond);
  bench.stream(call);
  bench.pass(kSecond);
  bench.stream(call);  // a driver may repeat itself
  bench.reply(call);
  EXPECT_EQ(bench.finish(call).first_token, 300 * kMillisecond);
}

TEST(Engine, TellsWhenTheFirstTokenCameAtInstantZero) {
  Bench bench(open_config(), -kSecond);
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.pass(kSecond);
  bench.stream(call);
  bench.pass(kSecond);
  bench.reply(call);
  EXPECT_EQ(bench.finish(call).first_token, kSecond);
}

TEST(Engine, RepeatsNothingAfterTheUserSawAPart) {
  for (const Outcome outcome : {Outcome::connection, Outcome::server_error, Outcome::rate_limited, Outcome::timeout}) {
    SCOPED_TRACE(to_string(outcome));
    Bench bench;
    const CallId call = bench.submit(call_to({"alpha", "beta", "offline"}));
    bench.stream(call);
    bench.fail(call, outcome, 0, true);
    EXPECT_EQ(bench.outcome(call), outcome);
    EXPECT_EQ(bench.sends(call).size(), 1U);
    EXPECT_TRUE(bench.at_rest());
  }
}

TEST(Engine, RepeatsNoStreamThatStalls) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha", "beta", "offline"}));
  bench.pass(kSecond);
  bench.stream(call);
  bench.pass(59 * kSecond);
  EXPECT_EQ(bench.outcome(call), Outcome::timeout);
  EXPECT_EQ(bench.aborts(call).size(), 1U);
  EXPECT_EQ(bench.finish(call).first_token, kSecond);
}

TEST(Engine, MayRepeatAnAttemptThatFailedBeforeItStreamed) {
  Bench bench;
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.fail(call, Outcome::connection);
  bench.pass(kSecond);
  bench.stream(call);
  bench.pass(kSecond);
  bench.reply(call);
  EXPECT_EQ(bench.finish(call).first_token, kSecond);
  EXPECT_EQ(bench.finish(call).attempts, 2U);
}

// --- the hash --------------------------------------------------------------------------------------------------------

TEST(EngineHash, IsEqualForEqualInputsAndDiffersWhereTheyDiffer) {
  const auto run = [](Duration delay, bool streams, std::uint64_t seed) {
    Config config = open_config();
    config.seed = seed;
    Engine engine(config);
    Instant now = 10;
    engine.submit(call_to({"alpha"}), {now, now});
    const AttemptId attempt = std::get<Send>(*engine.poll()).attempt;
    now += delay;
    if (streams) engine.handle(Streaming{attempt}, {now, now});
    return engine.state_hash();
  };
  const std::uint64_t hash = run(5, false, 1);
  EXPECT_EQ(run(5, false, 1), hash);
  EXPECT_NE(run(5, true, 1), hash) << "an attempt that streams will not be repeated";
  EXPECT_NE(run(5, false, 2), hash) << "other random choices lie ahead";
}

}  // namespace
}  // namespace llmcore
