// The bytes of a journal: segment headers, records, and a parser that believes none of them.
//
// Pure: bytes in, bytes out; files are io/journal.hpp. Not thread-safe, but without hidden state. Encoding and parsing
// are O(bytes). docs/journal_format.md tells the same to the byte, for readers in other languages.
//
// A journal is a sequence of segments. A segment is a header, written twice, and records:
//   marker, length, sequence number, kind, flags, checksum of the record before, checksum of the payload, checksum of
//   these fields; payload.
// The last checksum is keyed with the segment's identity, so neither bytes of another journal nor a journal inside a
// payload are taken for a record of this one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "llmcore/journal_kinds.hpp"
#include "llmcore/types.hpp"

namespace llmcore {

inline constexpr std::uint16_t kJournalVersion = 1;
inline constexpr std::size_t kSegmentHeaderBytes = 128;
inline constexpr std::size_t kRecordHeaderBytes = 32;
/// The longest payload that is written or read unless somebody says otherwise.
inline constexpr std::uint32_t kMaxRecordBytes = 64U * 1024 * 1024;

/// Drawn at random when a journal is begun; the same in all of its segments.
using JournalId = std::array<std::uint8_t, 16>;

struct SegmentHeader {
  JournalId journal{};
  std::uint64_t number = 1;     ///< ascending; also in the file's name
  std::uint64_t first_seq = 1;  ///< sequence number of the first record
  /// How many sequence numbers before first_seq were given up: their writes failed and were never acknowledged.
  std::uint32_t abandoned = 0;
  WallTime created = 0;  ///< a label
  friend bool operator==(const SegmentHeader&, const SegmentHeader&) = default;
};

[[nodiscard]] std::array<char, kSegmentHeaderBytes> encode_segment_header(const SegmentHeader& header) noexcept;

/// What stands at the beginning of a segment.
struct DecodedSegmentHeader {
  enum class State : std::uint8_t {
    ok,
    first_copy_damaged,   ///< read from the second
    second_copy_damaged,  ///< read from the first
    incomplete,           ///< the file ends before the header does
    unreadable,           ///< both copies are damaged, or this is no journal
    newer,                ///< written by a later version of the format
  };
  State state = State::unreadable;
  SegmentHeader header;
  std::uint16_t version = 0;
  [[nodiscard]] bool usable() const noexcept {
    return state == State::ok || state == State::first_copy_damaged || state == State::second_copy_damaged;
  }
};

/// Looks at the first kSegmentHeaderBytes of a segment; fewer only if it has no more.
[[nodiscard]] DecodedSegmentHeader decode_segment_header(std::string_view bytes) noexcept;

/// Writes the records of one segment, in order.
class RecordEncoder {
 public:
  RecordEncoder() noexcept = default;
  explicit RecordEncoder(const SegmentHeader& header) noexcept;

  /// The bytes to put before `payload` for the next record; the record's number is next_seq(). A payload must be
  /// shorter than 2^32 bytes.
  [[nodiscard]] std::array<char, kRecordHeaderBytes> next(std::uint16_t kind, std::string_view payload) noexcept;
  [[nodiscard]] std::uint64_t next_seq() const noexcept { return next_seq_; }

