// A game's thread around a Client: it counts how each call ends, and what the client takes of a frame.
#pragma once

#include <sys/resource.h>
#include <sys/time.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "llmcore/io/clock.hpp"
#include "llmcore/net/client.hpp"

namespace llmcore::net {

class FrameLoop {
 public:
  /// What came of a call so far.
  struct Call {
    int ends = 0;
    bool finished = false;
    bool fallback = false;
    Outcome outcome = Outcome::ok;
    std::string shown;  // the tokens, as a speech bubble would have them
    std::string text;
    std::string error;
    std::string provider;
  };

  explicit FrameLoop(Client& client) : client_(client) {}

  CallId submit(Client::Request request) {
    CallId call = 0;
    visit([&] { call = client_.submit(std::move(request)); });
    calls_.try_emplace(call);
    return call;
  }
  void cancel(CallId call) {
    visit([&] { client_.cancel(call); });
  }
  /// One frame's worth of events; how many calls ended with it.
  std::size_t frame() {
    visit([&] {
      client_.set_frame(frames_);
      client_.poll(events_);
    });
    ++frames_;
    std::size_t ended = 0;
    for (const Client::Event& event : events_) {
      const auto found = calls_.find(event.call);
      if (found == calls_.end()) {
        ++strays_;
        continue;
      }
      Call& call = found->second;
      if (event.kind == Client::Event::Kind::token) {
        call.shown += event.text;
        continue;
      }
      ++ended;
      ++call.ends;
      call.finished = event.kind == Client::Event::Kind::finished;
      call.fallback = event.fallback;
      call.outcome = event.outcome;
      call.text = event.text;
      call.error = event.error;
      call.provider = event.provider;
    }
    return ended;
  }

  [[nodiscard]] const Call& call(CallId id) const { return calls_.at(id); }
  [[nodiscard]] const std::map<CallId, Call>& calls() const noexcept { return calls_; }
  /// Forgets calls that are over, `function(call)` of each: for programs that run for long.
  template <class Function>
  void forget(Function&& function) {
    std::erase_if(calls_, [&](const auto& entry) {
      if (entry.second.ends == 0) return false;
      function(entry.second);
      return true;
    });
  }
  /// Events of calls that were over and forgotten, or that nobody submitted.
  [[nodiscard]] std::int64_t strays() const noexcept { return strays_; }

  [[nodiscard]] std::int64_t frames() const noexcept { return frames_; }
  /// The longest that one of the client's functions took, whoever had the processor meanwhile.
  [[nodiscard]] Duration longest() const noexcept { return longest_; }
  /// Visits in which the client's own code waited for something, and for long. That the scheduler took the processor
  /// away does not count: so this is 0 on a busy machine and under a sanitizer as well.
  [[nodiscard]] int held_up() const noexcept { return held_up_; }

  static constexpr Duration kLongest = 50 * kMillisecond;

 private:
  template <class Work>
  void visit(Work&& work) {
    const long before = waits();
    const Instant start = io::mono();
    work();
    const Duration taken = io::mono() - start;
    longest_ = std::max(longest_, taken);
    if (taken > kLongest && waits() != before) ++held_up_;
  }
  /// How often this thread gave the processor up because it waited.
  static long waits() noexcept {
    rusage usage{};
    ::getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
  }

  Client& client_;
  Client::Events events_;
  std::map<CallId, Call> calls_;
  std::int64_t frames_ = 0;
  std::int64_t strays_ = 0;
  Duration longest_ = 0;
  int held_up_ = 0;
};

}  // namespace llmcore::net
