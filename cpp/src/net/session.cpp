#include "llmcore/net/session.hpp"

#include <utility>
#include <variant>
#include <vector>

#include "llmcore/crc32c.hpp"
#include "llmcore/rng.hpp"
#include "llmcore/version.hpp"
#include "session_json.hpp"

namespace llmcore {
namespace {

constexpr std::string_view kSubmit = "llm.submit";
constexpr std::string_view kCancel = "llm.cancel";
constexpr std::string_view kPoll = "llm.poll";
constexpr std::string_view kOver = "no more events";
constexpr std::string_view kMagic = "LLMLUCK1";
constexpr std::size_t kSaved = 8 + 4 * 8 + 4;  // magic, the generator's place, checksum

struct Recorded {
  std::uint64_t number = 0;
  std::int64_t tick = 0;
  RecordedEvent event;
};

std::string what(const RecordedEvent& event) {
  if (const auto* snapshot = std::get_if<recorded::Snapshot>(&event)) return "snapshot " + snapshot->name;
  if (const auto* draw = std::get_if<recorded::Draw>(&event)) return "rng " + draw->name;
  if (const auto* frame = std::get_if<recorded::Frame>(&event)) return "frame " + std::to_string(frame->tick);
  return std::string(to_string(kind_of(event)));
}

}  // namespace

class Session::Impl {
 public:
  Impl(std::unique_ptr<Client> client, std::shared_ptr<io::ReplayLogger> log, std::uint64_t seed)
      : client_(std::move(client)), log_(std::move(log)), rng_(seed) {}
  Impl(std::vector<Recorded> events, bool whole, std::string problem)
      : replaying_(true), events_(std::move(events)), whole_(whole), problem_(std::move(problem)), rng_(0) {}

  bool frame(std::int64_t tick) {
    tick_ = tick;
    if (client_) {
      client_->set_frame(tick);
      return true;
    }
    // What the recording still has of the frame before, the game did not ask for.
    if (at_ < events_.size() && begun_ && !std::holds_alternative<recorded::Frame>(events_[at_].event)) {
      diverge("event", what(events_[at_].event), "frame " + std::to_string(tick));
    }
    while (at_ < events_.size()) {
      const auto* frame = std::get_if<recorded::Frame>(&events_[at_].event);
      if (frame != nullptr && frame->tick == tick) break;
      if (frame != nullptr && begun_) diverge("tick", std::to_string(frame->tick), std::to_string(tick));
      ++at_;
    }
    begun_ = true;
    if (at_ == events_.size()) return false;
    ++at_;
    return true;
  }

  CallId submit(Client::Request request) {
    if (client_) {
      if (!log_) return client_->submit(std::move(request));
      record(kSubmit, net::session_submit(client_->next_call(), request));
      return client_->submit(std::move(request));
    }
    const recorded::Snapshot* const then = expect(kSubmit);
    if (then == nullptr || !then->bytes) return 0;
    const CallId call = net::session_call(*then->bytes);
    compare("submit", *then, net::session_submit(call, request));
    ++at_;
    return call;
  }

  void cancel(CallId call) {
    if (client_) {
      if (log_) record(kCancel, std::to_string(call));
      client_->cancel(call);
      return;
    }
    if (const recorded::Snapshot* const then = expect(kCancel)) {
      compare("cancel", *then, std::to_string(call));
      ++at_;
    }
  }

  std::size_t poll(Client::Events& events, Client::PollBudget budget) {
    if (client_) {
      client_->poll(events, budget);
      if (log_) record(kPoll, net::session_events(events));
      return events.size();
    }
    events.clear();
    const recorded::Snapshot* const then = expect(kPoll);
    if (then == nullptr || !then->bytes || !given_.read(*then->bytes)) return 0;
    ++at_;
    events = given_.events;
    return events.size();
  }

