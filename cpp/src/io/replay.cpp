#include "llmcore/io/replay.hpp"

#include <numeric>
#include <utility>

#include "llmcore/engine.hpp"
#include "llmcore/io/fork.hpp"

namespace llmcore::io {
namespace {

// What is handed out must outlive the lock, so these are literals; problem() has the whole story.
constexpr const char* kForked = "the recording belongs to the parent process";
constexpr const char* kGaveUp = "the recording was given up earlier: problem() says why";

constexpr std::string_view kOver = "no more events";

std::string described(const RecordedEvent* event) {
  return event == nullptr ? std::string(kOver) : std::string(to_string(kind_of(*event)));
}

}  // namespace

// --- ReplayLogger ------------------------------------------------------------------------------------------------------

Result<std::unique_ptr<ReplayLogger>, JournalError> ReplayLogger::open(ReplayLoggerConfig config, FileSystem& files) {
  JournalConfig journal;
  journal.directory = config.directory;
  journal.ack = config.ack;
  journal.max_record_bytes = static_cast<std::uint32_t>(kLargestEvent);
  Result<std::unique_ptr<JournalWriter>, JournalError> opened = JournalWriter::open(std::move(journal), files);
  if (!opened) return opened.error();
  if ((*opened)->stats().segments > 0) {
    JournalError error;
    error.code = JournalError::Code::invalid;
    error.what = config.directory + " holds a recording already: remove it, or record into another directory";
    return error;
  }
  return std::unique_ptr<ReplayLogger>(new ReplayLogger(std::move(*opened), std::move(config)));
}

ReplayLogger::ReplayLogger(std::unique_ptr<JournalWriter> journal, ReplayLoggerConfig config)
    : engine_(config.engine),
      producer_(std::move(config.producer)),
      generation_(fork_generation()),
      journal_(std::move(journal)) {}

ReplayLogger::~ReplayLogger() { close(); }

// Asked before every lock: in a child, whoever held it at the fork is not there to let go of it.
bool ReplayLogger::forked() const noexcept { return generation_ != fork_generation(); }

const char* ReplayLogger::give_up(std::string why) {
  if (problem_.empty()) problem_ = std::move(why);
  return kGaveUp;
}

std::uint64_t ReplayLogger::written() const noexcept {
  return std::accumulate(stats_.events.begin(), stats_.events.end(), std::uint64_t{0});
}

// `must`: without this event the recording is worth nothing.
const char* ReplayLogger::write(const RecordedEvent& event, bool must) {
  if (journal_ == nullptr || ended_) return "the recording is closed";
  if (begun_ && std::holds_alternative<recorded::Begin>(event)) return "a recording begins once";
  if (!problem_.empty()) {
    ++stats_.refused;
    return kGaveUp;
  }
  if (!begun_ && !std::holds_alternative<recorded::Begin>(event)) {
    if (const char* problem = write(recorded::Begin{kRecordingVersion, producer_}, true)) return problem;
  }
  if (const auto* end = std::get_if<recorded::End>(&event); end != nullptr && end->events != written()) {
    return "the end counts other events than there are";
  }
  scratch_.clear();
  const auto* begin = std::get_if<recorded::Begin>(&event);
  if (begin != nullptr) version_ = begin->version;  // of a copy, that of the recording that is copied
  if (const char* problem = encode_event(event, scratch_, version_)) {
    ++stats_.refused;
    if (must) give_up("an event of kind " + described(&event) + " cannot be recorded: " + problem);
    return problem;
  }
  const Result<std::uint64_t, JournalError> written = journal_->append(kind_of(event), scratch_);
  if (!written) {
    ++stats_.refused;
    return give_up(written.error().message());
  }
  begun_ = true;
  ended_ = std::holds_alternative<recorded::End>(event);
  ++stats_.events[event.index()];
  stats_.bytes += scratch_.size();
  return nullptr;
}

const char* ReplayLogger::locked_write(const RecordedEvent& event, bool must) {
  if (forked()) return kForked;
  const std::lock_guard<std::mutex> hold(mutex_);
  return write(event, must);
}

const char* ReplayLogger::start(const Config& config) {
  return engine_ ? locked_write(recorded::Start{config}, true) : nullptr;
}

const char* ReplayLogger::input(const Input& input, Now now, std::uint64_t state) {
  return engine_ ? locked_write(recorded::Fed{now, input, {state}}, true) : nullptr;
}

const char* ReplayLogger::request(recorded::Request& request) {
  if (forked()) return kForked;
  const std::lock_guard<std::mutex> hold(mutex_);
  request.ordinal = ordinals_[request.fingerprint]++;
  return write(request, true);
}

const char* ReplayLogger::response(const recorded::Response& response) { return locked_write(response, true); }
const char* ReplayLogger::frame(std::int64_t tick) { return locked_write(recorded::Frame{tick}, false); }
const char* ReplayLogger::snapshot(recorded::Snapshot snapshot) { return locked_write(std::move(snapshot), false); }
const char* ReplayLogger::append(const RecordedEvent& event) { return locked_write(event, false); }

const char* ReplayLogger::rng(std::string name, std::uint64_t bound, std::uint64_t value) {
  return locked_write(recorded::Draw{std::move(name), bound, value}, false);
}

const char* ReplayLogger::close() { return close(true); }
const char* ReplayLogger::abandon() { return close(false); }

const char* ReplayLogger::close(bool whole) {
  if (forked()) return kForked;
  const std::lock_guard<std::mutex> hold(mutex_);
  if (journal_ == nullptr) return nullptr;
  if (whole && !ended_ && problem_.empty()) {
    // An empty recording has a beginning all the same.
    static_cast<void>(write(recorded::End{written() + (begun_ ? 0 : 1)}, true));
  }
  if (JournalError error = journal_->close(); error && problem_.empty()) problem_ = error.message();
  journal_.reset();
  return problem_.empty() ? nullptr : kGaveUp;
}

std::string ReplayLogger::problem() const {
  if (forked()) return kForked;
  const std::lock_guard<std::mutex> hold(mutex_);
  return problem_;
}

ReplayLogger::Stats ReplayLogger::stats() const {
  if (forked()) return {};
  const std::lock_guard<std::mutex> hold(mutex_);
  return stats_;
}

// --- RecordingReader ---------------------------------------------------------------------------------------------------

std::string Divergence::message() const {
  return "tick " + std::to_string(tick) + ", event " + std::to_string(event) + ": " + field + " was " + expected +
         " and is " + got;
}

Result<std::unique_ptr<RecordingReader>, JournalError> RecordingReader::open(const std::string& directory,
                                                                             FileSystem& files) {
  JournalReaderConfig config;
  config.directory = directory;
  config.max_record_bytes = static_cast<std::uint32_t>(kLargestEvent);
  Result<std::unique_ptr<JournalReader>, JournalError> opened = JournalReader::open(std::move(config), files);
  if (!opened) return opened.error();
  return std::unique_ptr<RecordingReader>(new RecordingReader(std::move(*opened)));
}

const RecordedEvent* RecordingReader::next() {
  if (!problem_.empty() || complete_) return nullptr;
  const JournalReader::Next found = journal_->next();
  const std::string where = "event " + std::to_string(number_ + 1);
  for (const JournalProblem& problem : journal_->problems()) {
    if (problem.what == JournalProblem::What::header_copy) continue;  // nothing was lost
    problem_ = "the recording is damaged before " + where + ", in segment " + std::to_string(problem.segment) +
               " at byte " + std::to_string(problem.offset) + ": " + std::string(to_string(problem.what));
    return nullptr;
  }
  if (found == JournalReader::Next::end) {
    if (number_ == 0) problem_ = "there is no recording";
    return nullptr;
  }
  const JournalRecord& record = journal_->record();
  if (const char* problem = decode_event(static_cast<RecordKind>(record.kind), record.payload, event_, version_)) {
    problem_ = where + " cannot be read: " + problem;
    return nullptr;
  }
  const auto* begin = std::get_if<recorded::Begin>(&event_);
  const bool begins = begin != nullptr;
  if (begins != (number_ == 0)) {
    problem_ = begins ? where + " begins another recording" : "this is a journal, but no recording";
    return nullptr;
  }
  if (begins) version_ = begin->version;
  if (const auto* end = std::get_if<recorded::End>(&event_)) {
    if (end->events != number_) {
      problem_ = "the recording ends after " + std::to_string(number_) + " events and should have " +
                 std::to_string(end->events);
      return nullptr;
    }
    complete_ = true;
  }
  if (const auto* frame = std::get_if<recorded::Frame>(&event_)) tick_ = frame->tick;
  if (const auto* snapshot = std::get_if<recorded::Snapshot>(&event_)) tick_ = snapshot->tick;
  ++number_;
  return &event_;
}

// --- replaying and comparing -------------------------------------------------------------------------------------------

ReplayReport replay(RecordingReader& recording) {
  ReplayReport report;
  std::optional<Engine> engine;
  while (const RecordedEvent* event = recording.next()) {
    ++report.events;
    if (const auto* start = std::get_if<recorded::Start>(event)) {
      engine.emplace(start->config);  // decode_event() has asked it for problems
      ++report.engines;
      continue;
    }
    const auto* fed = std::get_if<recorded::Fed>(event);
    if (fed == nullptr) continue;
    if (!engine) {
      report.problem = "event " + std::to_string(recording.number()) + " is an input before any configuration";
      return report;
    }
    ++report.inputs;
    engine->handle(fed->input, fed->now);
    while (engine->poll()) {
    }
    recorded::Fed again = *fed;
    again.state = {engine->state_hash()};
    if (again.state == fed->state) continue;
    FieldDifference difference = difference_of(*fed, again);
    report.divergence = Divergence{recording.tick(), recording.number(), std::move(difference.field),
                                   std::move(difference.expected), std::move(difference.got)};
    return report;
  }
  report.problem = recording.problem();
  report.complete = recording.complete();
  return report;
}

const RecordedEvent* ReplayValidator::next(RecordingReader& recording) const {
  const RecordedEvent* event = recording.next();
  while (event != nullptr && !kinds_.empty() && kinds_.count(kind_of(*event)) == 0) event = recording.next();
  return event;
}

ReplayValidator::Report ReplayValidator::compare(RecordingReader& expected, RecordingReader& got) const {
  Report report;
  while (true) {
    const RecordedEvent* one = next(expected);
    const RecordedEvent* other = next(got);
    if (!expected.problem().empty()) report.problem = "the expected recording: " + expected.problem();
    if (!got.problem().empty() && report.problem.empty()) report.problem = "the other recording: " + got.problem();
    if (!report.problem.empty() || (one == nullptr && other == nullptr)) return report;
    if (one == nullptr || other == nullptr) {
      report.divergence = Divergence{expected.tick(), expected.number() + (one == nullptr ? 1 : 0), "kind",
                                     described(one), described(other)};
      return report;
    }
    if (kind_of(*one) != kind_of(*other) || expected.bytes() != got.bytes()) {
      FieldDifference difference = difference_of(*one, *other);
      if (!difference.field.empty()) {  // else the same, in the layouts of two versions
        report.divergence = Divergence{expected.tick(), expected.number(), std::move(difference.field),
                                       std::move(difference.expected), std::move(difference.got)};
        return report;
      }
    }
    ++report.compared;
  }
}

// --- ReplayRng ---------------------------------------------------------------------------------------------------------

ReplayRng::ReplayRng(std::uint64_t seed, std::shared_ptr<ReplayLogger> logger)
    : rng_(seed), logger_(std::move(logger)) {}

ReplayRng::ReplayRng(std::unique_ptr<RecordingReader> recording) : rng_(0), recording_(std::move(recording)) {}

std::int64_t ReplayRng::between(std::string_view name, std::int64_t low, std::int64_t high) {
  // In unsigned arithmetic, where the whole range of 64 bits, whose size is 0, is what draw() takes 0 for.
  const std::uint64_t span = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low) + 1;
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + draw(name, span));
}

