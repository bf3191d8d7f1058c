// Recording what an engine and its host did, and holding another run against it.
//
// A recording is a journal (journal.hpp) of the events of recording_format.hpp, in a directory of its own.
//
//   ReplayLogger     writes one. Thread-safe: events are in the order in which their calls took the lock. Each call is
//                    O(bytes) and, with Ack::os, one write.
//   RecordingReader  reads one, event by event, never the whole of it.
//   replay()         runs a fresh engine over the recorded inputs and compares every state hash.
//   ReplayValidator  compares two recordings and names the first divergence.
//   ReplayRng        draws the host's random numbers, and draws the same ones again.
//
// Only ReplayLogger is thread-safe. It belongs to the process that made it: a forked child records nothing. Nothing here throws but for want of memory, and nothing is global.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "llmcore/io/journal.hpp"
#include "llmcore/recording_format.hpp"
#include "llmcore/rng.hpp"

namespace llmcore::io {

struct ReplayLoggerConfig {
  std::string directory;  ///< made if need be; must not hold a recording yet
  Ack ack = Ack::os;
  bool engine = true;    ///< false: start() and input() record nothing, for recordings of requests and answers alone
  std::string producer;  ///< who writes: "llmcore 0.1.0"
};

class ReplayLogger {
 public:
  struct Stats {
    std::array<std::uint64_t, kEventKinds.size()> events{};  ///< recorded, by kind in the order of RecordedEvent
    std::uint64_t bytes = 0;                                 ///< of events, framing left out
    std::uint64_t refused = 0;                               ///< events that could not be recorded
  };

  /// Begins a recording.
  [[nodiscard]] static Result<std::unique_ptr<ReplayLogger>, JournalError> open(ReplayLoggerConfig config,
                                                                                FileSystem& files = system_files());
  ReplayLogger(const ReplayLogger&) = delete;
  ReplayLogger& operator=(const ReplayLogger&) = delete;
  /// As close(), without a word about what fails.
  ~ReplayLogger();

  // Each of the following gives nullptr when the event is in the recording, and otherwise why it is not.
  //
  // A recording with a hole in what the engine or a provider did is worth nothing. After the first such event that
  // could not be recorded, for whatever reason, and after the first failed write, nothing more is: problem() says why.

  /// An engine with this configuration begins; the inputs that follow are its. Call it before any.
  const char* start(const Config& config);
  /// The engine was handed `input` at `now`, and its state_hash() is now `state`. In the order of the engine's inputs.
  const char* input(const Input& input, Now now, std::uint64_t state);
  /// A request goes out. Its ordinal is set to the number of equal ones before it.
  const char* request(recorded::Request& request);
  /// What came of it: with the request's call, attempt, fingerprint and ordinal.
  const char* response(const recorded::Response& response);
  const char* frame(std::int64_t tick);
  const char* rng(std::string name, std::uint64_t bound, std::uint64_t value);
  const char* snapshot(recorded::Snapshot snapshot);
  /// Any event as it is: how a recording is copied. A begin or an end replaces the one that this writes by itself; an
  /// end that counts other events than were recorded is refused.
  const char* append(const RecordedEvent& event);

  /// Writes the end, and lets go of the directory. Nullptr, or why the recording is of no use. Calling it again does
  /// nothing.
  const char* close();
  /// Lets go of the directory without an end, as if the program had been killed: how one without an end is copied.
  const char* abandon();

  /// Whether start() and input() record anything.
  [[nodiscard]] bool records_engine() const noexcept { return engine_; }
  /// Why nothing more is recorded; empty while all is well.
  [[nodiscard]] std::string problem() const;
  [[nodiscard]] Stats stats() const;

 private:
  ReplayLogger(std::unique_ptr<JournalWriter> journal, ReplayLoggerConfig config);
  [[nodiscard]] bool forked() const noexcept;
  [[nodiscard]] std::uint64_t written() const noexcept;
  const char* locked_write(const RecordedEvent& event, bool must);
  const char* write(const RecordedEvent& event, bool must);
  const char* give_up(std::string why);
  const char* close(bool whole);

  const bool engine_;
  const std::string producer_;
  const std::uint64_t generation_;  // of the process that it belongs to
  mutable std::mutex mutex_;
  std::unique_ptr<JournalWriter> journal_;  // nullptr once closed
  std::string scratch_;
  std::string problem_;
  std::uint32_t version_ = kRecordingVersion;  // of the layout that is written
  bool begun_ = false;
  bool ended_ = false;
  Stats stats_;
  std::unordered_map<Fingerprint, std::uint32_t, FingerprintHash> ordinals_;
};

/// Where two runs part.
struct Divergence {
  std::int64_t tick = 0;    ///< of the frame it happened in; 0 before the first
  std::uint64_t event = 0;  ///< number of the event in the expected recording, from 1
  std::string field;        ///< as a path: "input.submit.targets[0].model"; "state": the engine went another way
  std::string expected;
  std::string got;