  std::uint64_t draw(std::string_view name, std::uint64_t bound) {
    if (client_) {
      const std::uint64_t value = bound == 0 ? rng_.next() : rng_.below(bound);
      if (log_) client_->record(recorded::Draw{std::string(name), bound, value});
      return value;
    }
    const auto* then = at_ < events_.size() ? std::get_if<recorded::Draw>(&events_[at_].event) : nullptr;
    if (then != nullptr && then->name == name && then->bound == bound) {
      ++at_;
      return then->value;
    }
    const std::string asked = "rng " + std::string(name);
    if (then != nullptr && then->name == name) {
      diverge("bound", std::to_string(then->bound), std::to_string(bound));
      ++at_;
    } else {
      diverge("event", at_ < events_.size() ? what(events_[at_].event) : std::string(kOver), asked);
    }
    return bound == 0 ? rng_.next() : rng_.below(bound);
  }

  void snapshot(std::string_view name, std::string_view bytes, bool keep) {
    if (client_) {
      if (log_) client_->record_snapshot(tick_, name, std::string(bytes), keep);
      return;
    }
    if (const recorded::Snapshot* const then = expect(name)) {
      compare(name, *then, std::string(bytes));
      ++at_;
    }
  }

  [[nodiscard]] std::string save() const {
    std::string bytes(kMagic);
    for (const std::uint64_t word : rng_.state()) {
      for (unsigned i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(word >> (8 * i) & 0xFF));
    }
    const std::uint32_t crc = crc32c(bytes);
    for (unsigned i = 0; i < 4; ++i) bytes.push_back(static_cast<char>(crc >> (8 * i) & 0xFF));
    return bytes;
  }

  const char* load(std::string_view bytes) {
    if (replaying_) return "a replay has the recording's luck: nothing is loaded";
    if (bytes.size() != kSaved || bytes.substr(0, kMagic.size()) != kMagic) return "this is no saved session";
    const auto word = [&](std::size_t at, unsigned size) {
      std::uint64_t value = 0;
      for (unsigned i = 0; i < size; ++i) value |= std::uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
      return value;
    };
    if (crc32c(bytes.substr(0, kSaved - 4)) != word(kSaved - 4, 4)) return "the saved session is damaged";
    Rng::State state{};
    for (std::size_t i = 0; i < state.size(); ++i) state[i] = word(kMagic.size() + 8 * i, 8);
    if (state == Rng::State{}) return "the saved session is damaged";
    rng_.restore(state);
    return nullptr;
  }

  bool close(Duration deadline) {
    if (!client_) return problem_.empty();
    const bool ended = client_->shutdown(deadline);
    if (!log_) return ended;
    return ended && log_->close() == nullptr;
  }

  [[nodiscard]] std::string problem() const { return log_ ? log_->problem() : problem_; }

  bool replaying_ = false;
  std::unique_ptr<Client> client_;  // null while replaying
  std::optional<io::Divergence> divergence_;

 private:
  void record(std::string_view name, std::string bytes) {
    client_->record_snapshot(tick_, name, std::move(bytes), true);
  }

  void diverge(std::string field, std::string expected, std::string got) {
    if (divergence_) return;
    if (at_ == events_.size() && !whole_) {  // what the game did there, nobody knows
      if (problem_.empty()) problem_ = "the recording was cut in tick " + std::to_string(tick_) + ": it was not closed";
      return;
    }
    io::Divergence first;
    first.tick = tick_;
    first.event = at_ < events_.size() ? events_[at_].number : 0;
    first.field = std::move(field);
    first.expected = std::move(expected);
    first.got = std::move(got);
    divergence_ = std::move(first);
  }

  /// The next event, if it is a snapshot of this name in this frame; otherwise a divergence.
  const recorded::Snapshot* expect(std::string_view name) {
    const auto* then = at_ < events_.size() ? std::get_if<recorded::Snapshot>(&events_[at_].event) : nullptr;
    if (then != nullptr && then->name == name) return then;
    const std::string asked = "snapshot " + std::string(name);
    diverge("event", at_ < events_.size() ? what(events_[at_].event) : std::string(kOver), asked);
    return nullptr;
  }

  void compare(std::string_view root, const recorded::Snapshot& then, const std::string& now) {
    const StateHash state = hash_of_state(now);
    if (state == then.state) return;
    if (then.bytes) {
      net::JsonDifference found = net::json_difference(root, *then.bytes, now);
      if (!found.field.empty()) return diverge(std::move(found.field), std::move(found.expected), std::move(found.got));
    }
    diverge("state", "the hash " + std::to_string(then.state.value), "the hash " + std::to_string(state.value));
  }

