// A journal that is read: from a number, over damage, and while it is written.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <thread>

#include "journal_harness.hpp"
#include "llmcore/io/journal.hpp"
#include "llmcore/rng.hpp"

namespace llmcore::io {
namespace {

using What = JournalProblem::What;

TEST(JournalReader, StartsAtASequenceNumber) {
  const TemporaryDirectory directory;
  const auto writer = open_writer({.directory = directory.path(), .segment_bytes = 700});
  for (std::uint64_t i = 1; i <= 100; ++i) append(*writer, i);
  for (const std::uint64_t from : {0U, 1U, 2U, 50U, 99U, 100U, 101U, 1000U}) {
    auto reader = JournalReader::open({.directory = directory.path(), .from_seq = from});
    const auto records = drain(**reader);
    EXPECT_EQ((*reader)->problem_count(), 0U);
    if (from > 100) {
      EXPECT_TRUE(records.empty());
    } else {
      expect_records(records, from > 0 ? from : 1, 100);
    }
  }
}

TEST(JournalReader, TellsOfSegmentsThatAreMissingOrForeign) {
  const TemporaryDirectory directory;
  const TemporaryDirectory other;
  for (const auto& path : {directory.path(), other.path()}) {
    const auto writer = open_writer({.directory = path, .segment_bytes = 700});
    for (std::uint64_t i = 1; i <= 50; ++i) append(*writer, i);
  }
  std::filesystem::remove(directory.file(segment_name(2)));
  std::filesystem::copy_file(other.file(segment_name(4)), directory.file(segment_name(4)),
                             std::filesystem::copy_options::overwrite_existing);
  auto reader = JournalReader::open({.directory = directory.path()});
  const auto records = drain(**reader);
  const auto& problems = (*reader)->problems();
  ASSERT_EQ(problems.size(), 3U);
  EXPECT_EQ(problems[0].what, What::missing_segments);
  EXPECT_EQ(problems[0].segment, 3U);
  EXPECT_EQ(problems[1].what, What::foreign_segment);
  EXPECT_EQ(problems[2].what, What::missing_segments);
  EXPECT_EQ(problems[2].segment, 5U);
  EXPECT_EQ(records.size() + problems[0].count + problems[2].count, 50U);
  EXPECT_EQ(records.back().seq, 50U);
}

TEST(JournalReader, KeepsABoundedNumberOfProblems) {
  const TemporaryDirectory directory;
  {
    const auto writer = open_writer({.directory = directory.path()});
    for (std::uint64_t i = 1; i <= 3000; ++i) ASSERT_TRUE(writer->append(1, "x"));
  }
  std::string bytes = contents(directory.file(segment_name(1)));
  for (std::size_t at = kSegmentHeaderBytes + kRecordHeaderBytes; at < bytes.size(); at += 33) bytes[at] = 'y';
  overwrite(directory.file(segment_name(1)), bytes);
  auto reader = JournalReader::open({.directory = directory.path()});
  EXPECT_TRUE(drain(**reader).empty());
  EXPECT_EQ((*reader)->problem_count(), 3000U);
  EXPECT_EQ((*reader)->problems().size(), JournalReader::kMostProblemsKept);
}

TEST(JournalReader, FollowsAJournalThatIsBeingWritten) {
  const TemporaryDirectory directory;
  const auto writer = open_writer({.directory = directory.path(), .segment_bytes = 900});
  auto opened = JournalReader::open({.directory = directory.path(), .follow = true});
  ASSERT_TRUE(opened);
  JournalReader& reader = **opened;
  EXPECT_EQ(reader.next(), JournalReader::Next::end);
  Rng rng(3);
  std::uint64_t written = 0;
  std::uint64_t read = 0;
  while (written < 500) {
    for (std::uint64_t n = rng.below(20); n > 0; --n) append(*writer, ++written);
    while (reader.next() == JournalReader::Next::record) {
      ++read;
      ASSERT_EQ(reader.record().seq, read);
      ASSERT_EQ(reader.record().payload, payload_of(read));
    }
    ASSERT_EQ(read, written);
  }
  EXPECT_EQ(reader.problem_count(), 0U);
}

TEST(JournalReader, FollowsBesideAWriterInAnotherThread) {
  const TemporaryDirectory directory;
  const auto writer = open_writer({.directory = directory.path(), .segment_bytes = 5000});
  constexpr std::uint64_t kMany = 5000;
  std::thread thread([&] {
    for (std::uint64_t i = 1; i <= kMany; ++i) append(*writer, i);
  });
  auto opened = JournalReader::open({.directory = directory.path(), .follow = true});
  std::uint64_t read = 0;
  while (read < kMany) {
    if ((*opened)->next() != JournalReader::Next::record) {
      std::this_thread::yield();
      continue;
    }
    ++read;
    ASSERT_EQ((*opened)->record().seq, read);
    ASSERT_EQ((*opened)->record().payload, payload_of(read));
  }
  thread.join();
  EXPECT_EQ((*opened)->problem_count(), 0U);
}

}  // namespace
}  // namespace llmcore::io
