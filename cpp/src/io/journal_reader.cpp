#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <utility>

#include "journal_segment.hpp"
#include "llmcore/io/journal.hpp"

namespace llmcore::io {

struct JournalReader::State {
  State(JournalReaderConfig wanted, FileSystem& system) : config(std::move(wanted)), files(system) {}

  Next next();
  bool begin_segment();
  bool list();
  bool accept_header();
  void report(const JournalProblem& problem);
  void start_at(const std::vector<std::uint64_t>& numbers);

  JournalReaderConfig config;
  FileSystem& files;
  std::vector<std::uint64_t> ahead;  // numbers of segments to come, the next one last
  std::uint64_t newest_seen = 0;     // the greatest number ever put there
  std::optional<SegmentCursor> segment;
  bool sealed = true;
  bool header_seen = false;
  std::optional<std::uint64_t> expected_seq;  // after everything read so far; nothing before the first segment
  std::optional<JournalId> journal;
  JournalRecord record;
  std::vector<JournalProblem> problems;
  std::uint64_t problem_count = 0;
};

void JournalReader::State::report(const JournalProblem& problem) {
  ++problem_count;
  if (problems.size() < kMostProblemsKept) problems.push_back(problem);
}

// The segments that can hold from_seq or later: from the newest back to the first that begins at it or before.
void JournalReader::State::start_at(const std::vector<std::uint64_t>& numbers) {
  std::size_t first = 0;
  if (config.from_seq > 0) {
    for (std::size_t i = numbers.size(); i-- > 1;) {
      const auto file = files.open_read(segment_path(config.directory, numbers[i]));
      if (!file) continue;
      std::array<char, kSegmentHeaderBytes> bytes;
      const auto got = (*file)->read(0, bytes.data(), bytes.size());
      if (!got) continue;
      const DecodedSegmentHeader decoded = decode_segment_header({bytes.data(), *got});
      if (decoded.usable() && decoded.header.first_seq <= config.from_seq) {
        first = i;
        break;
      }
    }
  }
  ahead.assign(numbers.rbegin(), numbers.rend() - static_cast<std::ptrdiff_t>(first));
  if (!numbers.empty()) newest_seen = numbers.back();
}

/// Whether there are segments after those known.
bool JournalReader::State::list() {
  const auto numbers = list_segments(files, config.directory);
  if (!numbers) return false;
  const auto later = std::upper_bound(numbers->begin(), numbers->end(), newest_seen);
  if (later == numbers->end()) return false;
  newest_seen = numbers->back();
  ahead.insert(ahead.begin(), numbers->rbegin(), std::make_reverse_iterator(later));
  return true;
}

bool JournalReader::State::begin_segment() {
  while (!ahead.empty() || (config.follow && list())) {
    const std::uint64_t number = ahead.back();
    ahead.pop_back();
    auto opened = SegmentCursor::open(files, config.directory, number, config.max_record_bytes);
    if (opened) {
      segment.emplace(std::move(*opened));
      sealed = !config.follow || !ahead.empty();
      header_seen = false;
      return true;
    }
    // One that left since it was listed was dropped or released: the next one's header tells what went with it.
    if (!opened.error().is_missing()) report({JournalProblem::What::unreadable_file, number, 0, 0, 0, 0});
  }
  return false;
}

/// Holds the segment's header, seen for the first time, against what came before. False if it has no place here.
bool JournalReader::State::accept_header() {
  header_seen = true;
  const SegmentHeader& header = *segment->parser().header();
  if (!journal) journal = header.journal;
  if (header.journal != *journal) {
    report({JournalProblem::What::foreign_segment, header.number, 0, segment->size(), 0, 0});
    return false;
  }
  // Numbers given up are no loss; what was written anew after a failure begins before what was expected.
  if (expected_seq && header.first_seq > *expected_seq && header.first_seq - *expected_seq > header.abandoned) {
    const std::uint64_t count = header.first_seq - *expected_seq - header.abandoned;
    report({JournalProblem::What::missing_segments, header.number, 0, 0, *expected_seq, count});
  }
  expected_seq = std::max(expected_seq.value_or(0), header.first_seq);
  return true;
}

JournalReader::Next JournalReader::State::next() {
  using What = JournalParser::Step::What;
  for (;;) {
    if (!segment && !begin_segment()) return Next::end;
    const JournalParser::Step step = segment->next(sealed);
    if (!header_seen && segment->parser().header() != nullptr && !accept_header()) {
      segment.reset();
      continue;
    }
    switch (step.what) {
      case What::record:
        if (step.record.seq < *expected_seq) break;  // written anew after a failure, and met before
        expected_seq = step.record.seq + 1;
        if (step.record.seq < config.from_seq) break;
        record = step.record;
        return Next::record;
      case What::problem: report(step.problem); break;
      case What::more: break;
      case What::end:
        if (header_seen) expected_seq = std::max(*expected_seq, segment->parser().expected_seq());
        if (sealed) {
          segment.reset();
        } else if (!segment->look_again()) {
          // A writer that goes on elsewhere never comes back: once a later segment is there, this one's length is final.
          if (!list()) return Next::end;
          sealed = true;
          static_cast<void>(segment->look_again());
        }
        break;
    }
  }
}

JournalReader::JournalReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
JournalReader::~JournalReader() = default;

Result<std::unique_ptr<JournalReader>, JournalError> JournalReader::open(JournalReaderConfig config,
                                                                         FileSystem& files) {
  auto state = std::make_unique<State>(std::move(config), files);
  const auto numbers = list_segments(files, state->config.directory);
  if (!numbers) return JournalError{JournalError::Code::system, numbers.error(), {}};
  state->start_at(*numbers);
  return std::unique_ptr<JournalReader>(new JournalReader(std::move(state)));
}

JournalReader::Next JournalReader::next() { return state_->next(); }
const JournalRecord& JournalReader::record() const noexcept { return state_->record; }
const std::vector<JournalProblem>& JournalReader::problems() const noexcept { return state_->problems; }
std::uint64_t JournalReader::problem_count() const noexcept { return state_->problem_count; }
const JournalId* JournalReader::journal() const noexcept { return state_->journal ? &*state_->journal : nullptr; }

}  // namespace llmcore::io
