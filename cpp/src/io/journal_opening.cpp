#include "journal_opening.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "journal_segment.hpp"
#include "llmcore/io/clock.hpp"
#include "llmcore/io/uuid7.hpp"

namespace llmcore::io {
namespace {

JournalId fresh_id() {
  JournalId id{};
  std::string digits = uuid7(now().wall);
  std::erase(digits, '-');
  for (std::size_t i = 0; i < id.size(); ++i) {
    const char* pair = digits.data() + 2 * i;
    std::from_chars(pair, pair + 2, id[i], 16);
  }
  return id;
}

/// A segment that an earlier writer left.
struct Found {
  std::uint64_t number = 0;
  std::uint64_t size = 0;
  DecodedSegmentHeader start;
};

Result<Found> look_at_start(FileSystem& files, const std::string& directory, std::uint64_t number) {
  const auto file = files.open_read(segment_path(directory, number));
  if (!file) return file.error();
  const auto size = (*file)->size();
  if (!size) return size.error();
  std::array<char, kSegmentHeaderBytes> bytes;
  const auto got = (*file)->read(0, bytes.data(), bytes.size());
  if (!got) return got.error();
  return Found{number, *size, decode_segment_header({bytes.data(), *got})};
}

/// How the newest segment ends.
struct Ending {
  std::uint64_t next_seq = 0;
  std::uint64_t torn = 0;
  bool clean = false;
};

Result<Ending> look_at_end(FileSystem& files, const JournalConfig& config, std::uint64_t number) {
  const std::uint32_t longest = std::max(config.max_record_bytes, kMaxRecordBytes);
  auto cursor = SegmentCursor::open(files, config.directory, number, longest);
  if (!cursor) return cursor.error();
  for (;;) {
    const JournalParser::Step step = cursor->next(true);
    if (step.what != JournalParser::Step::What::end) continue;
    return Ending{cursor->parser().expected_seq(), step.torn, cursor->parser().clean()};
  }
}

/// Copies the last `torn` bytes of a segment to a file beside it. False if that failed, with nothing left behind.
bool keep_aside(FileSystem& files, const std::string& directory, const Found& segment, std::uint64_t torn) {
  const std::string path = torn_path(directory, segment.number);
  static_cast<void>(files.remove(path));  // of a repair that was interrupted
  const auto from = files.open_read(segment_path(directory, segment.number));
  if (!from) return false;
  const auto to = files.create(path);
  if (!to) return false;
  std::array<char, 4096> chunk;
  bool copied = true;
  for (std::uint64_t at = segment.size - torn; copied && at < segment.size;) {
    const std::uint64_t left = segment.size - at;
    const auto got = (*from)->read(at, chunk.data(), static_cast<std::size_t>(std::min<std::uint64_t>(left, 4096)));
    copied = got && *got > 0;
    for (std::size_t done = 0; copied && done < *got;) {
      const auto wrote = (*to)->write({chunk.data() + done, *got - done});
      copied = static_cast<bool>(wrote);
      if (copied) done += *wrote;
    }
    if (copied) at += *got;
  }
  copied = copied && !(*to)->sync();
  if (!copied) static_cast<void>(files.remove(path));
  return copied;
}

/// Readers do well with a torn end; it is cut off so that the file holds what it says. Gives how many bytes went. What
/// cannot be kept aside stays where it is.
std::uint64_t repair(FileSystem& files, const std::string& directory, const Found& segment, std::uint64_t torn) {
  if (torn == 0 || !keep_aside(files, directory, segment, torn)) return 0;
  const auto file = files.open_append(segment_path(directory, segment.number));
  if (!file || (*file)->truncate(segment.size - torn) || (*file)->sync()) return 0;
  return torn;
}

/// As many records as so many bytes could hold: their numbers are not given to others when nobody can tell which ones
/// were.
std::uint64_t most_records(std::uint64_t bytes) noexcept { return bytes / kRecordHeaderBytes; }

JournalError system_error(FileError file) {
  return {file.is_full() ? JournalError::Code::full : JournalError::Code::system, std::move(file), {}};
}

/// Finds where the journal goes on: from its newest segment back to the first that tells.
JournalError find_end(FileSystem& files, const JournalConfig& config, std::vector<Found>& found,
                      OpenedJournal& opened) {
  std::optional<std::uint64_t> next_seq;
  for (std::size_t i = found.size(); i-- > 0 && !next_seq;) {
    Found& segment = found[i];
    const auto ending = look_at_end(files, config, segment.number);
    if (!ending) return system_error(ending.error());
    if (segment.start.usable()) {
      next_seq = ending->next_seq;
      opened.journal = segment.start.header.journal;
    } else if (ending->torn == segment.size) {
      // Its header was never whole, so nothing can be in it.
      if (FileError error = files.remove(segment_path(config.directory, segment.number))) {
        return system_error(std::move(error));
      }
      found.erase(found.begin() + static_cast<std::ptrdiff_t>(i));
      continue;
    }
    if (!ending->clean) opened.abandoned += most_records(segment.size);
    const std::uint64_t cut = repair(files, config.directory, segment, ending->torn);
    segment.size -= cut;
    opened.torn_bytes += cut;
  }
  if (!next_seq) opened.journal = fresh_id();
  opened.next_seq = next_seq.value_or(1) + opened.abandoned;
  return {};
}

std::deque<SegmentSummary> summarize(const std::vector<Found>& found, const OpenedJournal& opened) {
  std::deque<SegmentSummary> all;
  std::uint64_t end = opened.next_seq - opened.abandoned;
  for (std::size_t i = found.size(); i-- > 0;) {
    const SegmentHeader& header = found[i].start.header;
    SegmentSummary summary{found[i].number, end, 0, found[i].size};
    if (found[i].start.usable()) {
      summary.first_seq = header.first_seq;
      summary.records = end > header.first_seq ? end - header.first_seq : 0;
      end = header.first_seq > header.abandoned ? header.first_seq - header.abandoned : 0;
    }
    all.push_front(summary);
  }
  return all;
}

}  // namespace

Result<OpenedJournal, JournalError> open_journal_directory(const JournalConfig& config, FileSystem& files) {
  const std::string& directory = config.directory;
  if (FileError error = files.make_directory(directory)) return system_error(std::move(error));
  OpenedJournal opened;
  auto lock = files.try_lock(directory + "/lock");
  if (!lock) {
    if (lock.error().is_locked()) return JournalError{JournalError::Code::locked, lock.error(), {}};
    return system_error(lock.error());
  }
  opened.lock = std::move(*lock);

  const auto numbers = list_segments(files, directory);
  if (!numbers) return system_error(numbers.error());
  std::vector<Found> found;
  for (const std::uint64_t number : *numbers) {
    auto segment = look_at_start(files, directory, number);
    if (!segment) return system_error(segment.error());
    if (segment->start.state == DecodedSegmentHeader::State::newer) {
      return JournalError{JournalError::Code::newer_version, {}, directory};
    }
    found.push_back(*segment);
    opened.next_number = number + 1;
  }
  if (JournalError error = find_end(files, config, found, opened)) return error;
  opened.segments = summarize(found, opened);

  if (config.ack == Ack::disk && !found.empty()) {
    // What the records to come will be said to follow.
    const auto newest = files.open_append(segment_path(directory, found.back().number));
    if (!newest) return system_error(newest.error());
    if (FileError error = (*newest)->sync()) return system_error(std::move(error));
    if (FileError error = files.sync_directory(directory)) return system_error(std::move(error));
  }
  return opened;
}

}  // namespace llmcore::io
