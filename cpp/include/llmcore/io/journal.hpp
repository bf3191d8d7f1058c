// A journal in a directory: one writer, any number of readers, which may be other processes.
//
// JournalWriter is thread-safe; JournalReader is used by one thread at a time. Errors are values; nothing here throws
// but for want of memory. Appending is O(bytes); opening reads the newest segment once. The bytes are
// journal_format.hpp.
//
// The directory holds segments (00000000000000000001.journal and on), a lock file, and what repairs cut off
// (....torn). A writer appends only to segments that it began itself, so what an earlier process could not bring to the
// disk is never built upon.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "llmcore/io/file.hpp"
#include "llmcore/journal_format.hpp"

namespace llmcore::io {

/// What an append that returned can be relied on to survive.
enum class Ack : std::uint8_t {
  memory,  ///< nothing: the newest JournalConfig::window_bytes of records are lost with the process
  os,      ///< the end of the process, kill -9 included
  disk,    ///< the end of the machine's power; appends of several threads share one wait for the disk
};

/// What to do with a record that does not fit on the disk. Waiting is up to the caller: take fail, and try again.
enum class OnFull : std::uint8_t {
  fail,  ///< an error
  drop,  ///< counted, and forgotten: append() gives 0
};

struct JournalConfig {
  std::string directory;
  Ack ack = Ack::os;
  OnFull on_full = OnFull::fail;
  std::uint64_t segment_bytes = 16U * 1024 * 1024;  ///< a segment takes no further record beyond this
  /// Whole segments leave, the oldest first, to keep all of them together within this; 0: never. Segments and records
  /// are held to a quarter and a half of it.
  std::uint64_t total_bytes = 0;
  std::uint32_t max_record_bytes = kMaxRecordBytes;  ///< longer payloads are refused
  std::size_t window_bytes = 256U * 1024;            ///< of Ack::memory: written when this much has gathered
};

/// Why something could not be done.
struct JournalError {
  enum class Code : std::uint8_t {
    none,
    system,         ///< the system refused, see `file`; trying again may help
    full,           ///< no room left; it works again when there is some
    failed,         ///< an earlier write or sync failed, `file` says how: recover() goes on in a new segment
    too_long,       ///< a payload above max_record_bytes
    locked,         ///< another writer has this directory
    closed,         ///< after close()
    forked,         ///< this writer belongs to the parent process
    newer_version,  ///< the directory was written by a later version
    invalid,        ///< a configuration that makes no sense
  };
  Code code = Code::none;
  FileError file;
  std::string what;  ///< for Code::invalid

  [[nodiscard]] explicit operator bool() const noexcept { return code != Code::none; }
  /// What happened and what to do next.
  [[nodiscard]] std::string message() const;
};

struct JournalStats {
  std::uint64_t appended = 0;        ///< records taken, in this writer's life
  std::uint64_t appended_bytes = 0;  ///< their payloads
  std::uint64_t dropped = 0;         ///< records forgotten for want of room (OnFull::drop)
  std::uint64_t refused = 0;         ///< records refused by an error
  std::uint64_t last_seq = 0;        ///< of the newest record taken, 0 if there is none
  std::uint64_t written_seq = 0;     ///< everything up to here was handed to the system
  std::uint64_t durable_seq = 0;     ///< everything up to here is on the disk, but for what a sync failed for
  std::uint64_t buffered_bytes = 0;  ///< what would be lost with the process
  std::uint64_t writes = 0;
  std::uint64_t syncs = 0;
  std::uint64_t segments = 0;          ///< files that there are
  std::uint64_t bytes = 0;             ///< in them
  std::uint64_t segments_dropped = 0;  ///< whole segments that left to keep total_bytes
  std::uint64_t records_dropped = 0;   ///< records in those
  std::uint64_t torn_bytes = 0;        ///< cut off and kept aside when this writer opened the journal
  std::uint64_t failures = 0;          ///< writes and syncs that failed, each of another segment
  bool failed = false;                 ///< nothing is taken before recover()
};

class JournalWriter {
 public:
  /// Takes the directory's lock, repairs a torn end, and makes no segment before the first record.
  [[nodiscard]] static Result<std::unique_ptr<JournalWriter>, JournalError> open(JournalConfig config,
                                                                                 FileSystem& files = system_files());
  JournalWriter(const JournalWriter&) = delete;
  JournalWriter& operator=(const JournalWriter&) = delete;
  /// As close(), without a word about what fails. In a forked child: nothing, the journal is the parent's.
  ~JournalWriter();

  /// The record's sequence number once it is acknowledged as configured, or 0 if it was dropped. After an error the
  /// record is not acknowledged and will not be written later; a reader may meet it or not.
  [[nodiscard]] Result<std::uint64_t, JournalError> append(std::uint16_t kind, std::string_view payload);
  [[nodiscard]] Result<std::uint64_t, JournalError> append(RecordKind kind, std::string_view payload) {
    return append(static_cast<std::uint16_t>(kind), payload);
  }

  /// Hands everything appended so far to the system.
  [[nodiscard]] JournalError flush();
  /// Brings everything appended so far to the disk.
  [[nodiscard]] JournalError sync();
  /// After Code::failed: goes on in a new segment. Of Ack::memory nothing in the window is given up.
  [[nodiscard]] JournalError recover();
  /// Removes whole segments that hold nothing from `seq` on, never the newest. Gives how many.
  [[nodiscard]] Result<std::uint64_t, JournalError> release(std::uint64_t seq);
  /// Writes what is buffered, brings it to the disk if that was the acknowledgement, and lets go of the directory.
  [[nodiscard]] JournalError close();

  [[nodiscard]] JournalStats stats() const;

 private:
  struct State;
  explicit JournalWriter(std::unique_ptr<State> state);
  [[nodiscard]] bool forked() const noexcept;

  std::uint64_t generation_;
  std::unique_ptr<State> state_;
};

struct JournalReaderConfig {
  std::string directory;
  std::uint64_t from_seq = 0;  ///< records before this are not given
  /// The last segment is still being written: next() may give a record again after it gave end.
  bool follow = false;
  std::uint32_t max_record_bytes = kMaxRecordBytes;  ///< longer ones are skipped and reported
};

/// Reads records in their order, a bounded piece of a file at a time: the longest record plus 64 KiB.
class JournalReader {
 public:
  enum class Next : std::uint8_t {
    record,  ///< record() is one
    end,     ///< nothing more, for now if following
  };
  static constexpr std::size_t kMostProblemsKept = 1000;

  /// A directory without segments reads as an empty journal; one that is not there is an error.
  [[nodiscard]] static Result<std::unique_ptr<JournalReader>, JournalError> open(JournalReaderConfig config,
                                                                                 FileSystem& files = system_files());
  JournalReader(const JournalReader&) = delete;
  JournalReader& operator=(const JournalReader&) = delete;
  ~JournalReader();

  [[nodiscard]] Next next();
  /// Valid until the next call of next().
  [[nodiscard]] const JournalRecord& record() const noexcept;

  /// What was not as it was written so far, in order; the first kMostProblemsKept of problem_count().
  [[nodiscard]] const std::vector<JournalProblem>& problems() const noexcept;
  [[nodiscard]] std::uint64_t problem_count() const noexcept;
  /// Of the journal, once a segment was read; nullptr before.
  [[nodiscard]] const JournalId* journal() const noexcept;

 private:
  struct State;
  explicit JournalReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace llmcore::io
