// Recordings as they are written and read: by threads, over forks, cut at any byte.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "llmcore/io/replay.hpp"
#include "recorded_samples.hpp"
#include "recordings.hpp"

namespace llmcore::io {
namespace {

// --- recording and reading -------------------------------------------------------------------------------------------

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

// --- every cut -------------------------------------------------------------------------------------------------------

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

}  // namespace
}  // namespace llmcore::io
