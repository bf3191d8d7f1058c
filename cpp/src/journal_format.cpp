#include "llmcore/journal_format.hpp"

#include <algorithm>
#include <concepts>
#include <cstring>

#include "assert.hpp"
#include "llmcore/crc32c.hpp"

namespace llmcore {
namespace {

constexpr std::string_view kSegmentMagic = "LLMCJRNL";
constexpr std::string_view kRecordMarker = "\xf5LJR";
constexpr std::size_t kHeaderCopyBytes = kSegmentHeaderBytes / 2;

// Where the fields of a segment's header stand in each of its copies.
namespace segment_at {
constexpr std::size_t kMagic = 0;
constexpr std::size_t kVersion = 8;
constexpr std::size_t kBytes = 10;
constexpr std::size_t kFlags = 12;
constexpr std::size_t kJournal = 16;
constexpr std::size_t kNumber = 32;
constexpr std::size_t kFirstSeq = 40;
constexpr std::size_t kAbandoned = 48;
constexpr std::size_t kCreated = 52;
constexpr std::size_t kCrc = 60;
}  // namespace segment_at

// And those of a record's.
namespace record_at {
constexpr std::size_t kMarker = 0;
constexpr std::size_t kLength = 4;
constexpr std::size_t kSeq = 8;
constexpr std::size_t kKind = 16;
constexpr std::size_t kFlags = 18;
constexpr std::size_t kPrevious = 20;
constexpr std::size_t kPayloadCrc = 24;
constexpr std::size_t kHeaderCrc = 28;
}  // namespace record_at

template <std::unsigned_integral T>
void put(char* at, T value) noexcept {
  for (std::size_t i = 0; i < sizeof(T); ++i) at[i] = static_cast<char>(static_cast<std::uint8_t>(value >> (8 * i)));
}

template <std::unsigned_integral T>
T get(std::string_view bytes, std::size_t at) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value |= std::uint64_t{static_cast<std::uint8_t>(bytes[at + i])} << (8 * i);
  }
  return static_cast<T>(value);
}

/// What keys the checksums of a segment's record headers.
std::uint32_t key_of(const SegmentHeader& header) noexcept {
  std::array<char, 24> identity;
  std::memcpy(identity.data(), header.journal.data(), header.journal.size());
  put(identity.data() + header.journal.size(), header.number);
  return crc32c({identity.data(), identity.size()});
}

std::array<char, kHeaderCopyBytes> encode_copy(const SegmentHeader& header) noexcept {
  std::array<char, kHeaderCopyBytes> bytes{};
  std::memcpy(bytes.data() + segment_at::kMagic, kSegmentMagic.data(), kSegmentMagic.size());
  put(bytes.data() + segment_at::kVersion, kJournalVersion);
  put(bytes.data() + segment_at::kBytes, static_cast<std::uint16_t>(kSegmentHeaderBytes));
  put(bytes.data() + segment_at::kFlags, std::uint32_t{0});
  std::memcpy(bytes.data() + segment_at::kJournal, header.journal.data(), header.journal.size());
  put(bytes.data() + segment_at::kNumber, header.number);
  put(bytes.data() + segment_at::kFirstSeq, header.first_seq);
  put(bytes.data() + segment_at::kAbandoned, header.abandoned);
  put(bytes.data() + segment_at::kCreated, static_cast<std::uint64_t>(header.created));
  put(bytes.data() + segment_at::kCrc, crc32c({bytes.data(), segment_at::kCrc}));
  return bytes;
}

struct Copy {
  bool intact = false;
  std::uint16_t version = 0;
  SegmentHeader header;
};

Copy decode_copy(std::string_view bytes) noexcept {
  Copy copy;
  if (bytes.substr(segment_at::kMagic, kSegmentMagic.size()) != kSegmentMagic) return copy;
  if (get<std::uint32_t>(bytes, segment_at::kCrc) != crc32c(bytes.substr(0, segment_at::kCrc))) return copy;
  copy.intact = true;
  copy.version = get<std::uint16_t>(bytes, segment_at::kVersion);
  std::memcpy(copy.header.journal.data(), bytes.data() + segment_at::kJournal, copy.header.journal.size());
  copy.header.number = get<std::uint64_t>(bytes, segment_at::kNumber);
  copy.header.first_seq = get<std::uint64_t>(bytes, segment_at::kFirstSeq);
  copy.header.abandoned = get<std::uint32_t>(bytes, segment_at::kAbandoned);
  copy.header.created = static_cast<WallTime>(get<std::uint64_t>(bytes, segment_at::kCreated));
  return copy;
}

