// A journal that is written: segments, sizes, torn ends, threads and forks.
#include "llmcore/io/journal.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "journal_harness.hpp"
#include "llmcore/crc32c.hpp"
#include "llmcore/rng.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace llmcore::io {
namespace {

using Code = JournalError::Code;
using What = JournalProblem::What;

TEST(Journal, WhatIsAppendedIsRead) {
  for (const Ack ack : {Ack::memory, Ack::os, Ack::disk}) {
    const TemporaryDirectory directory;
    const auto writer = open_writer({.directory = directory.path(), .ack = ack});
    for (std::uint64_t i = 1; i <= 50; ++i) ASSERT_EQ(append(*writer, i), i);
    ASSERT_FALSE(writer->close());
    expect_records(read_clean(directory.path()), 1, 50);
  }
}

TEST(Journal, AckOsAndDiskAreInTheFileWhenAppendReturnsAndMemoryWithinItsWindow) {
  for (const Ack ack : {Ack::os, Ack::disk}) {
    const TemporaryDirectory directory;
    const auto writer = open_writer({.directory = directory.path(), .ack = ack});
    for (std::uint64_t i = 1; i <= 20; ++i) {
      append(*writer, i);
      expect_records(read_clean(directory.path()), 1, i);
    }
    EXPECT_EQ(writer->stats().buffered_bytes, 0U);
    EXPECT_EQ(writer->stats().durable_seq, ack == Ack::disk ? 20U : 0U);
  }
  const TemporaryDirectory directory;
  const auto writer = open_writer({.directory = directory.path(), .ack = Ack::memory, .window_bytes = 2000});
  std::uint64_t in_file = 0;
  for (std::uint64_t i = 1; i <= 200; ++i) {
    append(*writer, i);
    const JournalStats stats = writer->stats();
    ASSERT_LT(stats.buffered_bytes, 2000U);
    ASSERT_GE(stats.written_seq, in_file);
    in_file = stats.written_seq;
  }
  EXPECT_LT(in_file, 200U);
  expect_records(read_clean(directory.path()), 1, in_file);
  ASSERT_FALSE(writer->flush());
  expect_records(read_clean(directory.path()), 1, 200);
}

TEST(Journal, FilesAreForTheirOwnerAlone) {
  const TemporaryDirectory directory;
  const auto writer = open_writer({.directory = directory.path() + "/a/b"});
  append(*writer, 1);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory.path())) {
    const auto permissions = entry.status().permissions();
    EXPECT_EQ(permissions & std::filesystem::perms(077), std::filesystem::perms::none) << entry.path();
    if (!entry.is_regular_file()) continue;
    EXPECT_EQ(permissions, std::filesystem::perms(0600)) << entry.path();
  }
}

TEST(Journal, AnOpenedJournalWithoutARecordLeavesNothingButItsLock) {
  const TemporaryDirectory directory;
  open_writer({.directory = directory.path()}).reset();
  EXPECT_TRUE(read_clean(directory.path()).empty());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 1);
}

TEST(Journal, GoesOnWhereItWasLeft) {
  const TemporaryDirectory directory;
  JournalId id{};
  for (std::uint64_t run = 0; run < 5; ++run) {
    const auto writer = open_writer({.directory = directory.path()});
    EXPECT_EQ(writer->stats().last_seq, 10 * run);
    for (std::uint64_t i = 1; i <= 10; ++i) ASSERT_EQ(append(*writer, 10 * run + i), 10 * run + i);
    auto reader = JournalReader::open({.directory = directory.path()});
    ASSERT_EQ((*reader)->next(), JournalReader::Next::record);
    if (run == 0) id = *(*reader)->journal();
    EXPECT_EQ(*(*reader)->journal(), id);
  }
  EXPECT_NE(id, JournalId{});
  expect_records(read_clean(directory.path()), 1, 50);
}

TEST(Journal, SegmentsEndAtTheirSize) {
  const TemporaryDirectory directory;
  const auto writer = open_writer({.directory = directory.path(), .segment_bytes = 1000});
  for (std::uint64_t i = 1; i <= 100; ++i) append(*writer, i);
  ASSERT_TRUE(writer->append(1, std::string(5000, 'x')));  // longer than a segment: one of its own
  ASSERT_TRUE(writer->append(1, "after it"));
  std::uint64_t segments = 0;
  std::uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    if (entry.path().extension() != ".journal") continue;
    ++segments;
    bytes += entry.file_size();
    if (entry.file_size() <= 1000) continue;
    EXPECT_EQ(entry.file_size(), kSegmentHeaderBytes + kRecordHeaderBytes + 5000);
  }
  EXPECT_GT(segments, 8U);
  EXPECT_EQ(writer->stats().segments, segments);
  EXPECT_EQ(writer->stats().bytes, bytes);
  EXPECT_EQ(read_clean(directory.path()).size(), 102U);
}

