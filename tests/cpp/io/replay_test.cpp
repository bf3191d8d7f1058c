#include "llmcore/io/replay.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "recorded_samples.hpp"
#include "scenario.hpp"

namespace llmcore::io {
namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "llmcore-replay-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { fs::remove_all(path_); }
  [[nodiscard]] std::string operator/(const std::string& name) const { return (fs::path(path_) / name).string(); }

 private:
  std::string path_;
};

std::unique_ptr<ReplayLogger> logger_in(const std::string& directory, bool engine = true) {
  auto opened = ReplayLogger::open({directory, Ack::memory, engine, "llmcore test"});
  EXPECT_TRUE(opened) << opened.error().message();
  return std::move(*opened);
}

std::unique_ptr<RecordingReader> reader_of(const std::string& directory) {
  auto opened = RecordingReader::open(directory);
  EXPECT_TRUE(opened) << opened.error().message();
  return std::move(*opened);
}

std::vector<RecordedEvent> events_in(const std::string& directory) {
  std::vector<RecordedEvent> events;
  const auto reader = reader_of(directory);
  while (const RecordedEvent* event = reader->next()) events.push_back(*event);
  EXPECT_EQ(reader->problem(), "");
  return events;
}

void record_all(const std::vector<RecordedEvent>& events, const std::string& directory) {
  const auto logger = logger_in(directory);
  for (const RecordedEvent& event : events) {
    const char* problem = logger->append(event);
    ASSERT_EQ(problem, nullptr) << problem;
  }
  EXPECT_EQ(logger->close(), nullptr);
}

std::string told(const std::optional<Divergence>& divergence) { return divergence ? divergence->message() : "none"; }

std::string compared(const std::string& expected, const std::string& got, std::set<RecordKind> kinds = {}) {
  const auto one = reader_of(expected);
  const auto other = reader_of(got);
  const ReplayValidator::Report report = ReplayValidator(std::move(kinds)).compare(*one, *other);
  return report.problem.empty() ? told(report.divergence) : report.problem;
}

ReplayReport replayed(const std::string& directory) { return replay(*reader_of(directory)); }

// --- recording and reading ---------------------------------------------------------------------------------------------

TEST(ReplayLogger, WritesABeginningAndAnEndAroundWhatItIsGiven) {
  const Folder folder;
  const auto logger = logger_in(folder / "r");
  EXPECT_EQ(logger->start(sample_config()), nullptr);
  EXPECT_EQ(logger->frame(3), nullptr);
  EXPECT_EQ(logger->rng("loot", 10, 7), nullptr);
  EXPECT_EQ(logger->snapshot({3, "world", {9}, {}}), nullptr);
  EXPECT_EQ(logger->stats().events, (std::array<std::uint64_t, 9>{1, 1, 0, 0, 0, 1, 1, 1, 0}));
  EXPECT_EQ(logger->close(), nullptr);
  EXPECT_EQ(logger->close(), nullptr);
  EXPECT_STREQ(logger->frame(4), "the recording is closed");

  const auto reader = reader_of(folder / "r");
  std::vector<RecordedEvent> events;
  while (const RecordedEvent* event = reader->next()) events.push_back(*event);
  ASSERT_EQ(events.size(), 6U);
  EXPECT_EQ(std::get<recorded::Begin>(events[0]).producer, "llmcore test");
  EXPECT_EQ(std::get<recorded::End>(events[5]).events, 5U);
  EXPECT_TRUE(reader->complete());
  EXPECT_EQ(reader->tick(), 3);
  EXPECT_EQ(reader->number(), 6U);
}

TEST(ReplayLogger, WritesARecordingWithoutEventsToo) {
  const Folder folder;
  EXPECT_EQ(logger_in(folder / "r")->close(), nullptr);
  EXPECT_EQ(events_in(folder / "r").size(), 2U);
  EXPECT_TRUE(replayed(folder / "r").complete);
}

TEST(ReplayLogger, CopiesARecordingEventByEvent) {
  const Folder folder;
  record_all(sample_events(), folder / "a");
  const std::vector<RecordedEvent> events = events_in(folder / "a");
  EXPECT_EQ(events.size(), sample_events().size());
  record_all(events, folder / "b");
  EXPECT_EQ(compared(folder / "a", folder / "b"), "none");
}