bool all_zero(std::string_view bytes) noexcept {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 0; });
}

}  // namespace

std::array<char, kSegmentHeaderBytes> encode_segment_header(const SegmentHeader& header) noexcept {
  const auto copy = encode_copy(header);
  std::array<char, kSegmentHeaderBytes> bytes;
  std::memcpy(bytes.data(), copy.data(), copy.size());
  std::memcpy(bytes.data() + copy.size(), copy.data(), copy.size());
  return bytes;
}

DecodedSegmentHeader decode_segment_header(std::string_view bytes) noexcept {
  using State = DecodedSegmentHeader::State;
  DecodedSegmentHeader decoded;
  if (bytes.size() < kSegmentHeaderBytes) {
    decoded.state = State::incomplete;
    return decoded;
  }
  const Copy first = decode_copy(bytes.substr(0, kHeaderCopyBytes));
  const Copy second = decode_copy(bytes.substr(kHeaderCopyBytes, kHeaderCopyBytes));
  if (!first.intact && !second.intact) return decoded;
  const Copy& good = first.intact ? first : second;
  decoded.header = good.header;
  decoded.version = good.version;
  if (good.version > kJournalVersion) {
    decoded.state = State::newer;
  } else if (!first.intact) {
    decoded.state = State::first_copy_damaged;
  } else if (bytes.substr(0, kHeaderCopyBytes) != bytes.substr(kHeaderCopyBytes, kHeaderCopyBytes)) {
    decoded.state = State::second_copy_damaged;
  } else {
    decoded.state = State::ok;
  }
  return decoded;
}

RecordEncoder::RecordEncoder(const SegmentHeader& header) noexcept : key_(key_of(header)), next_seq_(header.first_seq) {
  const auto copy = encode_copy(header);
  previous_ = get<std::uint32_t>({copy.data(), copy.size()}, segment_at::kCrc);
}

std::array<char, kRecordHeaderBytes> RecordEncoder::next(std::uint16_t kind, std::string_view payload) noexcept {
  LLMCORE_ASSERT(payload.size() <= std::numeric_limits<std::uint32_t>::max());
  std::array<char, kRecordHeaderBytes> bytes;
  std::memcpy(bytes.data() + record_at::kMarker, kRecordMarker.data(), kRecordMarker.size());
  put(bytes.data() + record_at::kLength, static_cast<std::uint32_t>(payload.size()));
  put(bytes.data() + record_at::kSeq, next_seq_);
  put(bytes.data() + record_at::kKind, kind);
  put(bytes.data() + record_at::kFlags, std::uint16_t{0});
  put(bytes.data() + record_at::kPrevious, previous_);
  put(bytes.data() + record_at::kPayloadCrc, crc32c(payload));
  previous_ = crc32c_extend(key_, {bytes.data(), record_at::kHeaderCrc});
  put(bytes.data() + record_at::kHeaderCrc, previous_);
  ++next_seq_;
  return bytes;
}

std::string_view to_string(JournalProblem::What what) noexcept {
  using What = JournalProblem::What;
  switch (what) {
    case What::header_copy: return "one of the two copies of the segment's header is damaged";
    case What::header: return "the segment's header is damaged, the segment cannot be read";
    case What::newer_version: return "the segment was written by a later version, and is not read";
    case What::foreign_segment: return "the segment belongs to another journal or place, and is not read";
    case What::record: return "bytes that are no record, skipped";
    case What::payload: return "a record whose payload does not fit its checksum, skipped";
    case What::record_too_long: return "a record longer than this reader takes, skipped";
    case What::missing_records: return "records are missing before this one";
    case What::missing_segments: return "records are missing before this segment";
    case What::unreadable_file: return "the system could not read the segment";
  }
  return "";
}

