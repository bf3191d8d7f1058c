#include "llmcore/journal_format.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "llmcore/crc32c.hpp"
#include "llmcore/rng.hpp"

namespace llmcore {
namespace {

using What = JournalProblem::What;
using Step = JournalParser::Step;

constexpr SegmentHeader kHeader = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, 3, 100, 0, 1'700'000'000};

struct Record {
  std::uint64_t seq = 0;
  std::uint16_t kind = 0;
  std::string payload;
  friend bool operator==(const Record&, const Record&) = default;
};

struct Read {
  std::vector<Record> records;
  std::vector<JournalProblem> problems;
  std::uint64_t torn = 0;
};

/// A segment in memory, and where its records begin.
struct Segment {
  explicit Segment(const SegmentHeader& header = kHeader) : encoder(header) {
    const auto first = encode_segment_header(header);
    bytes.assign(first.data(), first.size());
  }
  void add(std::uint16_t kind, const std::string& payload) {
    starts.push_back(bytes.size());
    records.push_back({encoder.next_seq(), kind, payload});
    const auto header = encoder.next(kind, payload);
    bytes.append(header.data(), header.size());
    bytes += payload;
  }
  RecordEncoder encoder;
  std::string bytes;
  std::vector<std::size_t> starts;
  std::vector<Record> records;
};

/// Payloads of many lengths; some hold what looks like a record, one of another journal among them.
Segment segment_of(std::size_t bytes, std::size_t most_payload, std::uint64_t seed) {
  Rng rng(seed);
  SegmentHeader other = kHeader;
  other.journal[0] ^= 1;
  Segment foreign(other);
  foreign.add(1, "a record of another journal");
  Segment segment;
  while (segment.bytes.size() < bytes) {
    std::string payload(rng.below(most_payload + 1), '\0');
    for (char& c : payload) c = static_cast<char>(rng.next());
    if (rng.below(4) == 0) payload += foreign.bytes;
    if (rng.below(4) == 0) payload += "\xf5LJR";
    segment.add(static_cast<std::uint16_t>(rng.below(200)), payload);
  }
  return segment;
}

/// Parses with a window that never holds more than it was asked for.
Read read(std::string_view bytes, bool sealed = true, std::uint32_t max_record_bytes = kMaxRecordBytes,
          std::uint64_t number = kHeader.number) {
  JournalParser parser(number, max_record_bytes);
  Read all;
  std::size_t at = 0;
  std::size_t held = 0;
  for (;;) {
    const Step step = parser.next(bytes.substr(at, held), bytes.size() - at, sealed);
    EXPECT_LE(step.consumed, held);
    at += step.consumed;
    held -= step.consumed;
    EXPECT_EQ(parser.offset(), at);
    if (step.what == Step::What::record) {
      all.records.push_back({step.record.seq, step.record.kind, std::string(step.record.payload)});
    } else if (step.what == Step::What::problem) {
      all.problems.push_back(step.problem);
    } else if (step.what == Step::What::more) {
      EXPECT_GT(step.wanted, held) << "it has that already";
      EXPECT_LE(step.wanted, bytes.size() - at) << "the segment does not have that";
      EXPECT_LE(step.wanted, kRecordHeaderBytes + std::uint64_t{std::max(max_record_bytes, 96U)});
      if (step.wanted <= held || step.wanted > bytes.size() - at) return all;
      held = step.wanted;
    } else {
      all.torn = step.torn;
      return all;
    }
  }
}

TEST(JournalFormat, KindsHaveNamesAndNumbersOfTheirOwn) {
  std::set<std::string_view> names;
  std::set<std::uint16_t> numbers;
  for (const RecordKind kind : kRecordKinds) {
    EXPECT_FALSE(to_string(kind).empty());
    EXPECT_LT(static_cast<std::uint16_t>(kind), kFirstOwnRecordKind);
    names.insert(to_string(kind));
    numbers.insert(static_cast<std::uint16_t>(kind));
  }
  EXPECT_EQ(names.size(), kRecordKinds.size());
  EXPECT_EQ(numbers.size(), kRecordKinds.size());
  EXPECT_EQ(to_string(static_cast<RecordKind>(60'000)), "");
}

TEST(JournalFormat, ASegmentHeaderComesBack) {
  const auto bytes = encode_segment_header({{9, 8, 7}, 0x0102030405060708, 1ULL << 63U, 0xa1b2c3d4, -5});
  const DecodedSegmentHeader decoded = decode_segment_header({bytes.data(), bytes.size()});
  ASSERT_EQ(decoded.state, DecodedSegmentHeader::State::ok);
  EXPECT_EQ(decoded.version, kJournalVersion);
  EXPECT_EQ(decoded.header, (SegmentHeader{{9, 8, 7}, 0x0102030405060708, 1ULL << 63U, 0xa1b2c3d4, -5}));
}

TEST(JournalFormat, RecordsComeBack) {
  const Segment segment = segment_of(64'000, 2000, 1);
  const Read all = read(segment.bytes);
  EXPECT_EQ(all.records, segment.records);
  EXPECT_TRUE(all.problems.empty());
  EXPECT_EQ(all.torn, 0U);
}

TEST(JournalFormat, CutAtEveryByteTheWholePrefixComesBack) {
  Segment segment;
  Rng rng(5);
  for (int i = 0; i < 200; ++i) {
    std::string payload(rng.below(60), '\0');
    for (char& c : payload) c = static_cast<char>(rng.next());
    segment.add(static_cast<std::uint16_t>(i), payload);
  }
  std::vector<std::size_t> ends(segment.starts.begin() + 1, segment.starts.end());
  ends.push_back(segment.bytes.size());
  for (std::size_t cut = 0; cut <= segment.bytes.size(); ++cut) {
    const auto whole = static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), cut) - ends.begin());
    const Read all = read(std::string_view(segment.bytes).substr(0, cut));
    ASSERT_EQ(all.records.size(), whole) << "cut at " << cut;
    ASSERT_TRUE(std::equal(all.records.begin(), all.records.end(), segment.records.begin())) << "cut at " << cut;
    ASSERT_TRUE(all.problems.empty()) << "cut at " << cut;
    const std::size_t intact = whole > 0 ? ends[whole - 1] : cut < kSegmentHeaderBytes ? 0 : kSegmentHeaderBytes;
    ASSERT_EQ(all.torn, cut - intact) << "cut at " << cut;
  }
}

TEST(JournalFormat, EveryFlippedBitIsFoundAndEveryOtherRecordRead) {
  Segment segment = segment_of(64 * 1024, 1500, 7);
  segment.starts.push_back(segment.bytes.size());
  std::string& bytes = segment.bytes;

  // The parser is a value: a copy of one that stands where a record begins starts there as often as one likes. Two
  // records past the damage it is again in the state of one that met none: the rest of the segment needs no second look.
  JournalParser parser(kHeader.number);
  std::size_t at = 0;
  for (std::size_t i = 0; i + 1 < segment.starts.size(); ++i) {
    const std::uint64_t damaged = kHeader.first_seq + i;
    const std::uint64_t rest = std::min<std::uint64_t>(segment.records.size() - i - 1, 2);
    for (std::size_t bit = 8 * segment.starts[i]; bit < 8 * segment.starts[i + 1]; ++bit) {
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
      JournalParser mine = parser;
      std::size_t place = at;
      std::uint64_t problems = 0;
      std::vector<std::uint64_t> met;
      while (met.size() < 2) {
        const Step step = mine.next(std::string_view(bytes).substr(place), bytes.size() - place, true);
        place += step.consumed;
        if (step.what == Step::What::problem) ++problems;
        if (step.what == Step::What::record) met.push_back(step.record.seq);
        if (step.what == Step::What::end) break;
      }
      ASSERT_EQ(problems, 1U) << "bit " << bit;
      ASSERT_EQ(met.size(), rest) << "bit " << bit;
      for (std::size_t k = 0; k < met.size(); ++k) ASSERT_EQ(met[k], damaged + 1 + k) << "bit " << bit;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    }
    const Step step = parser.next(std::string_view(bytes).substr(at), bytes.size() - at, true);
    ASSERT_EQ(step.what, Step::What::record);
    at += step.consumed;
  }
}

TEST(JournalFormat, AFlippedBitCostsOneRecordOfTheWholeSegment) {
  // The same again without the shortcut, for bits here and there and for all of the segment's header.
  const Segment segment = segment_of(64 * 1024, 1500, 7);
  std::string bytes = segment.bytes;
  for (std::size_t bit = 0; bit < 8 * bytes.size(); bit += bit < 8 * kSegmentHeaderBytes ? 1 : 997) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    const Read all = read(bytes);
    ASSERT_EQ(all.problems.size(), 1U) << "bit " << bit;
    std::vector<Record> expected = segment.records;
    if (bit < 8 * kSegmentHeaderBytes) {
      ASSERT_EQ(all.problems[0].what, What::header_copy) << "bit " << bit;
      ASSERT_EQ(all.problems[0].offset, bit / 8 / 64 * 64);
    } else {
      const auto next = std::upper_bound(segment.starts.begin(), segment.starts.end(), bit / 8);
      const auto damaged = next - segment.starts.begin() - 1;
      ASSERT_EQ(all.problems[0].offset, segment.starts[static_cast<std::size_t>(damaged)]) << "bit " << bit;
      ASSERT_EQ(all.problems[0].seq, expected[static_cast<std::size_t>(damaged)].seq) << "bit " << bit;
      expected.erase(expected.begin() + damaged);
    }
    ASSERT_EQ(all.records, expected) << "bit " << bit;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
  }
}

TEST(JournalFormat, BothCopiesOfTheHeaderDamagedIsASegmentLost) {
  Segment segment;
  segment.add(1, "one");
  segment.bytes[20] = static_cast<char>(segment.bytes[20] ^ 1);
  segment.bytes[64 + 40] = static_cast<char>(segment.bytes[64 + 40] ^ 1);
  const Read all = read(segment.bytes);
  EXPECT_TRUE(all.records.empty());
  ASSERT_EQ(all.problems.size(), 1U);
  EXPECT_EQ(all.problems[0], (JournalProblem{What::header, 3, 0, segment.bytes.size(), 0, 0}));
}

TEST(JournalFormat, ASegmentUnderAnothersNameIsNotRead) {
  Segment segment;
  segment.add(1, "one");
  const Read all = read(segment.bytes, true, kMaxRecordBytes, 4);
  EXPECT_TRUE(all.records.empty());
  ASSERT_EQ(all.problems.size(), 1U);
  EXPECT_EQ(all.problems[0].what, What::foreign_segment);
}

TEST(JournalFormat, ALaterVersionIsToldApartFromDamage) {
  Segment segment;
  for (const std::size_t copy : {0U, 64U}) {
    segment.bytes[copy + 8] = 2;
    const std::uint32_t crc = crc32c(std::string_view(segment.bytes).substr(copy, 60));
    for (std::size_t i = 0; i < 4; ++i) segment.bytes[copy + 60 + i] = static_cast<char>(crc >> (8 * i));
  }
  const Read all = read(segment.bytes);
  ASSERT_EQ(all.problems.size(), 1U);
  EXPECT_EQ(all.problems[0].what, What::newer_version);
  EXPECT_EQ(decode_segment_header(segment.bytes).version, 2);
}

TEST(JournalFormat, ZerosAtTheEndAreATornEndAndNotDamage) {
  Segment segment;
  segment.add(1, "one");
  segment.add(2, "two");
  for (const std::size_t zeros : {1U, 31U, 32U, 33U, 5000U}) {
    const Read all = read(segment.bytes + std::string(zeros, '\0'));
    EXPECT_EQ(all.records, segment.records);
    EXPECT_TRUE(all.problems.empty()) << zeros;
    EXPECT_EQ(all.torn, zeros);
  }
  const Read all = read(segment.bytes + std::string(5000, '\0') + '\1');
  EXPECT_EQ(all.records, segment.records);
  ASSERT_EQ(all.problems.size(), 1U);
  EXPECT_EQ(all.problems[0], (JournalProblem{What::record, 3, segment.bytes.size(), 5001, 102, 0}));
}

TEST(JournalFormat, AFileOfZerosIsASegmentThatWasNeverBegun) {
  for (const std::size_t zeros : {0U, 1U, 127U, 128U, 129U, 4096U}) {
    const Read all = read(std::string(zeros, '\0'));
    EXPECT_TRUE(all.records.empty());
    EXPECT_TRUE(all.problems.empty()) << zeros;
    EXPECT_EQ(all.torn, zeros);
  }
}

TEST(JournalFormat, RecordsThatWereTakenOutAreMissed) {
  Segment segment = segment_of(10'000, 500, 9);
  std::string bytes = segment.bytes;
  bytes.erase(segment.starts[4], segment.starts[7] - segment.starts[4]);
  const Read all = read(bytes);
  ASSERT_EQ(all.problems.size(), 1U);
  EXPECT_EQ(all.problems[0], (JournalProblem{What::missing_records, 3, segment.starts[4], 0, 104, 3}));
  std::vector<Record> expected = segment.records;
  expected.erase(expected.begin() + 4, expected.begin() + 7);
  EXPECT_EQ(all.records, expected);
}

TEST(JournalFormat, RecordsThatComeAgainAreNotRead) {
  Segment segment = segment_of(10'000, 500, 9);
  std::string bytes = segment.bytes;
  bytes.insert(segment.starts[7], bytes.substr(segment.starts[4], segment.starts[5] - segment.starts[4]));
  const Read all = read(bytes);
  EXPECT_EQ(all.records, segment.records);
  ASSERT_EQ(all.problems.size(), 1U);
  EXPECT_EQ(all.problems[0].what, What::record);
}

TEST(JournalFormat, ARecordTooLongForThisReaderIsSkippedWithoutRoomForIt) {
  Segment segment;
  segment.add(1, "one");
  segment.add(2, std::string(5000, 'x'));
  segment.add(3, "three");
  const Read all = read(segment.bytes, true, 100);  // read() holds the window against the limit
  ASSERT_EQ(all.records.size(), 2U);
  EXPECT_EQ(all.records[1].payload, "three");
  ASSERT_EQ(all.problems.size(), 1U);
  EXPECT_EQ(all.problems[0], (JournalProblem{What::record_too_long, 3, segment.starts[1], 5032, 101, 1}));
}

TEST(JournalFormat, AGrowingSegmentIsReadAsFarAsItGoes) {
  const Segment segment = segment_of(5000, 300, 11);
  JournalParser parser(kHeader.number);
  std::vector<Record> records;
  std::size_t at = 0;
  for (std::size_t size = 0; size <= segment.bytes.size(); ++size) {
    for (;;) {
      const Step step = parser.next(std::string_view(segment.bytes).substr(at, size - at), size - at, false);
      at += step.consumed;
      ASSERT_NE(step.what, Step::What::problem);
      if (step.what != Step::What::record) break;
      records.push_back({step.record.seq, step.record.kind, std::string(step.record.payload)});
    }
  }
  EXPECT_EQ(records, segment.records);
}

TEST(JournalFormat, DamageInAGrowingSegmentIsToldOnceItsEndIsKnown) {
  Segment segment;
  segment.add(1, "one");
  segment.add(2, "two");
  segment.bytes[segment.starts[1] + 9] = static_cast<char>(segment.bytes[segment.starts[1] + 9] ^ 4);
  EXPECT_TRUE(read(segment.bytes, false).problems.empty());
  segment.add(3, "three");
  const Read all = read(segment.bytes, false);
  ASSERT_EQ(all.problems.size(), 1U);
  EXPECT_EQ(all.problems[0], (JournalProblem{What::record, 3, segment.starts[1], 35, 101, 1}));
  EXPECT_EQ(all.records.back().payload, "three");
}

TEST(JournalFormat, AnyBytesAreParsedToTheirEnd) {
  Rng rng(13);
  const Segment segment = segment_of(4000, 200, 17);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = segment.bytes;
    const std::uint64_t changes = 1 + rng.below(20);
    for (std::uint64_t i = 0; i < changes; ++i) {
      const std::size_t from = rng.below(bytes.size());
      const std::size_t size = std::min<std::size_t>(rng.below(40), bytes.size() - from);
      switch (rng.below(4)) {
        case 0: bytes[from] = static_cast<char>(rng.next()); break;
        case 1: bytes.erase(from, size); break;
        case 2: bytes.insert(from, bytes.substr(from, size)); break;
        default: std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(from), size, '\0'); break;
      }
      if (bytes.empty()) break;
    }
    const Read all = read(bytes, rng.below(2) == 0, static_cast<std::uint32_t>(rng.below(300)));
    // Whatever was done to it, what is given is what was written, in its order.
    std::uint64_t last = 0;
    for (const Record& record : all.records) {
      ASSERT_GT(record.seq, last);
      last = record.seq;
      ASSERT_EQ(record, segment.records[record.seq - kHeader.first_seq]);
    }
  }
}

}  // namespace
}  // namespace llmcore
