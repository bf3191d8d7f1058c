// Recordings that are run again and compared, and the luck of a program that is drawn again.
#include "llmcore/io/replay.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "recorded_samples.hpp"
#include "recordings.hpp"
#include "scenario.hpp"

namespace llmcore::io {
namespace {

// --- replaying and comparing -----------------------------------------------------------------------------------------

class EveryScenario : public ::testing::TestWithParam<Json> {};

TEST_P(EveryScenario, IsRecordedReplayedAndComparedEqual) {
  const Folder folder;
  for (const char* name : {"one", "other"}) {
    const auto logger = logger_in(folder / name);
    Scenario scenario(GetParam(), [&](const Input& input, Now now, const Engine& engine) {
      EXPECT_EQ(logger->input(input, now, engine.state_hash()), nullptr) << logger->problem();
    });
    EXPECT_EQ(logger->start(scenario.config()), nullptr);
    scenario.run();
    EXPECT_EQ(logger->close(), nullptr);
  }
  const ReplayReport report = replayed(folder / "one");
  EXPECT_TRUE(report.ok()) << report.problem << told(report.divergence);
  EXPECT_TRUE(report.complete);
  EXPECT_EQ(report.engines, 1U);
  EXPECT_GT(report.inputs, 0U);
  EXPECT_EQ(compared(folder / "one", folder / "other"), "none");
}

TEST_P(EveryScenario, ReplaysUpToAnInputThatWasChanged) {
  const Folder folder;
  const auto logger = logger_in(folder / "one");
  std::vector<RecordedEvent> events;
  Scenario scenario(GetParam(), [&](const Input& input, Now now, const Engine& engine) {
    events.emplace_back(recorded::Fed{now, input, {engine.state_hash()}});
  });
  events.emplace_back(recorded::Start{scenario.config()});
  scenario.run();

  // A submission cannot be changed without a trace: another deadline is another timer.
  std::size_t changed = 0;
  for (std::size_t i = 0; i < events.size(); ++i) {
    auto* fed = std::get_if<recorded::Fed>(&events[i]);
    if (fed == nullptr || !std::holds_alternative<Submit>(fed->input)) continue;
    for (const RecordedEvent& event : events) ASSERT_EQ(logger->append(event), nullptr);
    ASSERT_EQ(logger->close(), nullptr);
    std::get<Submit>(fed->input).targets.clear();  // refused at once
    changed = i + 2;                               // from 1, and the beginning counts
    break;
  }
  ASSERT_GT(changed, 0U);
  record_all(events, folder / "other");

  EXPECT_TRUE(replayed(folder / "one").ok());
  const ReplayReport report = replayed(folder / "other");
  ASSERT_TRUE(report.divergence);
  EXPECT_EQ(report.divergence->event, changed);
  EXPECT_EQ(report.divergence->field, "state");
  const auto one = reader_of(folder / "one");
  const auto other = reader_of(folder / "other");
  const ReplayValidator::Report comparison = ReplayValidator().compare(*one, *other);
  ASSERT_TRUE(comparison.divergence);
  EXPECT_EQ(comparison.divergence->event, changed);
  EXPECT_EQ(comparison.divergence->field, "input.submit.targets[0].provider");
  EXPECT_EQ(comparison.divergence->got, "absent");
  EXPECT_EQ(comparison.compared, changed - 1);
}

INSTANTIATE_TEST_SUITE_P(Table, EveryScenario, ::testing::ValuesIn(all_scenarios()),
                         [](const auto& each) { return each.param.at("name").template get<std::string>(); });

TEST(Replay, NeedsAConfigurationFirst) {
  const Folder folder;
  record_all({recorded::Fed{{1, 1}, Tick{}, {1}}}, folder / "r");
  EXPECT_EQ(replayed(folder / "r").problem, "event 2 is an input before any configuration");
}

TEST(Replay, TellsTheFrameOfADivergence) {
  const Folder folder;
  Engine engine(Config::game());
  engine.handle(Tick{}, {5, 5});
  const std::uint64_t right = engine.state_hash();
  record_all({recorded::Start{Config::game()}, recorded::Frame{7}, recorded::Fed{{5, 5}, Tick{}, {right}},
              recorded::Frame{8}, recorded::Fed{{6, 6}, sample_submit(), {0xAB}}},
             folder / "r");
  const ReplayReport report = replayed(folder / "r");
  ASSERT_TRUE(report.divergence);
  EXPECT_EQ(report.divergence->tick, 8);
  EXPECT_EQ(report.divergence->event, 6U);
  EXPECT_EQ(report.divergence->expected, "00000000000000ab");
  EXPECT_EQ(report.divergence->message(),
            "tick 8, event 6: state was 00000000000000ab and is " + report.divergence->got);
}

TEST(Replay, SurvivesWhateverARecordingTellsTheEngine) {
  // Every number of every input at the ends of its range, and inputs about calls that never were.
  Rng rng(11);
  const auto extreme = [&]() -> std::int64_t {
    constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
    const std::int64_t choices[] = {0, 1, -1, kMost, kMost - 1, -kMost, -kMost - 1, std::int64_t{1} << 53, 1024, 1025};
    return choices[rng.below(std::size(choices))];
  };
  const auto positive = [&] { return std::max<std::int64_t>(extreme(), 0); };
  std::vector<RecordedEvent> events;
  for (int engine = 0; engine < 40; ++engine) {
    Config config = rng.below(2) == 0 ? Config::game() : Config::server();
    if (rng.below(2) == 0) config.budgets = {BudgetRule{"global", Period::hour, positive(), {1, 100}}};
    for (std::int64_t* field : {&config.deadline, &config.attempt_timeout, &config.cache.ttl, &config.backoff.cap,
                                &config.recovery.cooldown, &config.queue.class_timeout[1]}) {
      const std::int64_t before = *field;
      *field = positive();
      if (!config.problems().empty()) *field = before;
    }
    events.emplace_back(recorded::Start{config});
    for (int i = 0; i < 60; ++i) {
      Submit call = sample_submit();
      call.deadline = extreme();
      call.targets[0].input_tokens = extreme();
      call.targets[0].output_tokens = extreme();
      if (rng.below(2) == 0) call.key.reset();
      const auto attempt = static_cast<AttemptId>(extreme());
      const std::vector<Input> inputs{
          call,
          call,
          Streaming{attempt},
          Replied{attempt, sample_usage(), sample_card(), payload_of_size(rng.below(kLargestEvent))},
          Failed{attempt, static_cast<Outcome>(rng.below(kOutcomeCount)), rng.below(2) == 0, positive(), {}, nullptr},
          Observed{call.tenant, "openai", {extreme(), extreme(), extreme(), extreme(), extreme(), extreme()}},
          Cancel{static_cast<CallId>(extreme())},
          Tick{}};
      events.emplace_back(recorded::Fed{{positive(), extreme()}, inputs[rng.below(inputs.size())], {0}});
    }
  }
  // Hashes that are not known cannot be compared: run them without a recording in between, through the same bytes.
  std::optional<Engine> engine;
  std::uint64_t inputs = 0;
  for (const RecordedEvent& event : events) {
    std::string bytes;
    ASSERT_EQ(encode_event(event, bytes), nullptr);
    RecordedEvent back;
    ASSERT_EQ(decode_event(kind_of(event), bytes, back), nullptr);
    if (const auto* start = std::get_if<recorded::Start>(&back)) engine.emplace(start->config);
    if (const auto* fed = std::get_if<recorded::Fed>(&back)) {
      engine->handle(fed->input, fed->now);
      while (engine->poll()) {
      }
      static_cast<void>(engine->state_hash());
      ++inputs;
    }
  }
  EXPECT_EQ(inputs, 2'400U);
}

TEST(ReplayValidator, ComparesTheKindsThatItIsAskedTo) {
  const Folder folder;
  record_all({recorded::Frame{1}, recorded::Draw{"d6", 6, 1}, recorded::Frame{2}, recorded::Draw{"d6", 6, 2}},
             folder / "a");
  record_all({recorded::Frame{1}, recorded::Draw{"d6", 6, 1}, recorded::Snapshot{1, "w", {1}, {}}, recorded::Frame{2},
              recorded::Draw{"d6", 6, 3}},
             folder / "b");
  record_all({recorded::Frame{1}}, folder / "short");
  EXPECT_EQ(compared(folder / "a", folder / "b"), "tick 2, event 4: kind was frame and is snapshot");
  EXPECT_EQ(compared(folder / "a", folder / "b", {RecordKind::frame}), "none");
  EXPECT_EQ(compared(folder / "a", folder / "b", {RecordKind::frame, RecordKind::rng}),
            "tick 2, event 5: value was 2 and is 3");
  EXPECT_EQ(compared(folder / "a", folder / "short", {RecordKind::rng}),
            "tick 1, event 3: kind was rng and is no more events");
  EXPECT_EQ(compared(folder / "short", folder / "a", {RecordKind::frame}),
            "tick 1, event 4: kind was no more events and is frame");
}

// --- random draws ----------------------------------------------------------------------------------------------------

TEST(ReplayRng, GivesTheRecordedDrawsAgainNameByName) {
  const Folder folder;
  std::vector<std::uint64_t> loot;
  std::vector<std::int64_t> damage;
  {
    ReplayRng rng(5, logger_in(folder / "r"));
    for (int i = 0; i < 50; ++i) {
      loot.push_back(rng.below("loot", 100));
      damage.push_back(rng.between("damage", -3, 3));
    }
    loot.push_back(rng.next("loot"));
    EXPECT_FALSE(rng.replaying());
    EXPECT_EQ(rng.draws(), 101U);
    EXPECT_EQ(rng.problem(), "");
  }
  ReplayRng again(reader_of(folder / "r"));
  EXPECT_TRUE(again.replaying());
  for (const std::int64_t value : damage) EXPECT_EQ(again.between("damage", -3, 3), value);
  for (std::size_t i = 0; i < 50; ++i) EXPECT_EQ(again.below("loot", 100), loot[i]);
  EXPECT_EQ(again.next("loot"), loot[50]);
  EXPECT_FALSE(again.divergence());
  EXPECT_EQ(again.draws(), 101U);

  EXPECT_LT(again.below("loot", 6), 6U);  // one too many: the game goes on
  ASSERT_TRUE(again.divergence());
  EXPECT_EQ(again.divergence()->field, "rng.loot");
  EXPECT_EQ(again.divergence()->expected, "no more draws");
  EXPECT_EQ(again.divergence()->got, "below 6");
}

TEST(ReplayRng, TellsADrawThatWasAskedOtherwise) {
  const Folder folder;
  {
    const std::shared_ptr<ReplayLogger> logger = logger_in(folder / "r");
    ReplayRng rng(5, logger);
    EXPECT_EQ(logger->frame(12), nullptr);
    rng.below("loot", 100);
  }
  ReplayRng again(reader_of(folder / "r"));
  EXPECT_LT(again.below("loot", 10), 10U);
  ASSERT_TRUE(again.divergence());
  EXPECT_EQ(again.divergence()->message(), "tick 12, event 3: rng.loot was below 100 and is below 10");
}

TEST(ReplayRng, DrawsFromTheWholeRangeOf64Bits) {
  ReplayRng rng(5);
  bool negative = false;
  for (int i = 0; i < 64; ++i) {
    const std::int64_t value =
        rng.between("any", std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max());
    negative = negative || value < 0;
  }
  EXPECT_TRUE(negative);
  EXPECT_EQ(rng.between("one", 7, 7), 7);
}

}  // namespace
}  // namespace llmcore::io