struct JournalParser::Fields {
  explicit Fields(std::string_view at) noexcept
      : length(get<std::uint32_t>(at, record_at::kLength)),
        seq(get<std::uint64_t>(at, record_at::kSeq)),
        kind(get<std::uint16_t>(at, record_at::kKind)),
        previous(get<std::uint32_t>(at, record_at::kPrevious)),
        payload_crc(get<std::uint32_t>(at, record_at::kPayloadCrc)),
        header_crc(get<std::uint32_t>(at, record_at::kHeaderCrc)) {}
  std::uint32_t length;
  std::uint64_t seq;
  std::uint16_t kind;
  std::uint32_t previous;
  std::uint32_t payload_crc;
  std::uint32_t header_crc;
};

bool JournalParser::valid(const Fields& fields, std::string_view at) const noexcept {
  return at.starts_with(kRecordMarker) && fields.seq >= expected_seq_ &&
         fields.header_crc == crc32c_extend(key_, at.substr(0, record_at::kHeaderCrc));
}

JournalParser::Step JournalParser::next(std::string_view window, std::uint64_t left, bool sealed) noexcept {
  window = window.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(window.size(), left)));
  switch (mode_) {
    case Mode::header: return parse_header(window, left, sealed);
    case Mode::blank: return blank(window, left, sealed);
    case Mode::records: return parse_record(window, left, sealed);
    case Mode::lost: return search(window, left, sealed);
    case Mode::skipping: return skip(window, left);
    case Mode::dead: break;
  }
  Step step;
  step.consumed = window.size();
  return take(step);
}

JournalParser::Step JournalParser::take(Step step) noexcept {
  offset_ += step.consumed;
  return step;
}

JournalParser::Step JournalParser::report(JournalProblem::What what, std::uint64_t offset, std::uint64_t bytes,
                                          std::uint64_t seq, std::uint64_t count, std::size_t consumed) noexcept {
  clean_ = false;
  Step step;
  step.what = Step::What::problem;
  step.consumed = consumed;
  step.problem = {what, number_, offset, bytes, seq, count};
  return take(step);
}

JournalParser::Step JournalParser::parse_header(std::string_view window, std::uint64_t left, bool sealed) noexcept {
  using What = JournalProblem::What;
  Step step;
  if (left < kSegmentHeaderBytes) {
    if (sealed) {
      step.torn = left;
      step.consumed = window.size();
      mode_ = Mode::dead;
    }
    return take(step);
  }
  if (window.size() < kSegmentHeaderBytes) {
    step.what = Step::What::more;
    step.wanted = kSegmentHeaderBytes;
    return step;
  }
  const DecodedSegmentHeader decoded = decode_segment_header(window);
  mode_ = Mode::dead;
  if (decoded.state == DecodedSegmentHeader::State::newer) {
    return report(What::newer_version, 0, left, 0, 0, window.size());
  }
  if (!decoded.usable()) {
    if (all_zero(window)) {
      mode_ = Mode::blank;
      return blank(window, left, sealed);
    }
    return report(What::header, 0, left, 0, 0, window.size());
  }
  if (decoded.header.number != number_) return report(What::foreign_segment, 0, left, 0, 0, window.size());
  header_ = decoded.header;
  header_usable_ = true;
  mode_ = Mode::records;
  key_ = key_of(header_);
  const auto copy = encode_copy(header_);
  previous_ = get<std::uint32_t>({copy.data(), copy.size()}, segment_at::kCrc);
  expected_seq_ = header_.first_seq;
  if (decoded.state != DecodedSegmentHeader::State::ok) {
    const bool first = decoded.state == DecodedSegmentHeader::State::first_copy_damaged;
    return report(What::header_copy, first ? 0 : kHeaderCopyBytes, 0, 0, 0, kSegmentHeaderBytes);
  }
  offset_ += kSegmentHeaderBytes;
  Step rest = parse_record(window.substr(kSegmentHeaderBytes), left - kSegmentHeaderBytes, sealed);
  rest.consumed += kSegmentHeaderBytes;
  return rest;
}

/// A file that the system made longer before it wrote a byte of it.
JournalParser::Step JournalParser::blank(std::string_view window, std::uint64_t left, bool sealed) noexcept {
  if (!all_zero(window)) {
    mode_ = Mode::dead;
    return report(JournalProblem::What::header, 0, offset_ + left, 0, 0, window.size());
  }
  Step step;
  step.consumed = window.size();
  if (window.size() < left) {
    step.what = Step::What::more;
    step.wanted = 1;
  } else if (sealed) {
    mode_ = Mode::dead;
    step.torn = offset_ + left;
  }
  return take(step);
}

