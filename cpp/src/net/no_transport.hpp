// The transport of a client that has none: every request fails at once, and a wait is a wait.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include "llmcore/net/transport.hpp"

namespace llmcore::net {

class NoTransport final : public Transport {
 public:
  void start(TransferId transfer, HttpRequest /*request*/, Duration /*timeout*/, TransferSink& sink) override {
    refused_.emplace_back(transfer, &sink);
  }
  void abort(TransferId transfer) override {
    std::erase_if(refused_, [&](const auto& one) { return one.first == transfer; });
  }
  void poll(Duration wait) override {
    if (refused_.empty()) {
      std::unique_lock hold(mutex_);
      changed_.wait_for(hold, std::chrono::nanoseconds(wait), [&] { return woken_; });
      woken_ = false;
    }
    for (const auto& [transfer, sink] : std::exchange(refused_, {})) {
      sink->on_done(transfer, TransportError{Outcome::connection, "this client was given no transport"});
    }
  }
  void wakeup() noexcept override {
    const std::lock_guard hold(mutex_);
    woken_ = true;
    changed_.notify_one();
  }

 private:
  std::vector<std::pair<TransferId, TransferSink*>> refused_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
};

}  // namespace llmcore::net
