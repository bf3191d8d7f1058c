#include <algorithm>
#include <condition_variable>
#include <deque>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>

#include "journal_opening.hpp"
#include "journal_segment.hpp"
#include "llmcore/io/clock.hpp"
#include "llmcore/io/fork.hpp"
#include "llmcore/io/journal.hpp"
#include "record_buffer.hpp"

namespace llmcore::io {
namespace {

using Code = JournalError::Code;

JournalError error_of(FileError file) {
  const Code code = file.is_full() ? Code::full : Code::system;
  return {code, std::move(file), {}};
}

/// A segment with something that may not be on the disk yet. Its file stays open where it must not be missed that the
/// system could not bring it there: one who opens it later need not be told.
struct Unsynced {
  std::uint64_t number = 0;
  std::shared_ptr<File> file;
};

}  // namespace

struct JournalWriter::State {
  State(JournalConfig wanted, FileSystem& system, OpenedJournal&& opened)
      : config(std::move(wanted)),
        files(system),
        lock(std::move(opened.lock)),
        journal(opened.journal),
        older(std::move(opened.segments)),
        next_number(opened.next_number),
        next_seq(opened.next_seq),
        abandoned(opened.abandoned),
        written_seq(opened.next_seq - 1),
        durable_seq(config.ack == Ack::disk ? written_seq : 0) {
    stats.torn_bytes = opened.torn_bytes;
  }

  using Lock = std::unique_lock<std::mutex>;

  // All of these with the mutex held.
  Result<std::uint64_t, JournalError> append(Lock& hold, std::uint16_t kind, std::string_view payload);
  Result<std::uint64_t, JournalError> refuse(JournalError error);
  [[nodiscard]] JournalError unusable() const;
  JournalError make_room(std::size_t bytes);
  JournalError begin_segment();
  void end_segment();
  void drop_oldest(std::size_t bytes);
  JournalError write_out();
  void give_up_segment(const FileError& error, bool full);
  void remove_unacknowledged();
  JournalError commit(Lock& hold, std::uint64_t target);
  void forget(std::uint64_t number);

  // Without it.
  FileError bring_to_disk(const std::vector<Unsynced>& segments, bool directory) const;

  const JournalConfig config;
  FileSystem& files;
  std::unique_ptr<FileLock> lock;
  mutable std::mutex mutex;
  std::condition_variable changed;

  const JournalId journal;
  std::deque<SegmentSummary> older;  // written no more
  std::optional<SegmentSummary> current;
  std::shared_ptr<File> file;  // the current one's; shared with who is waiting for the disk
  RecordEncoder encoder;
  RecordBuffer buffer;  // what comes after the records that the current segment's file holds
  std::uint64_t next_number;
  std::uint64_t next_seq;
  std::uint64_t abandoned;  // sequence numbers that the next segment has to declare given up
  std::uint64_t written_seq;
  std::uint64_t durable_seq;
  std::vector<Unsynced> unsynced;
  bool directory_unsynced = false;
  bool syncing = false;  // somebody is waiting for the disk, for all