TEST(ReplayLogger, RefusesAnEndThatCountsOtherEvents) {
  const Folder folder;
  const auto logger = logger_in(folder / "r");
  EXPECT_EQ(logger->frame(1), nullptr);
  EXPECT_STREQ(logger->append(recorded::End{1}), "the end counts other events than there are");
  EXPECT_EQ(logger->append(recorded::End{2}), nullptr);
  EXPECT_EQ(logger->close(), nullptr);
  EXPECT_EQ(events_in(folder / "r").size(), 3U);
}

TEST(ReplayLogger, NumbersEqualRequests) {
  const Folder folder;
  const auto logger = logger_in(folder / "r");
  recorded::Request request{1, 1, fingerprint("", "a", "b", "c"), 99, "p", "POST", "u", "c"};
  for (const std::uint32_t ordinal : {0U, 1U, 2U}) {
    EXPECT_EQ(logger->request(request), nullptr);
    EXPECT_EQ(request.ordinal, ordinal);
  }
  request.fingerprint = fingerprint("", "a", "b", "d");
  EXPECT_EQ(logger->request(request), nullptr);
  EXPECT_EQ(request.ordinal, 0U);
}

TEST(ReplayLogger, RecordsIntoAnEmptyPlaceOnly) {
  const Folder folder;
  record_all(sample_events(), folder / "r");
  const auto again = ReplayLogger::open({folder / "r", Ack::memory, true, ""});
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message().find("holds a recording already"), std::string::npos) << again.error().message();
}

TEST(ReplayLogger, LeavesTheEngineOutWhereItIsToldTo) {
  const Folder folder;
  const auto logger = logger_in(folder / "r", false);
  EXPECT_FALSE(logger->records_engine());
  EXPECT_EQ(logger->start(sample_config()), nullptr);
  EXPECT_EQ(logger->input(Tick{}, {1, 1}, 1), nullptr);
  EXPECT_EQ(logger->close(), nullptr);
  EXPECT_EQ(events_in(folder / "r").size(), 2U);
}

TEST(ReplayLogger, GivesTheRecordingUpOnceAnInputIsMissing) {
  const Folder folder;
  const auto logger = logger_in(folder / "r");
  EXPECT_EQ(logger->frame(1), nullptr);
  EXPECT_STREQ(logger->rng("", 6, 1), "the name is empty");  // the caller knows, and nothing is missing
  EXPECT_EQ(logger->problem(), "");
  EXPECT_STREQ(logger->input(Tick{}, {-1, 0}, 1), "the monotonic time is negative");
  EXPECT_EQ(logger->problem(), "an event of kind input cannot be recorded: the monotonic time is negative");
  EXPECT_NE(logger->frame(2), nullptr);
  EXPECT_EQ(logger->stats().refused, 3U);
  EXPECT_NE(logger->close(), nullptr);
  const auto reader = reader_of(folder / "r");
  while (reader->next() != nullptr) {
  }
  EXPECT_FALSE(reader->complete());
}

