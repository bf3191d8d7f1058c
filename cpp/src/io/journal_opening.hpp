// What a writer finds in its directory, and what it repairs there. For the journal's own sources.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "llmcore/io/file.hpp"
#include "llmcore/io/journal.hpp"

namespace llmcore::io {

struct SegmentSummary {
  std::uint64_t number = 0;
  std::uint64_t first_seq = 0;
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
};

struct OpenedJournal {
  std::unique_ptr<FileLock> lock;
  JournalId journal{};
  std::deque<SegmentSummary> segments;
  std::uint64_t next_number = 1;
  std::uint64_t next_seq = 1;
  std::uint64_t abandoned = 0;   ///< sequence numbers left out on the way there
  std::uint64_t torn_bytes = 0;  ///< cut off and kept aside
};

/// Locks the directory, made if need be, finds where the journal in it ends, and cuts off a torn end.
[[nodiscard]] Result<OpenedJournal, JournalError> open_journal_directory(const JournalConfig& config,
                                                                         FileSystem& files);

}  // namespace llmcore::io