  JournalError failure;        // what every append gets until recover()
  std::uint64_t given_up = 0;  // segments that failed
  JournalError last_error;     // what the newest of them failed of
  bool closed = false;
  JournalStats stats;
};

JournalError JournalWriter::State::unusable() const {
  if (closed) return {Code::closed, {}, {}};
  return failure;
}

Result<std::uint64_t, JournalError> JournalWriter::State::refuse(JournalError error) {
  if (error.code == Code::full && config.on_full == OnFull::drop) {
    ++stats.dropped;
    return std::uint64_t{0};
  }
  ++stats.refused;
  return error;
}

Result<std::uint64_t, JournalError> JournalWriter::State::append(Lock& hold, std::uint16_t kind,
                                                                 std::string_view payload) {
  if (closed || failure) return refuse(unusable());
  if (payload.size() > config.max_record_bytes) return refuse({Code::too_long, {}, {}});
  if (JournalError error = make_room(kRecordHeaderBytes + payload.size())) return refuse(std::move(error));

  const std::uint64_t seq = next_seq++;
  buffer.add(encoder, kind, payload);
  switch (config.ack) {
    case Ack::memory:
      // Taken, whatever becomes of the write: of a record longer than the window, the window is that record.
      if (buffer.size() >= config.window_bytes) static_cast<void>(write_out());
      break;
    case Ack::os:
      if (JournalError error = write_out()) return refuse(std::move(error));
      break;
    case Ack::disk:
      if (JournalError error = commit(hold, seq)) return refuse(std::move(error));
      break;
  }
  ++stats.appended;
  stats.appended_bytes += payload.size();
  return seq;
}

/// Sees to it that a record of so many bytes, its header included, has a segment to go to and a place in the buffer.
JournalError JournalWriter::State::make_room(std::size_t bytes) {
  if (current && current->bytes + buffer.size() + bytes > config.segment_bytes &&
      current->records + buffer.records() > 0) {
    if (JournalError error = write_out()) return error;
    end_segment();
  }
  if (!current) {
    if (JournalError error = begin_segment()) return error;
  }
  if (config.ack == Ack::memory && !buffer.empty() && buffer.size() + bytes > config.window_bytes) {
    if (JournalError error = write_out()) return error;
  }
  if (config.total_bytes > 0) drop_oldest(bytes);
  return {};
}

JournalError JournalWriter::State::begin_segment() {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  const SegmentHeader header{journal, next_number++, next_seq - buffer.records(),
                             static_cast<std::uint32_t>(std::min(abandoned, kMost)), now().wall};
  const std::string path = segment_path(config.directory, header.number);
  auto made = files.create(path);
  if (!made) return error_of(made.error());
  const auto bytes = encode_segment_header(header);
  for (std::size_t done = 0; done < bytes.size();) {
    const auto wrote = (*made)->write({bytes.data() + done, bytes.size() - done});
    if (!wrote) {
      // Nothing was acknowledged in it, and nothing will be.
      ++stats.failures;
      static_cast<void>(files.remove(path));
      return error_of(wrote.error());
    }
    done += *wrote;
  }
  ++stats.writes;
  file = std::move(*made);
  current = SegmentSummary{header.number, header.first_seq, 0, bytes.size()};
  encoder = RecordEncoder(header);
  buffer.encode_anew(encoder);  // what was kept from a segment that failed
  directory_unsynced = true;
  return {};
}

/// Lets go of a segment that is full. One that is not on the disk is brought there with the next that has to be.
void JournalWriter::State::end_segment() {
  if (config.ack != Ack::disk) {
    for (Unsynced& segment : unsynced) segment.file.reset();
  }
  older.push_back(*current);
  current.reset();
  file.reset();
}

/// Removes whole segments, the oldest first, until so many bytes more are within what the journal may have.
void JournalWriter::State::drop_oldest(std::size_t bytes) {
  std::uint64_t total = current->bytes + buffer.size() + bytes;
  for (const SegmentSummary& segment : older) total += segment.bytes;
  while (total > config.total_bytes && !older.empty()) {
    const SegmentSummary oldest = older.front();
    const FileError error = files.remove(segment_path(config.directory, oldest.number));
    if (error && !error.is_missing()) return;  // tried again with the next record
    older.pop_front();
    forget(oldest.number);
    total -= oldest.bytes;
    ++stats.segments_dropped;
    stats.records_dropped += oldest.records;
  }
}

void JournalWriter::State::forget(std::uint64_t number) {
  std::erase_if(unsynced, [&](const Unsynced& segment) { return segment.number == number; });
  directory_unsynced = true;
}

JournalError JournalWriter::State::write_out() {
  if (buffer.empty()) return {};
  if (!current) {
    if (JournalError error = begin_segment()) return error;
  }
  const std::string_view bytes = buffer.bytes();
  FileError error;
  std::size_t done = 0;
  while (done < bytes.size() && !error) {
    const auto wrote = file->write(bytes.substr(done));
    if (wrote) {
      done += *wrote;
    } else {
      error = wrote.error();
    }
    ++stats.writes;
  }
  const auto whole = error ? buffer.whole_within(done) : RecordBuffer::Prefix{buffer.records(), done};
  if (whole.records > 0) {
    if (unsynced.empty() || unsynced.back().number != current->number) unsynced.push_back({current->number, file});
    written_seq = next_seq - 1 - (buffer.records() - whole.records);
    current->bytes += whole.bytes;
    current->records += whole.records;
    abandoned = 0;  // declared by this segment's header, which stays
  }
  if (!error) {
    buffer.clear();
    return {};
  }
  buffer.drop(whole);
  give_up_segment(error, error.is_full());
  return last_error;
}

/// After a failure nothing is written to the current segment any more. Records that were acknowledged when they came
/// into the buffer stay there for the next one; those whose callers are told of the failure do not.
void JournalWriter::State::give_up_segment(const FileError& error, bool full) {
  ++stats.failures;
  ++given_up;
  last_error = error_of(error);
  if (!full) failure = {Code::failed, error, {}};
  if (config.ack != Ack::memory) {
    abandoned += buffer.records();
    buffer.clear();
  }
  // Nobody was told that what was written and not brought to the disk is there, and it may not be.
  if (config.ack == Ack::disk) abandoned = next_seq - 1 - durable_seq;
  if (!current) return;
  if (current->records > 0) {
    // Half a record may stand at its end. That it goes is a courtesy to those who look at the file.
    static_cast<void>(file->truncate(current->bytes));
    older.push_back(*current);
  } else {
    static_cast<void>(files.remove(segment_path(config.directory, current->number)));
    forget(current->number);
  }
  current.reset();
  file.reset();
}

/// After a sync that failed, nobody was told that anything behind durable_seq is there, and nobody will be: segments of
/// nothing else leave, or readers would meet them without those before, which the disk may not have.
void JournalWriter::State::remove_unacknowledged() {
  unsynced.clear();
  while (!older.empty() && older.back().first_seq > durable_seq) {
    static_cast<void>(files.remove(segment_path(config.directory, older.back().number)));
    older.pop_back();
  }
}

FileError JournalWriter::State::bring_to_disk(const std::vector<Unsynced>& segments, bool directory) const {
  for (const Unsynced& segment : segments) {
    if (segment.file != nullptr) {
      if (FileError error = segment.file->sync()) return error;
      continue;
    }
    const auto opened = files.open_append(segment_path(config.directory, segment.number));
    if (!opened) {
      if (opened.error().is_missing()) continue;  // released or dropped in the meantime
      return opened.error();
    }
    if (FileError error = (*opened)->sync()) return error;
  }
  return directory ? files.sync_directory(config.directory) : FileError{};
}

/// Returns when everything up to `target` is on the disk. Who comes first does it for all that are there by then; who
/// comes while that one waits for the disk is served by the next, together with everybody else who came.
JournalError JournalWriter::State::commit(Lock& hold, std::uint64_t target) {
  const std::uint64_t given_up_before = given_up;
  while (durable_seq < target) {
    if (given_up != given_up_before) return last_error;
    if (syncing) {
      changed.wait(hold);
      continue;
    }
    if (closed) return {Code::closed, {}, {}};
    syncing = true;
    JournalError error = write_out();
    if (!error) {
      const std::vector<Unsynced> segments = std::exchange(unsynced, {});
      const bool directory = std::exchange(directory_unsynced, false);
      const std::uint64_t reached = written_seq;
      ++stats.syncs;
      hold.unlock();
      const FileError refused = bring_to_disk(segments, directory);
      hold.lock();
      if (refused) {
        give_up_segment(refused, false);
        error = last_error;
        if (config.ack == Ack::disk) remove_unacknowledged();
      } else {
        durable_seq = std::max(durable_seq, reached);
      }
    }
    syncing = false;
    changed.notify_all();
    if (error) return error;
  }
  return {};
}

JournalWriter::JournalWriter(std::unique_ptr<State> state) : generation_(fork_generation()), state_(std::move(state)) {}

JournalWriter::~JournalWriter() {
  if (forked()) {
    // Its mutex may be held by a thread that is not here, and its buffer is the parent's to write.
    static_cast<void>(state_.release());
    return;
  }
  static_cast<void>(close());
}

bool JournalWriter::forked() const noexcept { return generation_ != fork_generation(); }

Result<std::unique_ptr<JournalWriter>, JournalError> JournalWriter::open(JournalConfig config, FileSystem& files) {
  constexpr std::uint64_t kLeastTotal = 4096;
  if (config.directory.empty()) return JournalError{Code::invalid, {}, "a journal needs a directory"};
  if (config.total_bytes > 0) {
    if (config.total_bytes < kLeastTotal) {
      return JournalError{Code::invalid, {}, "total_bytes must be 0 (no bound) or at least 4096"};
    }
    // Two segments and the longest record fit.
    config.segment_bytes = std::min(config.segment_bytes, config.total_bytes / 4);
    config.max_record_bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(
        config.max_record_bytes, config.total_bytes / 2 - kSegmentHeaderBytes - kRecordHeaderBytes));
  }
  auto opened = open_journal_directory(config, files);
  if (!opened) return opened.error();
  auto state = std::make_unique<State>(std::move(config), files, std::move(*opened));
  return std::unique_ptr<JournalWriter>(new JournalWriter(std::move(state)));
}