TEST(Journal, KeepsItsTotalSizeByDroppingWholeOldSegments) {
  const TemporaryDirectory directory;
  for (const int run : {0, 1}) {
    const auto writer = open_writer({.directory = directory.path(), .total_bytes = 20'000});
    for (std::uint64_t i = 1; i <= 1000; ++i) {
      ASSERT_TRUE(writer->append(1, payload_of(i)));
      std::uint64_t bytes = 0;
      for (const auto& entry : std::filesystem::directory_iterator(directory.path())) bytes += entry.file_size();
      ASSERT_LE(bytes, 20'000U);
    }
    const JournalStats stats = writer->stats();
    const auto records = read_clean(directory.path());
    EXPECT_EQ(records.back().seq, 1000U * static_cast<unsigned>(run + 1));
    EXPECT_GT(records.size(), 100U);
    EXPECT_GT(stats.segments_dropped, 10U);
    if (run == 0) {
      EXPECT_EQ(stats.records_dropped, 1000 - records.size());
    }
    EXPECT_EQ(records.front().seq, 1000U * static_cast<unsigned>(run + 1) + 1 - records.size());
    EXPECT_EQ(writer->append(1, std::string(10'000, 'x')).error().code, Code::too_long);
  }
}

TEST(Journal, ReleasesWholeSegmentsAndNeverTheNewest) {
  const TemporaryDirectory directory;
  {
    const auto writer = open_writer({.directory = directory.path(), .segment_bytes = 1000});
    for (std::uint64_t i = 1; i <= 100; ++i) append(*writer, i);
    const std::uint64_t before = writer->stats().segments;
    const auto released = writer->release(40);
    ASSERT_TRUE(released);
    EXPECT_GT(*released, 1U);
    EXPECT_EQ(writer->stats().segments, before - *released);
    const auto records = read_clean(directory.path());
    EXPECT_LE(records.front().seq, 40U);
    EXPECT_GT(records.front().seq, 20U);
    ASSERT_TRUE(writer->release(1'000'000));
    EXPECT_EQ(writer->stats().segments, 1U);
    EXPECT_EQ(read_clean(directory.path()).back().seq, 100U);
  }
  const auto again = open_writer({.directory = directory.path()});
  EXPECT_EQ(*again->release(1'000'000), 0U) << "nothing else would tell where the journal goes on";
  EXPECT_EQ(append(*again, 101), 101U);
  EXPECT_EQ(*again->release(1'000'000), 1U);
  expect_records(read_clean(directory.path()), 101, 101);
}

TEST(Journal, OneWriterPerDirectory) {
  const TemporaryDirectory directory;
  {
    const auto writer = open_writer({.directory = directory.path()});
    const auto second = JournalWriter::open({.directory = directory.path()});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::locked);
    ASSERT_FALSE(writer->close());
    EXPECT_EQ(writer->append(1, "x").error().code, Code::closed);
    EXPECT_EQ(writer->sync().code, Code::closed);
    EXPECT_FALSE(writer->close());
    EXPECT_TRUE(JournalWriter::open({.directory = directory.path()})) << "close() lets go of it";
  }
  EXPECT_TRUE(JournalWriter::open({.directory = directory.path()}));
}

TEST(Journal, RefusesWhatMakesNoSense) {
  const TemporaryDirectory directory;
  EXPECT_EQ(JournalWriter::open({.directory = ""}).error().code, Code::invalid);
  EXPECT_EQ(JournalWriter::open({.directory = directory.path(), .total_bytes = 100}).error().code, Code::invalid);
  const auto writer = open_writer({.directory = directory.path(), .max_record_bytes = 10});
  EXPECT_EQ(writer->append(1, "12345678901").error().code, Code::too_long);
  EXPECT_TRUE(writer->append(1, "1234567890"));
  EXPECT_EQ(writer->stats().refused, 1U);
  EXPECT_EQ(JournalReader::open({.directory = directory.file("none")}).error().code, Code::system);
}

TEST(Journal, ATornEndIsCutOffAndKeptAside) {
  for (const std::size_t torn : {1U, 31U, 32U, 40U}) {
    const TemporaryDirectory directory;
    {
      const auto writer = open_writer({.directory = directory.path()});
      for (std::uint64_t i = 1; i <= 10; ++i) append(*writer, i);
    }
    const std::string path = directory.file(segment_name(1));
    std::string bytes = contents(path);
    const std::size_t whole = bytes.size() - kRecordHeaderBytes - payload_of(10).size();
    overwrite(path, bytes.substr(0, whole + torn));
    expect_records(read_clean(directory.path()), 1, 9);

    const auto writer = open_writer({.directory = directory.path()});
    EXPECT_EQ(writer->stats().torn_bytes, torn);
    EXPECT_EQ(contents(path), bytes.substr(0, whole));
    EXPECT_EQ(contents(directory.file("00000000000000000001.torn")), bytes.substr(whole, torn));
    ASSERT_EQ(append(*writer, 10), 10U);
    expect_records(read_clean(directory.path()), 1, 10);
  }
}

TEST(Journal, ASegmentThatWasNeverBegunMakesNoDifference) {
  for (const std::size_t size : {0U, 1U, 127U, 500U}) {
    const TemporaryDirectory directory;
    {
      const auto writer = open_writer({.directory = directory.path()});
      for (std::uint64_t i = 1; i <= 10; ++i) append(*writer, i);
    }
    overwrite(directory.file(segment_name(2)), std::string(size, '\0'));
    const auto writer = open_writer({.directory = directory.path()});
    ASSERT_EQ(append(*writer, 11), 11U);
    expect_records(read_clean(directory.path()), 1, 11);
  }
}

TEST(Journal, NumbersThatDamageMayHideAreNotGivenAgain) {
  const TemporaryDirectory directory;
  {
    const auto writer = open_writer({.directory = directory.path()});
    for (std::uint64_t i = 1; i <= 10; ++i) append(*writer, i);
  }
  const std::string path = directory.file(segment_name(1));
  std::string bytes = contents(path);
  bytes[bytes.size() - payload_of(10).size() - 10] ^= 1;  // the last record's header
  overwrite(path, bytes);
  const auto writer = open_writer({.directory = directory.path()});
  const auto seq = writer->append(1, "later");
  ASSERT_TRUE(seq);
  EXPECT_GT(*seq, 10U);
  auto reader = JournalReader::open({.directory = directory.path()});
  const auto records = drain(**reader);
  EXPECT_EQ(records.size(), 10U);
  ASSERT_EQ((*reader)->problem_count(), 1U);
  EXPECT_EQ((*reader)->problems()[0].what, What::record);
}

TEST(Journal, RefusesToWriteWhereALaterVersionWrote) {
  const TemporaryDirectory directory;
  {
    append(*open_writer({.directory = directory.path()}), 1);
  }
  const std::string path = directory.file(segment_name(1));
  std::string bytes = contents(path);
  for (const std::size_t copy : {0U, 64U}) {
    bytes[copy + 8] = 9;
    const std::uint32_t crc = crc32c(std::string_view(bytes).substr(copy, 60));
    for (std::size_t i = 0; i < 4; ++i) bytes[copy + 60 + i] = static_cast<char>(crc >> (8 * i));
  }
  overwrite(path, bytes);
  EXPECT_EQ(JournalWriter::open({.directory = directory.path()}).error().code, Code::newer_version);
}

TEST(Journal, ThreadsShareAWriter) {
  for (const Ack ack : {Ack::memory, Ack::os, Ack::disk}) {
    const TemporaryDirectory directory;
    const std::uint64_t each = ack == Ack::disk ? 40 : 1000;
    constexpr std::uint64_t kThreads = 8;
    {
      const auto writer =
          open_writer({.directory = directory.path(), .ack = ack, .segment_bytes = 20'000, .window_bytes = 3000});
      std::vector<std::thread> threads;
      for (std::uint64_t t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
          std::uint64_t last = 0;
          for (std::uint64_t i = 0; i < each; ++i) {
            const auto seq = writer->append(static_cast<std::uint16_t>(t), payload_of(i));
            ASSERT_TRUE(seq);
            ASSERT_GT(*seq, last);
            last = *seq;
            if (i % 100 == 50) {
              ASSERT_FALSE(t % 2 == 0 ? writer->flush() : writer->sync());
            }
            if (i % 100 == 70) static_cast<void>(writer->stats());
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
      const JournalStats stats = writer->stats();
      EXPECT_EQ(stats.appended, kThreads * each);
      EXPECT_EQ(stats.last_seq, kThreads * each);
      if (ack == Ack::disk) {
        EXPECT_EQ(stats.durable_seq, stats.last_seq);
      }
    }
    const auto records = read_clean(directory.path());
    ASSERT_EQ(records.size(), kThreads * each);
    std::vector<std::uint64_t> next(kThreads, 0);
    for (const ReadRecord& record : records) ASSERT_EQ(record.payload, payload_of(next[record.kind]++));
  }
}

#if defined(__unix__) || defined(__APPLE__)
TEST(Journal, AForkedChildNeitherWritesNorHoldsTheLock) {
  const TemporaryDirectory directory;
  auto writer = open_writer({.directory = directory.path(), .ack = Ack::memory});
  append(*writer, 1);
  int go[2] = {-1, -1};
  int ready[2] = {-1, -1};
  ASSERT_EQ(pipe(go), 0);
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    close(go[1]);
    bool right = writer->append(1, "x").error().code == Code::forked && writer->sync().code == Code::forked &&
                 writer->close().code == Code::forked;
    writer.reset();  // must not write what the parent has buffered
    char byte = 0;
    right = write(ready[1], &byte, 1) == 1 && right;
    right = read(go[0], &byte, 1) == 0 && right;  // until the parent is done
    _exit(right ? 0 : 1);
  }
  close(go[0]);
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  append(*writer, 2);
  ASSERT_FALSE(writer->close());
  EXPECT_TRUE(JournalWriter::open({.directory = directory.path()})) << "the child holds the parent's lock";
  close(go[1]);
  close(ready[0]);
  close(ready[1]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  expect_records(read_clean(directory.path()), 1, 2);
}
#endif

}  // namespace
}  // namespace llmcore::io