  std::shared_ptr<io::ReplayLogger> log_;
  std::vector<Recorded> events_;
  bool whole_ = true;  // it was closed
  std::size_t at_ = 0;
  bool begun_ = false;
  net::SessionEvents given_;
  std::string problem_;
  std::int64_t tick_ = 0;
  Rng rng_;
};

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::~Session() { impl_->close(50 * kMillisecond); }

std::unique_ptr<Session> Session::live(Client::Config config, std::uint64_t seed, std::string& problem) {
  auto client = Client::create(std::move(config), problem);
  if (!client) return nullptr;
  return std::unique_ptr<Session>(new Session(std::make_unique<Impl>(std::move(client), nullptr, seed)));
}

std::unique_ptr<Session> Session::record(Client::Config config, const std::string& directory, std::uint64_t seed,
                                         std::string& problem) {
  io::ReplayLoggerConfig logging;
  logging.directory = directory;
  logging.producer = "llmcore " + std::string(version());
  auto log = io::ReplayLogger::open(std::move(logging));
  if (!log) {
    problem = log.error().message();
    return nullptr;
  }
  std::shared_ptr<io::ReplayLogger> shared = std::move(*log);
  config.recorder = shared;
  auto client = Client::create(std::move(config), problem);
  if (!client) return nullptr;
  return std::unique_ptr<Session>(new Session(std::make_unique<Impl>(std::move(client), std::move(shared), seed)));
}

std::unique_ptr<Session> Session::replay(const std::string& directory, std::string& problem, std::int64_t first_tick) {
  problem.clear();
  auto reader = io::RecordingReader::open(directory);
  if (!reader) {
    problem = reader.error().message();
    return nullptr;
  }
  std::vector<Recorded> events;
  while (const RecordedEvent* event = (*reader)->next()) {
    const RecordKind kind = kind_of(*event);
    if (kind != RecordKind::frame && kind != RecordKind::rng && kind != RecordKind::snapshot) continue;
    if ((*reader)->tick() < first_tick) continue;
    events.push_back(Recorded{(*reader)->number(), (*reader)->tick(), *event});
  }
  if (events.empty()) {
    problem = (*reader)->problem().empty() ? directory + " holds no session" : (*reader)->problem();
    return nullptr;
  }
  return std::unique_ptr<Session>(
      new Session(std::make_unique<Impl>(std::move(events), (*reader)->complete(), (*reader)->problem())));
}

bool Session::replaying() const noexcept { return impl_->replaying_; }
bool Session::frame(std::int64_t tick) { return impl_->frame(tick); }
CallId Session::submit(Client::Request request) { return impl_->submit(std::move(request)); }
void Session::cancel(CallId call) { impl_->cancel(call); }
std::size_t Session::poll(Client::Events& events, Client::PollBudget budget) { return impl_->poll(events, budget); }
void Session::pump(Duration wait) {
  if (impl_->client_) impl_->client_->pump(wait);
}
std::uint64_t Session::draw(std::string_view name, std::uint64_t bound) { return impl_->draw(name, bound); }

std::int64_t Session::between(std::string_view name, std::int64_t low, std::int64_t high) {
  const std::uint64_t span = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
  // All 64 bits are no bound; then every value is one.
  const std::uint64_t drawn = draw(name, span + 1);
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + drawn);
}

void Session::snapshot(std::string_view name, std::string_view bytes, bool keep) { impl_->snapshot(name, bytes, keep); }
std::string Session::save() const { return impl_->save(); }
const char* Session::load(std::string_view bytes) { return impl_->load(bytes); }
const std::optional<io::Divergence>& Session::divergence() const noexcept { return impl_->divergence_; }
std::string Session::problem() const { return impl_->problem(); }
Client* Session::client() noexcept { return impl_->client_.get(); }
bool Session::close(Duration deadline) { return impl_->close(deadline); }

}  // namespace llmcore