Result<std::uint64_t, JournalError> JournalWriter::append(std::uint16_t kind, std::string_view payload) {
  if (forked()) return JournalError{Code::forked, {}, {}};
  State::Lock hold(state_->mutex);
  return state_->append(hold, kind, payload);
}

JournalError JournalWriter::flush() {
  if (forked()) return {Code::forked, {}, {}};
  const State::Lock hold(state_->mutex);
  if (JournalError error = state_->unusable()) return error;
  return state_->write_out();
}

JournalError JournalWriter::sync() {
  if (forked()) return {Code::forked, {}, {}};
  State::Lock hold(state_->mutex);
  if (JournalError error = state_->unusable()) return error;
  return state_->commit(hold, state_->next_seq - 1);
}

JournalError JournalWriter::recover() {
  if (forked()) return {Code::forked, {}, {}};
  State::Lock hold(state_->mutex);
  if (state_->closed) return {Code::closed, {}, {}};
  if (!state_->failure) return {};
  state_->changed.wait(hold, [&] { return !state_->syncing; });
  if (JournalError error = state_->begin_segment()) return error;
  state_->failure = {};
  return {};
}

Result<std::uint64_t, JournalError> JournalWriter::release(std::uint64_t seq) {
  if (forked()) return JournalError{Code::forked, {}, {}};
  State& state = *state_;
  const State::Lock hold(state.mutex);
  if (state.closed) return JournalError{Code::closed, {}, {}};
  std::uint64_t released = 0;
  while (!state.older.empty()) {
    const bool more = state.older.size() > 1;
    // What stays tells where the journal goes on, so it has to be sure to stay.
    const bool goes_on = state.current && state.current->records > 0 &&
                         (state.config.ack != Ack::disk || state.durable_seq >= state.current->first_seq);
    if (!more && !goes_on) break;
    const std::uint64_t end = more ? state.older[1].first_seq : state.current->first_seq;
    if (end > seq) break;
    const std::uint64_t number = state.older.front().number;
    const FileError error = state.files.remove(segment_path(state.config.directory, number));
    if (error && !error.is_missing()) return error_of(error);
    state.older.pop_front();
    state.forget(number);
    ++released;
  }
  return released;
}

JournalError JournalWriter::close() {
  if (forked()) return {Code::forked, {}, {}};
  State& state = *state_;
  State::Lock hold(state.mutex);
  if (state.closed) return {};
  JournalError error = state.failure;
  if (!error) {
    error = state.config.ack == Ack::disk ? state.commit(hold, state.next_seq - 1) : state.write_out();
  }
  state.changed.wait(hold, [&] { return !state.syncing; });
  state.closed = true;
  state.file.reset();
  state.unsynced.clear();
  state.lock.reset();
  return error;
}

JournalStats JournalWriter::stats() const {
  if (forked()) return {};
  const State::Lock hold(state_->mutex);
  const State& state = *state_;
  JournalStats stats = state.stats;
  stats.last_seq = state.next_seq - 1;
  stats.written_seq = state.written_seq;
  stats.durable_seq = state.durable_seq;
  stats.buffered_bytes = state.buffer.size();
  stats.segments = state.older.size() + (state.current ? 1 : 0);
  for (const SegmentSummary& segment : state.older) stats.bytes += segment.bytes;
  if (state.current) stats.bytes += state.current->bytes;
  stats.failed = static_cast<bool>(state.failure);
  return stats;
}

}  // namespace llmcore::io
