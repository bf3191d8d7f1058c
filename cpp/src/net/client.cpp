// The game's side of the client: it writes into one ring and reads from the other.
#include "llmcore/net/client.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <thread>
#include <utility>

#include "client_mail.hpp"
#include "client_worker.hpp"

namespace llmcore {

using net::Command;
using net::Figure;

class Client::Impl {
 public:
  explicit Impl(Config config)
      : most_calls_(config.max_calls),
        threaded_(config.worker_thread),
        recording_(config.recorder != nullptr),
        mail_(std::make_shared<net::Mail>(config.max_calls, config.event_bytes)),
        worker_(std::make_shared<net::ClientWorker>(std::move(config), mail_)) {
    late_.reserve(most_calls_);
    if (threaded_) {
      // Not joined, ever: what holds it up, a name server for example, must not hold up the game. It owns all that it uses.
      std::thread([worker = worker_] { worker->run(); }).detach();
    }
  }

  [[nodiscard]] bool recording() const noexcept { return recording_; }
  [[nodiscard]] CallId next_call() const noexcept { return last_call_ + 1; }

  CallId submit(Request&& request) {
    const CallId call = ++last_call_;
    const std::uint64_t tag = request.tag;
    ++submitted_;
    if (stopped_ || live_ >= most_calls_) {
      refuse(call, tag, stopped_ ? Outcome::cancelled : Outcome::queue_full);
      return call;
    }
    ++live_;
    // Moved once, for it is long. Where much that is recorded fills the ring, the call goes a frame later.
    Command* const slot = late_.empty() ? mail_->commands.back() : nullptr;
    Command& command = slot != nullptr ? *slot : late_.emplace_back();
    command.kind = Command::Kind::submit;
    command.call = call;
    command.request.emplace(std::move(request));
    if (slot == nullptr) return call;
    mail_->commands.commit();
    wake();
    return call;
  }

  /// Anything is done, at the worst a frame later.
  void send(Command command) {
    if (put(std::move(command))) wake();
  }

  /// Something to be recorded. There may be much of it in every frame, so the worker is not woken for it: while it
  /// records, it looks of itself every few milliseconds.
  void note(Command command) {
    if (put(std::move(command)) && mail_->commands.half_full()) wake();
  }

  CallId ask(Command command) {
    const CallId call = command.call = ++last_call_;
    if (stopped_) {
      refuse(call, 0, Outcome::cancelled);
    } else {
      send(std::move(command));
    }
    return call;
  }

  std::size_t poll(Events& events, PollBudget budget) {
    mail_->events.release();
    events.clear();
    events.reserve(std::min(budget.events, PollBudget{}.events));  // at the first poll, and in no frame after it
    send_late();
    if (stopped_ && ended()) worker_->flush();  // what the ring had no room for
    for (; told_ < refused_.size() && events.size() < budget.events; ++told_) events.push_back(refused_[told_]);
    if (told_ == refused_.size()) {
      refused_.clear();
      told_ = 0;
    }
    const Instant until = budget.time < kHour ? io::mono() + budget.time : kNever;
    constexpr std::size_t kBetweenLooks = 8;
    while (events.size() < budget.events) {
      Event& event = events.emplace_back();
      if (!mail_->events.next(event)) {
        events.pop_back();
        break;
      }
      if (event.kind == Event::Kind::finished || event.kind == Event::Kind::failed) {
        --live_;
        ++(event.kind == Event::Kind::finished ? finished_ : failed_);
      }
      if (events.size() % kBetweenLooks == 0 && io::mono() >= until) break;
    }
    return events.size();
  }

  void pump(Duration wait) {
    if (threaded_) return;
    send_late();
    worker_->turn(wait);
  }

  bool shutdown(Duration deadline) {
    if (stopped_) return ended();
    const Instant until = add_saturated(io::mono(), deadline);
    Command stop;
    stop.kind = Command::Kind::stop;
    if (!threaded_) {
      send(std::move(stop));
      stopped_ = true;
      do {
        send_late();
        worker_->turn(0);
      } while (!ended() && io::mono() < until);
      return ended();
    }
    send(std::move(stop));
    stopped_ = true;
    while (!late_.empty() && io::mono() < until) {
      send_late();
      std::this_thread::yield();
    }
    std::unique_lock hold(mail_->ending);
    const auto left = std::chrono::nanoseconds(std::max<Duration>(until - io::mono(), 0));
    return mail_->ended_changed.wait_for(hold, left, [&] { return mail_->ended; });
  }

  [[nodiscard]] Stats stats() const noexcept {
    Stats all;
    all.submitted = submitted_;
    all.finished = finished_;
    all.failed = failed_;
    all.live = submitted_ - finished_ - failed_;
    all.in_flight = mail_->get(Figure::in_flight);
    all.cached = mail_->get(Figure::cached);
    all.fallbacks = mail_->get(Figure::fallbacks);
    all.retries = mail_->get(Figure::retries);
    all.input_tokens = mail_->get(Figure::input_tokens);
    all.output_tokens = mail_->get(Figure::output_tokens);
    all.cost = mail_->get(Figure::cost);
    all.saved = mail_->get(Figure::saved);
    all.unhealthy = mail_->get(Figure::unhealthy);
    all.unwritten = mail_->get(Figure::unwritten);
    return all;
  }