TEST(ReplayLogger, TakesEventsOfEightThreads) {
  const Folder folder;
  const auto logger = logger_in(folder / "r");
  std::vector<std::thread> threads;
  for (int number = 0; number < 8; ++number) {
    threads.emplace_back([&, number] {
      for (std::int64_t i = 0; i < 500; ++i) {
        EXPECT_EQ(logger->rng("thread " + std::to_string(number), 0, static_cast<std::uint64_t>(i)), nullptr);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(logger->close(), nullptr);
  std::map<std::string, std::uint64_t> next;
  for (const RecordedEvent& event : events_in(folder / "r")) {
    if (const auto* draw = std::get_if<recorded::Draw>(&event)) {
      EXPECT_EQ(draw->value, next[draw->name]++);
    }
  }
  EXPECT_EQ(next.size(), 8U);
  for (const auto& [name, count] : next) EXPECT_EQ(count, 500U) << name;
}

TEST(ReplayLogger, IsTheParentsAfterAFork) {
  const Folder folder;
  const auto logger = logger_in(folder / "r");
  EXPECT_EQ(logger->frame(1), nullptr);
  const pid_t child = fork();
  if (child == 0) {
    const bool refused = logger->frame(2) != nullptr && logger->close() != nullptr;
    _exit(refused ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(logger->frame(3), nullptr);
  EXPECT_EQ(logger->close(), nullptr);
  EXPECT_EQ(events_in(folder / "r").size(), 4U);
}

TEST(RecordingReader, TellsARecordingThatHasNoEnd) {
  const Folder folder;
  const auto logger = logger_in(folder / "r");
  EXPECT_EQ(logger->frame(1), nullptr);
  EXPECT_EQ(logger->abandon(), nullptr);
  const auto reader = reader_of(folder / "r");
  EXPECT_NE(reader->next(), nullptr);
  EXPECT_NE(reader->next(), nullptr);
  EXPECT_EQ(reader->next(), nullptr);
  EXPECT_EQ(reader->problem(), "");
  EXPECT_FALSE(reader->complete());
}

TEST(RecordingReader, SaysWhatIsNoRecording) {
  const Folder folder;
  EXPECT_FALSE(RecordingReader::open(folder / "nothing"));
  fs::create_directory(folder / "empty");
  auto reader = reader_of(folder / "empty");
  EXPECT_EQ(reader->next(), nullptr);
  EXPECT_EQ(reader->problem(), "there is no recording");

  const auto journal_with = [&](const std::string& name,
                                const std::vector<std::pair<RecordKind, std::string>>& records) {
    JournalConfig config;
    config.directory = folder / name;
    const auto writer = JournalWriter::open(config);
    for (const auto& [kind, payload] : records) EXPECT_TRUE((*writer)->append(kind, payload));
    static_cast<void>((*writer)->close());
    const auto found = reader_of(folder / name);
    while (found->next() != nullptr) {
    }
    return found->problem();
  };
  const std::string begin("\x01\x00", 2);
  EXPECT_EQ(journal_with("frames", {{RecordKind::frame, "\x02"}}), "this is a journal, but no recording");
  EXPECT_EQ(journal_with("spool", {{RecordKind::open, "x"}}),
            "event 1 cannot be read: an event of this kind is not known");
  EXPECT_EQ(journal_with("newer", {{RecordKind::recording_begin, std::string("\x03\x00", 2)}}),
            "event 1 cannot be read: it was written by a newer version of llmcore");
  EXPECT_EQ(journal_with("twice", {{RecordKind::recording_begin, begin}, {RecordKind::recording_begin, begin}}),
            "event 2 begins another recording");
  EXPECT_EQ(journal_with("short", {{RecordKind::recording_begin, begin}, {RecordKind::recording_end, "\x05"}}),
            "the recording ends after 1 events and should have 5");
  EXPECT_EQ(journal_with("odd", {{RecordKind::recording_begin, begin}, {RecordKind::frame, ""}}),
            "event 2 cannot be read: it ends too early");
}

TEST(RecordingReader, ReadsNoFurtherThanTheFirstDamage) {
  const Folder folder;
  record_all(sample_events(), folder / "r");
  for (const auto& entry : fs::directory_iterator(folder / "r")) {
    if (entry.path().extension() != ".journal") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(400);
    file.put('!');
  }
  const ReplayReport report = replayed(folder / "r");
  EXPECT_NE(report.problem.find("the recording is damaged before event "), std::string::npos) << report.problem;
  EXPECT_FALSE(report.ok());
}

// --- every cut ---------------------------------------------------------------------------------------------------------

TEST(RecordingReader, GivesOfACutFileTheWholeEventsBeforeTheCut) {
  const Folder folder;
  record_all(sample_events(), folder / "whole");
  fs::path segment;
  for (const auto& entry : fs::directory_iterator(folder / "whole")) {
    if (entry.path().extension() == ".journal") segment = entry.path();
  }
  std::ifstream file(segment, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const std::size_t all = sample_events().size();
  std::size_t before = 0;
  fs::create_directory(folder / "cut");
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    std::ofstream(fs::path(folder / "cut") / segment.filename(), std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(size));
    const auto reader = reader_of(folder / "cut");
    std::size_t events = 0;
    while (reader->next() != nullptr) ++events;
    EXPECT_GE(events, before) << "cut after " << size;
    EXPECT_EQ(reader->complete(), size == bytes.size());
    EXPECT_EQ(reader->problem(), events == 0 ? "there is no recording" : "") << "cut after " << size;
    before = events;
  }
  EXPECT_EQ(before, all);
}

// --- replaying and comparing -------------------------------------------------------------------------------------------

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

// --- random draws ------------------------------------------------------------------------------------------------------

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
