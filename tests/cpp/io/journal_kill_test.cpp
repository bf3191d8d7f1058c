// kill -9 at any moment: what was acknowledged at os or disk is there, in order and once.
#include <gtest/gtest.h>

#if defined(__unix__) || defined(__APPLE__)

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <string>

#include "journal_harness.hpp"
#include "llmcore/io/journal.hpp"
#include "llmcore/rng.hpp"

namespace llmcore::io {
namespace {

// A sanitized process is slow to fork, and being killed is not what sanitizers look at.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kSlowness = 10;
#else
constexpr int kSlowness = 1;
#endif

std::string payload_of(std::uint64_t seq) { return std::string(seq % 300, static_cast<char>('a' + seq % 26)); }

/// What the child does until it is killed: append, and tell the pipe what was acknowledged.
[[noreturn]] void append_for_ever(const JournalConfig& config, int acknowledgements) {
  auto writer = JournalWriter::open(config);
  if (!writer) _exit(1);
  for (std::uint64_t expected = (*writer)->stats().last_seq + 1;; ++expected) {
    const auto seq = (*writer)->append(5, payload_of(expected));
    if (!seq || *seq != expected) _exit(2);
    if (write(acknowledgements, &*seq, sizeof(*seq)) != static_cast<ssize_t>(sizeof(*seq))) _exit(3);
  }
}

class JournalKilled : public testing::TestWithParam<Ack> {};

TEST_P(JournalKilled, LosesNothingThatWasAcknowledged) {
  const TemporaryDirectory directory;
  ASSERT_FALSE(system_files().make_directory(directory.path()));
  const JournalConfig config{
      .directory = directory.path(), .ack = GetParam(), .segment_bytes = 4000, .window_bytes = 1000};
  Rng rng(static_cast<std::uint64_t>(GetParam()));
  std::uint64_t acknowledged = 0;
  const int rounds = (GetParam() == Ack::os ? 180 : 60) / kSlowness;
  for (int round = 0; round < rounds; ++round) {
    int ends[2] = {-1, -1};
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      append_for_ever(config, ends[1]);
    }
    close(ends[1]);
    // After so many acknowledgements, and then a moment that nobody chooses.
    std::uint64_t seq = 0;
    for (std::uint64_t left = rng.below(GetParam() == Ack::disk ? 6 : 40); left > 0; --left) {
      ASSERT_EQ(read(ends[0], &seq, sizeof(seq)), static_cast<ssize_t>(sizeof(seq))) << "the child ended by itself";
    }
    for (std::uint64_t spin = rng.below(20'000); spin > 0; --spin) {
      asm volatile("");
    }
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself with " << WEXITSTATUS(status);
    while (read(ends[0], &seq, sizeof(seq)) == static_cast<ssize_t>(sizeof(seq))) {
    }
    close(ends[0]);
    acknowledged = std::max(acknowledged, seq);

    // All of it, from the first record on, each time: a later writer must not harm what an earlier one left.
    const auto records = read_clean(directory.path());
    for (std::size_t i = 0; i < records.size(); ++i) {
      ASSERT_EQ(records[i].seq, i + 1) << "round " << round;
      ASSERT_EQ(records[i].payload, payload_of(i + 1)) << "round " << round;
    }
    std::size_t bytes_lost = 0;
    for (std::uint64_t lost = records.size() + 1; lost <= acknowledged; ++lost) {
      bytes_lost += kRecordHeaderBytes + payload_of(lost).size();
    }
    ASSERT_LE(bytes_lost, GetParam() == Ack::memory ? config.window_bytes : 0U) << "round " << round;
    acknowledged = records.size();
  }
  EXPECT_GT(acknowledged, 100U / kSlowness);
}

INSTANTIATE_TEST_SUITE_P(AtEveryAck, JournalKilled, testing::Values(Ack::memory, Ack::os, Ack::disk));

}  // namespace
}  // namespace llmcore::io

#endif