std::uint64_t ReplayRng::draw(std::string_view name, std::uint64_t bound) {
  ++draws_;
  if (recording_ == nullptr || divergence_) {
    const std::uint64_t value = bound == 0 ? rng_.next() : rng_.below(bound);
    if (logger_ != nullptr) {
      if (const char* problem = logger_->rng(std::string(name), bound, value); problem != nullptr && problem_.empty()) {
        problem_ = problem;
      }
    }
    return value;
  }
  const std::optional<Recorded> found = recorded(name);
  if (found && found->bound == bound) return found->value;
  const auto told = [](std::uint64_t limit) { return limit == 0 ? "64 bits" : "below " + std::to_string(limit); };
  divergence_ = Divergence{found ? found->tick : recording_->tick(), found ? found->event : recording_->number() + 1,
                           "rng." + std::string(name), found ? told(found->bound) : "no more draws", told(bound)};
  if (!recording_->problem().empty() && problem_.empty()) problem_ = recording_->problem();
  --draws_;
  return draw(name, bound);
}

std::optional<ReplayRng::Recorded> ReplayRng::recorded(std::string_view name) {
  if (const auto found = waiting_.find(name); found != waiting_.end() && !found->second.empty()) {
    const Recorded next = found->second.front();
    found->second.pop_front();
    return next;
  }
  while (const RecordedEvent* event = recording_->next()) {
    const auto* draw = std::get_if<recorded::Draw>(event);
    if (draw == nullptr) continue;
    const Recorded read{recording_->number(), recording_->tick(), draw->bound, draw->value};
    if (draw->name == name) return read;
    waiting_[draw->name].push_back(read);
  }
  return std::nullopt;
}

}  // namespace llmcore::io