 private:
  std::uint32_t key_ = 0;
  std::uint32_t previous_ = 0;
  std::uint64_t next_seq_ = 0;
};

/// A record as it stands in a segment. `payload` points into the bytes that were parsed.
struct JournalRecord {
  std::uint64_t seq = 0;
  std::uint16_t kind = 0;
  std::string_view payload;
  std::uint64_t segment = 0;  ///< the segment's number
  std::uint64_t offset = 0;   ///< of the record's first byte in the segment
};

/// Something that is not as it was written.
struct JournalProblem {
  enum class What : std::uint8_t {
    header_copy,       ///< one of the two copies of a segment's header; nothing is lost
    header,            ///< both copies: the segment cannot be read
    newer_version,     ///< a segment of a later format: not read
    foreign_segment,   ///< a segment of another journal, or under another's name: not read
    record,            ///< bytes that are no record, skipped up to the next one
    payload,           ///< a record whose payload does not fit its checksum, skipped
    record_too_long,   ///< a record longer than this reader takes, skipped
    missing_records,   ///< sequence numbers that should stand before the next record and do not
    missing_segments,  ///< the same between two segments
    unreadable_file,   ///< the system failed to read: the rest of the segment is not read
  };
  What what = What::record;
  std::uint64_t segment = 0;
  std::uint64_t offset = 0;  ///< where in the segment
  std::uint64_t bytes = 0;   ///< how many bytes were skipped
  std::uint64_t seq = 0;     ///< of the record lost, or of the first one missing; 0 if nobody knows
  std::uint64_t count = 0;   ///< how many records are lost, 0 if nobody knows
  friend bool operator==(const JournalProblem&, const JournalProblem&) = default;
};

/// A sentence's worth of what `what` means.
[[nodiscard]] std::string_view to_string(JournalProblem::What what) noexcept;

/// Finds the records of one segment in bytes that come in pieces.
///
/// The caller keeps a window of the segment and gives it to next() again and again, each time without the bytes that
/// were consumed. The parser keeps no bytes and allocates nothing; a window never needs more than one record.
class JournalParser {
 public:
  struct Step {
    enum class What : std::uint8_t {
      record,   ///< `record` is one, and points into the window
      problem,  ///< `problem` is one
      more,     ///< the window must hold `wanted` bytes; the segment has them
      end,      ///< nothing more in the segment as it is now; `torn` bytes at its end are the beginning of something
    };
    What what = What::end;
    std::size_t consumed = 0;  ///< bytes at the window's beginning that are done with, to be counted always
    std::size_t wanted = 0;
    std::uint64_t torn = 0;
    JournalRecord record;
    JournalProblem problem;
  };

  /// For the segment that its name calls `number`.
  explicit JournalParser(std::uint64_t number, std::uint32_t max_record_bytes = kMaxRecordBytes) noexcept
      : number_(number), max_record_bytes_(max_record_bytes) {}

  /// `left` is how many bytes the segment has from the window's beginning on, those in the window included: lengths are
  /// held against it. `sealed` says that it will not grow, so that what is incomplete stays so.
  [[nodiscard]] Step next(std::string_view window, std::uint64_t left, bool sealed) noexcept;

  /// Where the window begins.
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
  /// Nullptr before a usable one was seen.
  [[nodiscard]] const SegmentHeader* header() const noexcept { return header_usable_ ? &header_ : nullptr; }
  /// Sequence number that the next record should have; 0 if there was no usable header.
  [[nodiscard]] std::uint64_t expected_seq() const noexcept { return expected_seq_; }
  /// Whether everything up to here was as it was written.
  [[nodiscard]] bool clean() const noexcept { return clean_; }

 private:
  struct Fields;
  enum class Mode : std::uint8_t { header, blank, records, lost, skipping, dead };

  [[nodiscard]] Step parse_header(std::string_view window, std::uint64_t left, bool sealed) noexcept;
  [[nodiscard]] Step blank(std::string_view window, std::uint64_t left, bool sealed) noexcept;
  [[nodiscard]] Step parse_record(std::string_view window, std::uint64_t left, bool sealed) noexcept;
  [[nodiscard]] Step search(std::string_view window, std::uint64_t left, bool sealed) noexcept;
  [[nodiscard]] Step skip(std::string_view window, std::uint64_t left) noexcept;
  [[nodiscard]] bool valid(const Fields& fields, std::string_view at) const noexcept;
  [[nodiscard]] Step report(JournalProblem::What what, std::uint64_t offset, std::uint64_t bytes, std::uint64_t seq,
                            std::uint64_t count, std::size_t consumed) noexcept;
  [[nodiscard]] Step take(Step step) noexcept;

  std::uint64_t number_;
  std::uint32_t max_record_bytes_;
  Mode mode_ = Mode::header;
  bool header_usable_ = false;
  bool clean_ = true;
  bool chained_ = true;        // the next record must follow the last one
  bool lost_all_zero_ = true;  // what is being skipped holds nothing but zeros
  std::uint32_t key_ = 0;
  std::uint32_t previous_ = 0;
  std::uint64_t expected_seq_ = 0;
  std::uint64_t offset_ = 0;
  std::uint64_t lost_since_ = 0;
  std::uint64_t skip_left_ = 0;
  SegmentHeader header_;
};

}  // namespace llmcore
