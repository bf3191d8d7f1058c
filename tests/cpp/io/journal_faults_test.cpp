// The journal over files that fail: what was acknowledged is there, in order and once, and nothing is acknowledged on a
// file after it failed.
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "journal_harness.hpp"
#include "llmcore/io/journal.hpp"
#include "llmcore/rng.hpp"

namespace llmcore::io {
namespace {

using Code = JournalError::Code;
using Fault = FaultyFiles::Fault;

/// Every record of `acknowledged` is among `records`, with what it held; numbers ascend.
void expect_all(const std::vector<ReadRecord>& records, const std::vector<ReadRecord>& acknowledged) {
  std::size_t at = 0;
  std::uint64_t last = 0;
  for (const ReadRecord& record : records) {
    ASSERT_GT(record.seq, last);
    last = record.seq;
    if (at < acknowledged.size() && record.seq == acknowledged[at].seq) {
      ASSERT_EQ(record, acknowledged[at]);
      ++at;
    }
  }
  ASSERT_EQ(at, acknowledged.size()) << "record " << acknowledged[at].seq << " was acknowledged and is not there";
}

bool is_segment(const std::string& path) { return path.ends_with(".journal"); }

TEST(JournalFaults, WritesThatAreCutShortGoOn) {
  const TemporaryDirectory directory;
  FaultyFiles files;
  Rng rng(1);
  files.on = [&](std::string_view operation, const std::string&, std::size_t bytes) {
    if (operation != "write" || bytes < 2) return Fault{};
    return Fault{0, static_cast<std::size_t>(1 + rng.below(bytes - 1)), true};
  };
  std::vector<ReadRecord> acknowledged;
  const auto writer = open_writer({.directory = directory.path(), .segment_bytes = 3000}, files);
  for (std::uint64_t i = 1; i <= 200; ++i) {
    const std::string payload(i, 'x');
    ASSERT_TRUE(writer->append(2, payload));
    acknowledged.push_back({i, 2, payload});
  }
  EXPECT_EQ(read_clean(directory.path()), acknowledged);
}

class JournalWriteFails : public testing::TestWithParam<Ack> {};

TEST_P(JournalWriteFails, NothingIsAcknowledgedOnThatFileAgain) {
  // At each place of the record that fails, from none of it to all of it on the file.
  for (std::size_t first = 0; first <= kRecordHeaderBytes + 24; first += 4) {
    const TemporaryDirectory directory;
    FaultyFiles files;
    bool broken = false;
    std::string failed;
    files.on = [&](std::string_view operation, const std::string& path, std::size_t bytes) {
      if (operation == "write" && path == failed) ADD_FAILURE() << "written to again";
      // What the failed write left is cut off if the system lets us, and met by readers if not.
      if (operation == "truncate" && first % 8 == 0) return Fault{EIO};
      if (!broken || operation != "write" || !is_segment(path)) return Fault{};
      broken = false;
      failed = path;
      return Fault{EIO, std::min(first, bytes)};
    };
    std::vector<ReadRecord> acknowledged;
    const auto writer = open_writer({.directory = directory.path(), .ack = GetParam(), .window_bytes = 0}, files);
    const auto append = [&](const std::string& payload) {
      const auto seq = writer->append(3, payload);
      if (seq) acknowledged.push_back({*seq, 3, payload});
      return seq ? Code::none : seq.error().code;
    };
    for (int i = 0; i < 10; ++i) ASSERT_EQ(append("before " + std::to_string(i)), Code::none);
    broken = true;
    if (GetParam() == Ack::memory) {
      ASSERT_EQ(append("twenty characters ..."), Code::none);  // in the window, which is kept
    } else {
      const auto refused = writer->append(3, "twenty characters ...");
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().code, Code::system);
      EXPECT_EQ(refused.error().file.code, EIO);
    }
    for (int i = 0; i < 5; ++i) ASSERT_EQ(append("never"), Code::failed);
    EXPECT_EQ(writer->sync().code, Code::failed);
    EXPECT_EQ(writer->flush().code, Code::failed);
    EXPECT_TRUE(writer->stats().failed);
    ASSERT_FALSE(writer->recover());
    EXPECT_FALSE(writer->stats().failed);
    for (int i = 0; i < 10; ++i) ASSERT_EQ(append("after " + std::to_string(i)), Code::none);
    ASSERT_FALSE(writer->sync());
    const auto records = read_clean(directory.path());
    expect_all(records, acknowledged);
    // At most the one whose caller was told that it failed.
    EXPECT_LE(records.size(), acknowledged.size() + 1);
    EXPECT_EQ(writer->stats().failures, 1U);
    EXPECT_EQ(writer->stats().refused, GetParam() == Ack::memory ? 5U : 6U);
    EXPECT_EQ(writer->stats().appended, acknowledged.size());
  }
}

INSTANTIATE_TEST_SUITE_P(AtEveryAck, JournalWriteFails, testing::Values(Ack::memory, Ack::os, Ack::disk));

TEST(JournalFaults, ASyncThatFailsAcknowledgesNobodyWhoWaitsForIt) {
  for (const char* operation : {"sync", "sync directory"}) {
    const TemporaryDirectory directory;
    FaultyFiles files;
    std::atomic<bool> broken = false;
    std::atomic<int> failures = 0;
    files.on = [&](std::string_view asked, const std::string&, std::size_t) {
      if (!broken || asked != operation) return Fault{};
      ++failures;
      return Fault{EIO};
    };
    const auto writer = open_writer({.directory = directory.path(), .ack = Ack::disk, .segment_bytes = 600}, files);
    std::mutex mutex;
    std::vector<ReadRecord> acknowledged;
    const auto append_from_threads = [&](const std::string& payload, bool expected) {
      std::vector<std::thread> threads;
      for (int t = 0; t < 8; ++t) {
        threads.emplace_back([&] {
          for (int i = 0; i < 5; ++i) {
            const auto seq = writer->append(1, payload);
            EXPECT_EQ(static_cast<bool>(seq), expected);
            const std::lock_guard hold(mutex);
            if (seq) acknowledged.push_back({*seq, 1, payload});
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
    };
    append_from_threads("before", true);
    ASSERT_EQ(acknowledged.size(), 40U);
    if (std::string_view(operation) == "sync directory") {
      // Directories are synced when there is a new segment.
      static_cast<void>(writer->append(1, std::string(500, 'x')));
    }
    broken = true;
    append_from_threads(std::string(200, 'n'), false);
    EXPECT_EQ(failures, 1) << "not tried again on the same file";
    ASSERT_EQ(acknowledged.size(), 40U);
    broken = false;
    ASSERT_FALSE(writer->recover());
    append_from_threads("after", true);
    ASSERT_EQ(acknowledged.size(), 80U);
    std::sort(acknowledged.begin(), acknowledged.end(), [](const auto& a, const auto& b) { return a.seq < b.seq; });
    files.cut_power(directory.path());
    expect_all(read_clean(directory.path()), acknowledged);
  }
}

TEST(JournalFaults, WhatIsAcknowledgedAtDiskSurvivesAPowerCutAtAnyMoment) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const TemporaryDirectory directory;
    FaultyFiles files;
    Rng rng(seed);
    // The power goes at the n-th operation: from then on every one fails.
    std::uint64_t operations_left = 5 + rng.below(150);
    bool off = false;
    files.on = [&](std::string_view, const std::string&, std::size_t bytes) {
      off = off || operations_left-- == 0;
      return off ? Fault{EIO, bytes / 2} : Fault{};
    };
    std::mutex mutex;
    std::vector<ReadRecord> acknowledged;
    {
      auto opened =
          JournalWriter::open({.directory = directory.path(), .ack = Ack::disk, .segment_bytes = 1500}, files);
      if (opened) {
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t) {
          threads.emplace_back([&, t] {
            for (int i = 0; i < 50; ++i) {
              const std::string payload = std::to_string(t) + "/" + std::to_string(i) + std::string(100, '.');
              const auto seq = (*opened)->append(1, payload);
              if (!seq) break;
              const std::lock_guard hold(mutex);
              acknowledged.push_back({*seq, 1, payload});
            }
          });
        }
        for (std::thread& thread : threads) thread.join();
      }
    }
    std::sort(acknowledged.begin(), acknowledged.end(), [](const auto& a, const auto& b) { return a.seq < b.seq; });
    files.cut_power(directory.path());
    expect_all(read_clean(directory.path()), acknowledged);
    if (HasFatalFailure()) FAIL() << "seed " << seed;

    // And the journal goes on from there.
    const auto writer = open_writer({.directory = directory.path(), .ack = Ack::disk});
    const auto seq = writer->append(1, "after");
    ASSERT_TRUE(seq);
    acknowledged.push_back({*seq, 1, "after"});
    expect_all(read_clean(directory.path()), acknowledged);
  }
}

/// A disk with room for so many bytes.
struct SmallDisk {
  explicit SmallDisk(FaultyFiles& files, std::size_t bytes) : room(bytes) {
    files.on = [this](std::string_view operation, const std::string&, std::size_t wanted) {
      if (operation != "write") return Fault{};
      if (wanted <= room) {
        room -= wanted;
        return Fault{};
      }
      // Filled up to its last byte; what was written stays written.
      return Fault{ENOSPC, std::exchange(room, 0)};
    };
  }
  std::size_t room;
};

class JournalDiskFull : public testing::TestWithParam<std::tuple<Ack, OnFull>> {};

TEST_P(JournalDiskFull, CountsWhatItDropsAndGoesOnWhenThereIsRoom) {
  const auto [ack, on_full] = GetParam();
  const TemporaryDirectory directory;
  FaultyFiles files;
  SmallDisk disk(files, 5000);
  const auto writer = open_writer(
      {.directory = directory.path(), .ack = ack, .on_full = on_full, .segment_bytes = 2000, .window_bytes = 500},
      files);
  std::vector<ReadRecord> acknowledged;
  std::uint64_t dropped = 0;
  std::uint64_t refused = 0;
  const auto append = [&](std::uint64_t i) {
    const std::string payload = "record " + std::to_string(i) + std::string(80, '.');
    const auto seq = writer->append(1, payload);
    if (!seq) {
      EXPECT_EQ(seq.error().code, Code::full);
      ++refused;
    } else if (*seq == 0) {
      ++dropped;
    } else {
      acknowledged.push_back({*seq, 1, payload});
    }
  };
  for (std::uint64_t i = 0; i < 100; ++i) append(i);
  const std::uint64_t lost = dropped + refused;
  EXPECT_GT(lost, 30U);
  EXPECT_EQ(on_full == OnFull::drop ? refused : dropped, 0U);
  disk.room = 1'000'000;
  for (std::uint64_t i = 100; i < 200; ++i) append(i);
  EXPECT_EQ(dropped + refused, lost) << "it goes on by itself when there is room again";
  ASSERT_FALSE(writer->sync());
  const JournalStats stats = writer->stats();
  EXPECT_EQ(stats.dropped, dropped);
  EXPECT_EQ(stats.refused, refused);
  EXPECT_EQ(stats.appended, acknowledged.size());
  EXPECT_EQ(acknowledged.size() + lost, 200U);
  EXPECT_EQ(read_clean(directory.path()), acknowledged);
}

INSTANTIATE_TEST_SUITE_P(AtEveryAck, JournalDiskFull,
                         testing::Combine(testing::Values(Ack::memory, Ack::os, Ack::disk),
                                          testing::Values(OnFull::fail, OnFull::drop)));

TEST(JournalFaults, TheWindowOfMemoryIsKeptThroughAFailure) {
  const TemporaryDirectory directory;
  FaultyFiles files;
  bool broken = false;
  files.on = [&](std::string_view operation, const std::string&, std::size_t bytes) {
    return broken && operation == "write" ? Fault{EIO, bytes / 2} : Fault{};
  };
  const auto writer = open_writer({.directory = directory.path(), .ack = Ack::memory, .window_bytes = 10'000}, files);
  std::vector<ReadRecord> taken;
  const auto append = [&](const std::string& payload) {
    const auto seq = writer->append(1, payload);
    ASSERT_TRUE(seq);
    taken.push_back({*seq, 1, payload});
  };
  for (int i = 0; i < 30; ++i) append("before " + std::to_string(i));
  broken = true;
  ASSERT_EQ(writer->flush().code, Code::system);
  EXPECT_GT(writer->stats().buffered_bytes, 0U);
  EXPECT_EQ(writer->recover().code, Code::system);
  broken = false;
  ASSERT_FALSE(writer->recover());
  for (int i = 0; i < 30; ++i) append("after " + std::to_string(i));
  ASSERT_FALSE(writer->flush());
  EXPECT_EQ(read_clean(directory.path()), taken);
}

TEST(JournalFaults, ARepairThatCannotKeepTheTornPartLeavesIt) {
  const TemporaryDirectory directory;
  {
    ASSERT_TRUE(open_writer({.directory = directory.path()})->append(1, "one"));
  }
  const std::string path = directory.file(segment_name(1));
  const std::string whole = contents(path);
  overwrite(path, whole + "torn");
  FaultyFiles files;
  files.on = [](std::string_view operation, const std::string& name, std::size_t) {
    return operation == "write" && name.ends_with(".torn") ? Fault{ENOSPC} : Fault{};
  };
  const auto writer = open_writer({.directory = directory.path()}, files);
  EXPECT_EQ(writer->stats().torn_bytes, 0U);
  EXPECT_EQ(contents(path), whole + "torn");
  EXPECT_FALSE(std::filesystem::exists(directory.file("00000000000000000001.torn")));
  ASSERT_TRUE(writer->append(1, "two"));
  EXPECT_EQ(read_clean(directory.path()).size(), 2U);
}

TEST(JournalFaults, AFileThatCannotBeReadIsReportedAndTheNextOneRead) {
  const TemporaryDirectory directory;
  {
    const auto writer = open_writer({.directory = directory.path(), .segment_bytes = 500});
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(writer->append(1, std::string(50, 'x')));
  }
  FaultyFiles files;
  files.on = [](std::string_view operation, const std::string& path, std::size_t) {
    if (operation == "read" && path.ends_with(segment_name(3))) return Fault{EIO};
    if (operation == "open" && path.ends_with(segment_name(5))) return Fault{EACCES};
    return Fault{};
  };
  auto reader = JournalReader::open({.directory = directory.path()}, files);
  const auto records = drain(**reader);
  EXPECT_EQ(records.back().seq, 50U);
  std::vector<std::pair<JournalProblem::What, std::uint64_t>> problems;
  for (const JournalProblem& problem : (*reader)->problems()) problems.emplace_back(problem.what, problem.segment);
  using What = JournalProblem::What;
  EXPECT_EQ(problems, (std::vector<std::pair<What, std::uint64_t>>{{What::unreadable_file, 3},
                                                                   {What::missing_segments, 4},
                                                                   {What::unreadable_file, 5},
                                                                   {What::missing_segments, 6}}));
}

}  // namespace
}  // namespace llmcore::io
