// A segment of a journal, of any bytes: raw, or written as it should be and then damaged.
#include <algorithm>
#include <string>
#include <vector>

#include "bytes.hpp"
#include "llmcore/journal_format.hpp"

namespace {

using llmcore::JournalParser;
using llmcore::JournalProblem;
using llmcore::fuzz::require;

struct Record {
  std::uint64_t seq = 0;
  std::uint16_t kind = 0;
  std::uint64_t offset = 0;
  std::string payload;
  friend bool operator==(const Record&, const Record&) = default;
};

struct Parsed {
  std::vector<Record> records;
  std::vector<JournalProblem> problems;
  std::uint64_t torn = 0;
  friend bool operator==(const Parsed&, const Parsed&) = default;
};

constexpr std::uint64_t kNumber = 1;
constexpr std::uint32_t kLongest = 200;

/// As a reader does it: with a window of `room` bytes, larger only when the parser asks for that.
Parsed parse(std::string_view segment, std::size_t room, bool sealed) {
  JournalParser parser(kNumber, kLongest);
  Parsed parsed;
  std::size_t at = 0;
  std::size_t window = room;
  for (std::size_t steps = 0;; ++steps) {
    require(steps <= 4 * segment.size() + 64, "a segment is read in steps of the order of its bytes");
    const std::string_view seen = segment.substr(at, window);
    const JournalParser::Step step = parser.next(seen, segment.size() - at, sealed);
    require(step.consumed <= seen.size(), "no more is consumed than was there");
    at += step.consumed;
    require(parser.offset() == at, "the parser knows where it is");
    window = room;
    switch (step.what) {
      case JournalParser::Step::What::record: {
        const auto& [seq, kind, payload, number, offset] = step.record;
        require(payload.size() <= kLongest && number == kNumber && offset < segment.size(),
                "a record is in its segment");
        require(parsed.records.empty() || parsed.records.back().seq < seq, "records ascend");
        parsed.records.push_back({seq, kind, offset, std::string(payload)});
        break;
      }
      case JournalParser::Step::What::problem:
        require(step.problem.offset <= segment.size(), "a problem is in its segment");
        require(!llmcore::to_string(step.problem.what).empty(), "a problem has a name");
        require(!parser.clean(), "a problem is not clean");
        parsed.problems.push_back(step.problem);
        break;
      case JournalParser::Step::What::more:
        require(step.wanted <= segment.size() - at, "no more is wanted than the segment has");
        require(step.consumed > 0 || step.wanted > seen.size(), "more is more");
        window = std::max(room, step.wanted);
        break;
      case JournalParser::Step::What::end:
        require(step.torn <= segment.size(), "what is torn is a part of the segment");
        parsed.torn = step.torn;
        return parsed;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  llmcore::fuzz::Bytes bytes(data, size);
  const bool raw = bytes.flag();
  const bool sealed = bytes.flag();
  const std::size_t room = std::size_t{bytes.byte()} + 1;
  std::string segment;
  std::vector<Record> written;
  if (raw) {
    while (!bytes.empty()) segment += static_cast<char>(bytes.byte());
  } else {
    llmcore::SegmentHeader header;
    header.number = kNumber;
    header.first_seq = 1 + bytes.word() % 1'000;
    header.journal[0] = bytes.byte();
    for (const char c : llmcore::encode_segment_header(header)) segment += c;
    llmcore::RecordEncoder encoder(header);
    for (std::size_t records = bytes.below(8); records > 0; --records) {
      const std::uint16_t kind = bytes.byte();
      const std::string payload(bytes.text());
      const std::uint64_t seq = encoder.next_seq();
      const std::uint64_t offset = segment.size();
      for (const char c : encoder.next(kind, payload)) segment += c;
      segment += payload;
      if (payload.size() <= kLongest) written.push_back({seq, kind, offset, payload});
    }
    if (bytes.empty()) {
      const bool all = parse(segment, room, sealed).records == written;
      require(all, "what was written comes back");
    }
    while (!bytes.empty()) {  // damage: a byte changed, bytes cut off the end, bytes put in
      const std::size_t at = segment.empty() ? 0 : bytes.word() % segment.size();
      switch (bytes.below(4)) {
        case 0: segment.resize(at); break;
        case 1: segment.insert(at, std::string(bytes.text())); break;
        case 2: segment.erase(at, bytes.byte()); break;
        default:
          if (!segment.empty()) segment[at] = static_cast<char>(bytes.byte());
      }
    }
  }

  const Parsed whole = parse(segment, segment.size() + 1, sealed);
  require(parse(segment, room, sealed) == whole, "the same in pieces of any size");
  if (!raw) {
    // CRC-32C finds every change of these few bytes but one in four thousand million.
    for (const Record& record : whole.records) {
      const bool known = std::any_of(written.begin(), written.end(), [&record](const Record& one) {
        return one.seq == record.seq && one.kind == record.kind && one.payload == record.payload;
      });
      require(known, "nothing comes back that was not written");
    }
  }
  return 0;
}