JournalParser::Step JournalParser::parse_record(std::string_view window, std::uint64_t left, bool sealed) noexcept {
  using What = JournalProblem::What;
  Step step;
  const auto incomplete = [&] {
    if (sealed) {
      step.torn = left;
      step.consumed = window.size();
      mode_ = Mode::dead;
    }
    return take(step);
  };
  const auto want = [&](std::size_t bytes) {
    step.what = Step::What::more;
    step.wanted = bytes;
    return step;
  };
  if (left < kRecordHeaderBytes) return incomplete();
  if (window.size() < kRecordHeaderBytes) return want(kRecordHeaderBytes);

  const Fields fields(window);
  if (!valid(fields, window)) {
    mode_ = Mode::lost;
    lost_since_ = offset_;
    lost_all_zero_ = true;
    return search(window, left, sealed);
  }
  const std::uint64_t whole = kRecordHeaderBytes + std::uint64_t{fields.length};
  if (chained_ && (fields.seq != expected_seq_ || fields.previous != previous_)) {
    // What follows is as it was written; what should be in between is not there.
    chained_ = false;
    return report(What::missing_records, offset_, 0, expected_seq_, fields.seq - expected_seq_, 0);
  }
  if (whole > left) return incomplete();
  if (fields.length <= max_record_bytes_ && window.size() < whole) return want(static_cast<std::size_t>(whole));

  const std::uint64_t start = offset_;
  chained_ = true;
  expected_seq_ = fields.seq + 1;
  previous_ = fields.header_crc;
  if (fields.length > max_record_bytes_) {
    mode_ = Mode::skipping;
    skip_left_ = whole;
    return report(What::record_too_long, start, whole, fields.seq, 1, 0);
  }
  const std::string_view payload = window.substr(kRecordHeaderBytes, fields.length);
  if (crc32c(payload) != fields.payload_crc) {
    return report(What::payload, start, whole, fields.seq, 1, static_cast<std::size_t>(whole));
  }
  step.what = Step::What::record;
  step.consumed = static_cast<std::size_t>(whole);
  step.record = {fields.seq, fields.kind, payload, number_, start};
  return take(step);
}

JournalParser::Step JournalParser::search(std::string_view window, std::uint64_t left, bool sealed) noexcept {
  // What is consumed cannot be where a record begins; the last bytes, too few to tell, are looked at again with more.
  std::size_t at = 0;
  while (at + kRecordHeaderBytes <= window.size()) {
    const std::string_view rest = window.substr(at);
    if (rest.starts_with(kRecordMarker) && valid(Fields(rest), rest)) {
      mode_ = Mode::records;
      chained_ = false;
      const std::uint64_t bytes = offset_ + at - lost_since_;
      const std::uint64_t found = get<std::uint64_t>(rest, record_at::kSeq);
      return report(JournalProblem::What::record, lost_since_, bytes, expected_seq_, found - expected_seq_, at);
    }
    const std::size_t next = window.find(kRecordMarker[0], at + 1);
    const std::size_t end = std::min(next, window.size() - kRecordHeaderBytes + 1);
    lost_all_zero_ = lost_all_zero_ && all_zero(window.substr(at, end - at));
    at = end;
  }
  Step step;
  if (window.size() < left) {
    step.what = Step::What::more;
    step.consumed = at;
    step.wanted = kRecordHeaderBytes;
    return take(step);
  }
  if (!sealed) {
    step.consumed = at;
    return take(step);
  }
  mode_ = Mode::dead;
  lost_all_zero_ = lost_all_zero_ && all_zero(window.substr(at));
  const std::uint64_t bytes = offset_ + window.size() - lost_since_;
  if (!lost_all_zero_) return report(JournalProblem::What::record, lost_since_, bytes, expected_seq_, 0, window.size());
  step.torn = bytes;
  step.consumed = window.size();
  return take(step);
}

JournalParser::Step JournalParser::skip(std::string_view window, std::uint64_t left) noexcept {
  Step step;
  step.consumed = static_cast<std::size_t>(std::min<std::uint64_t>(window.size(), skip_left_));
  skip_left_ -= step.consumed;
  if (skip_left_ == 0) mode_ = Mode::records;
  // Nothing of it need be in the window.
  step.what = left > step.consumed ? Step::What::more : Step::What::end;
  step.wanted = 1;
  return take(step);
}

}  // namespace llmcore