  /// One sentence.
  [[nodiscard]] std::string message() const;
};

class RecordingReader {
 public:
  [[nodiscard]] static Result<std::unique_ptr<RecordingReader>, JournalError> open(const std::string& directory,
                                                                                   FileSystem& files = system_files());

  /// The next event, or nothing at the end and after the first problem.
  [[nodiscard]] const RecordedEvent* next();
  /// Its bytes: equal for equal events in one version of the layout. Valid until the next call of next().
  [[nodiscard]] std::string_view bytes() const noexcept { return journal_->record().payload; }
  /// The number of the event that next() gave last, from 1.
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
  /// The frame it happened in.
  [[nodiscard]] std::int64_t tick() const noexcept { return tick_; }
  /// What is wrong with the recording, in words; empty while nothing is.
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
  /// Whether it was read to an end that the writer meant: a program that was killed leaves none.
  [[nodiscard]] bool complete() const noexcept { return complete_; }

 private:
  explicit RecordingReader(std::unique_ptr<JournalReader> journal) : journal_(std::move(journal)) {}

  std::unique_ptr<JournalReader> journal_;
  RecordedEvent event_;
  std::uint32_t version_ = kRecordingVersion;  // of the layout, as the beginning says
  std::uint64_t number_ = 0;
  std::int64_t tick_ = 0;
  std::string problem_;
  bool complete_ = false;
};

/// What came of running a recording again.
struct ReplayReport {
  std::uint64_t events = 0;
  std::uint64_t engines = 0;
  std::uint64_t inputs = 0;
  std::optional<Divergence> divergence;  ///< the first; nothing after it was run
  std::string problem;                   ///< what is wrong with the recording itself; empty: nothing
  bool complete = false;

  [[nodiscard]] bool ok() const noexcept { return !divergence && problem.empty(); }
};

/// Runs fresh engines over the inputs of the rest of the recording and compares each state hash.
[[nodiscard]] ReplayReport replay(RecordingReader& recording);

class ReplayValidator {
 public:
  /// `kinds`: which kinds of events to compare, an empty set for all. Events of other kinds are passed over.
  explicit ReplayValidator(std::set<RecordKind> kinds = {}) : kinds_(std::move(kinds)) {}

  struct Report {
    std::uint64_t compared = 0;            ///< events that are equal
    std::optional<Divergence> divergence;  ///< the first
    std::string problem;                   ///< of one of the two recordings; empty: nothing
  };
  /// Reads both side by side as far as they are equal.
  [[nodiscard]] Report compare(RecordingReader& expected, RecordingReader& got) const;

 private:
  [[nodiscard]] const RecordedEvent* next(RecordingReader& recording) const;

  std::set<RecordKind> kinds_;
};

/// Named random draws: recorded in one run, the same again in the next.
///
/// While replaying, each name has a sequence of its own, so that it does not matter which of two names is asked first.
/// A draw that the recording does not have (another bound, or one too many) is a divergence; it and those after it come
/// from a generator of their own, so that a game can go on.
class ReplayRng {
 public:
  /// Draws from `seed`, and records each draw where there is a logger.
  explicit ReplayRng(std::uint64_t seed, std::shared_ptr<ReplayLogger> logger = nullptr);
  /// Gives the recorded draws again.
  explicit ReplayRng(std::unique_ptr<RecordingReader> recording);

  /// 64 random bits.
  std::uint64_t next(std::string_view name) { return draw(name, 0); }
  /// Uniform in [0, bound); bound must be > 0.
  std::uint64_t below(std::string_view name, std::uint64_t bound) { return draw(name, bound); }
  /// Uniform in [low, high], both included; low must be <= high.
  std::int64_t between(std::string_view name, std::int64_t low, std::int64_t high);

  [[nodiscard]] bool replaying() const noexcept { return recording_ != nullptr; }
  /// Draws given so far.
  [[nodiscard]] std::uint64_t draws() const noexcept { return draws_; }
  /// The first draw that was not the recorded one.
  [[nodiscard]] const std::optional<Divergence>& divergence() const noexcept { return divergence_; }
  /// Why a draw was not recorded, or the recording could not be read; empty while all is well.
  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }

 private:
  struct Recorded {
    std::uint64_t event = 0;
    std::int64_t tick = 0;
    std::uint64_t bound = 0;
    std::uint64_t value = 0;
  };
  std::uint64_t draw(std::string_view name, std::uint64_t bound);
  [[nodiscard]] std::optional<Recorded> recorded(std::string_view name);

  Rng rng_;
  std::shared_ptr<ReplayLogger> logger_;
  std::unique_ptr<RecordingReader> recording_;
  std::map<std::string, std::deque<Recorded>, std::less<>> waiting_;  // read already, asked for later
  std::uint64_t draws_ = 0;
  std::optional<Divergence> divergence_;
  std::string problem_;
};

}  // namespace llmcore::io