 private:
  void refuse(CallId call, std::uint64_t tag, Outcome outcome) {
    Event event;
    event.kind = Event::Kind::failed;
    event.call = call;
    event.tag = tag;
    event.outcome = outcome;
    event.error = outcome == Outcome::cancelled
                      ? std::string_view("the client was shut down: this call was not sent")
                      : std::string_view("too many calls are open: collect what is finished, or raise max_calls");
    refused_.push_back(event);
    ++failed_;
  }

  /// False: it goes later, or nowhere, the client being shut down.
  bool put(Command command) {
    if (stopped_) return false;
    if (late_.empty() && mail_->commands.push(command)) return true;
    late_.push_back(std::move(command));
    return false;
  }

  void wake() {
    if (threaded_ && mail_->sleeping.exchange(false)) worker_->wake();
  }

  void send_late() {
    if (late_.empty()) return;
    std::size_t sent = 0;
    while (sent < late_.size() && mail_->commands.push(late_[sent])) ++sent;
    late_.erase(late_.begin(), late_.begin() + static_cast<std::ptrdiff_t>(sent));
    if (sent != 0) wake();
  }

  [[nodiscard]] bool ended() {
    const std::lock_guard hold(mail_->ending);
    return mail_->ended;
  }

  std::size_t most_calls_;
  bool threaded_;
  bool recording_;
  std::shared_ptr<net::Mail> mail_;
  std::shared_ptr<net::ClientWorker> worker_;
  CallId last_call_ = 0;
  std::size_t live_ = 0;
  bool stopped_ = false;
  std::vector<Event> refused_;  // here, without the worker; from told_ on not handed out yet
  std::size_t told_ = 0;
  std::vector<Command> late_;  // that did not fit into the ring
  std::atomic<std::int64_t> submitted_{0};
  std::atomic<std::int64_t> finished_{0};
  std::atomic<std::int64_t> failed_{0};
};

Client::Client(Config config) {
  std::string sentences;
  for (const std::string& problem : config.problems()) sentences += (sentences.empty() ? "" : " ") + problem;
  if (!sentences.empty()) throw std::invalid_argument(sentences);
  impl_ = std::make_unique<Impl>(std::move(config));
}

std::unique_ptr<Client> Client::create(Config config, std::string& problem) {
  problem.clear();
  for (const std::string& one : config.problems()) problem += (problem.empty() ? "" : " ") + one;
  if (!problem.empty()) return nullptr;
  try {
    return std::make_unique<Client>(std::move(config));
  } catch (const std::exception& error) {  // no thread, no libcurl
    problem = error.what();
    return nullptr;
  }
}

Client::~Client() { impl_->shutdown(50 * kMillisecond); }

CallId Client::next_call() const noexcept { return impl_->next_call(); }

CallId Client::submit(Request request) { return impl_->submit(std::move(request)); }

void Client::cancel(CallId call) {
  Command command;
  command.kind = Command::Kind::cancel;
  command.call = call;
  impl_->send(std::move(command));
}

void Client::set_frame(std::int64_t tick) {
  if (!impl_->recording()) return;
  Command command;
  command.kind = Command::Kind::frame;
  command.number = tick;
  impl_->note(std::move(command));
}

void Client::record(RecordedEvent event) {
  if (!impl_->recording()) return;
  Command command;
  command.kind = Command::Kind::record;
  command.event = std::make_unique<RecordedEvent>(std::move(event));
  impl_->note(std::move(command));
}

void Client::record_snapshot(std::int64_t tick, std::string_view name, std::string bytes, bool keep) {
  if (!impl_->recording()) return;
  Command command;
  command.kind = Command::Kind::snapshot;
  command.number = keep ? 1 : 0;
  command.event = std::make_unique<RecordedEvent>(recorded::Snapshot{tick, std::string(name), {}, std::move(bytes)});
  impl_->note(std::move(command));
}

std::size_t Client::poll(Events& events, PollBudget budget) { return impl_->poll(events, budget); }

void Client::pump(Duration wait) { impl_->pump(wait); }

CallId Client::save_cache(std::size_t most_bytes) {
  Command command;
  command.kind = Command::Kind::save_cache;
  command.number = static_cast<std::int64_t>(most_bytes);
  return impl_->ask(std::move(command));
}

CallId Client::load_cache(std::string bytes) {
  Command command;
  command.kind = Command::Kind::load_cache;
  command.bytes = std::move(bytes);
  return impl_->ask(std::move(command));
}

bool Client::shutdown(Duration deadline) { return impl_->shutdown(deadline); }

Client::Stats Client::stats() const noexcept { return impl_->stats(); }

}  // namespace llmcore
