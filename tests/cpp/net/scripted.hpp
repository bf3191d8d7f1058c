// A provider whose answers are plain text, and a transport that a test answers by hand.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "llmcore/net/client.hpp"
#include "llmcore/net/provider.hpp"
#include "llmcore/net/transport.hpp"

namespace llmcore::net {

inline Outcome outcome_named(std::string_view name) {
  for (std::size_t i = 0; i < kOutcomeCount; ++i) {
    if (to_string(static_cast<Outcome>(i)) == name) return static_cast<Outcome>(i);
  }
  throw std::invalid_argument("no such outcome: " + std::string(name));
}

/// An answer's body is its text, "in out" tokens before a line break. A stream's is the same; "[end]" ends it. A failure's
/// headers say which: x-outcome, retry-after-ms, x-should-retry. The limits are those of the headers remaining-requests etc.
class ScriptedProvider final : public Provider {
 public:
  explicit ScriptedProvider(std::string name, bool keyless = false) : name_(std::move(name)), keyless_(keyless) {}

  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  [[nodiscard]] std::string_view default_model() const noexcept override { return "default"; }

  [[nodiscard]] std::variant<HttpRequest, Failure> encode(const ChatRequest& request) const override {
    if (keyless_) return failure(Outcome::auth, "the key is missing: set SCRIPTED_API_KEY");
    HttpRequest http;
    http.url = "http://" + name_ + ".test/";
    http.headers = {{"authorization", "Bearer sk-secret"}};
    http.body = request.model + "\n" + request.response_format + "\n";
    for (const auto& message : request.messages) http.body += message.content + "\n";
    return http;
  }

  [[nodiscard]] Decoded decode(int status, const Headers& headers, std::string_view body) const override {
    if (status != 200) {
      Failure refused = failure(outcome_named(net::header(headers, "x-outcome")), std::string(body));
      refused.status = status;
      if (const auto wait = net::header(headers, "retry-after-ms"); !wait.empty()) {
        refused.retry_after = std::stoll(std::string(wait)) * kMillisecond;
      }
      if (const auto word = net::header(headers, "x-should-retry"); !word.empty())
        refused.should_retry = word == "true";
      return refused;
    }
    return reply_of(body);
  }

  [[nodiscard]] std::unique_ptr<StreamDecoder> stream_decoder(const Headers& /*headers*/) const override {
    return std::make_unique<Decoder>();
  }

  [[nodiscard]] std::optional<RateObservation> observe(const Headers& headers) const override {
    const auto number = [&](const char* key) -> std::optional<std::int64_t> {
      const auto value = net::header(headers, key);
      return value.empty() ? std::nullopt : std::optional<std::int64_t>(std::stoll(std::string(value)));
    };
    RateObservation seen;
    seen.remaining_requests = number("remaining_requests");
    seen.remaining_tokens = number("remaining_tokens");
    seen.requests_reset = number("requests_reset_ms").value_or(0) * kMillisecond;
    seen.tokens_reset = number("tokens_reset_ms").value_or(0) * kMillisecond;
    seen.requests_limit = number("requests_limit");
    seen.tokens_limit = number("tokens_limit");
    const bool said =
        seen.remaining_requests || seen.remaining_tokens || seen.requests_reset != 0 || seen.tokens_reset != 0;
    return said ? std::optional(seen) : std::nullopt;
  }

  static Failure failure(Outcome outcome, std::string message) {
    Failure refused;
    refused.outcome = outcome;
    refused.message = std::move(message);
    return refused;
  }

  static Reply reply_of(std::string_view body) {
    Reply reply;
    const auto line = body.find('\n');
    const std::string counts(body.substr(0, line));
    if (counts == "?") {  // it does not say what it used, and calls a tool with the rest
      reply.usage.estimated = true;
      reply.tool_calls.push_back(ToolCall{"call_1", "tool", std::string(body.substr(line + 1))});
      return reply;
    }
    const auto space = counts.find(' ');
    reply.usage.input_uncached = std::stoll(counts.substr(0, space));
    reply.usage.output_text = std::stoll(counts.substr(space));
    reply.content = line == std::string_view::npos ? "" : body.substr(line + 1);
    reply.finish_reason = "stop";
    return reply;
  }

 private:
  class Decoder final : public StreamDecoder {
   public:
    void feed(std::string_view bytes, std::vector<Chunk>& chunks) override {
      all_ += bytes;
      const auto line = all_.find('\n');
      if (line == std::string::npos || ended_) return;
      std::string text = all_.substr(line + 1);
      if (const auto end = text.find("[end]"); end != std::string::npos) {
        text.resize(end);
        all_.resize(line + 1 + end);
        ended_ = true;
      }
      if (text.size() > shown_) chunks.push_back(Chunk{text.substr(shown_), {}, {}, {}, {}});
      shown_ = text.size();
    }
    [[nodiscard]] bool ended() const noexcept override { return ended_; }
    [[nodiscard]] Decoded finish() override {
      if (ended_) return reply_of(all_);
      Failure broken = failure(Outcome::connection, "the stream ended before its end");
      if (shown_ != 0) broken.partial = std::make_shared<Reply>(reply_of(all_));
      return broken;
    }

   private:
    std::string all_;
    std::size_t shown_ = 0;
    bool ended_ = false;
  };

  std::string name_;
  bool keyless_;
};

/// Holds every request until it is answered. All but poll() and wakeup() belong to the test, on whatever thread.
class ScriptedTransport final : public Transport {
 public:
  struct Open {
    TransferId transfer = 0;
    HttpRequest request;
    Duration timeout = 0;
    TransferSink* sink = nullptr;
  };

  /// Tells of an aborted transfer all the same, as one that cannot be stopped.
  bool hangs = false;
  /// Answers by itself, as soon as it is asked: the function is called from within poll().
  std::function<void(ScriptedTransport&, const Open&)> answers;

  void start(TransferId transfer, HttpRequest request, Duration timeout, TransferSink& sink) override {
    const std::lock_guard hold(mutex_);
    open_.push_back(Open{transfer, std::move(request), timeout, &sink});
    if (answers) {
      const Open copy = open_.back();
      todo_.emplace_back([this, copy] { answers(*this, copy); });
    }
  }
  void abort(TransferId transfer) override {
    const std::lock_guard hold(mutex_);
    ++aborted_;
    if (!hangs) std::erase_if(open_, [&](const Open& one) { return one.transfer == transfer; });
  }
  void poll(Duration wait) override {
    std::unique_lock hold(mutex_);
    if (todo_.empty() && !woken_ && wait > 0) {
      changed_.wait_for(hold, std::chrono::nanoseconds(wait), [&] { return woken_ || !todo_.empty(); });
    }
    woken_ = false;
    while (!todo_.empty()) {
      const std::function<void()> next = std::move(todo_.front());
      todo_.pop_front();
      hold.unlock();
      next();
      hold.lock();
    }
  }
  void wakeup() noexcept override {
    const std::lock_guard hold(mutex_);
    woken_ = true;
    changed_.notify_one();
  }

  /// What is open, the oldest first.
  [[nodiscard]] std::vector<Open> open() {
    const std::lock_guard hold(mutex_);
    return open_;
  }
  [[nodiscard]] int aborted() {
    const std::lock_guard hold(mutex_);
    return aborted_;
  }

  void head(TransferId transfer, int status, Headers headers = {}) {
    later([this, transfer, status, headers = std::move(headers)]() mutable {
      if (TransferSink* sink = sink_of(transfer)) sink->on_head(transfer, status, std::move(headers));
    });
  }
  void data(TransferId transfer, std::string bytes) {
    later([this, transfer, bytes = std::move(bytes)] {
      if (TransferSink* sink = sink_of(transfer)) sink->on_data(transfer, bytes);
    });
  }
  // Not inlined: with a sanitizer, GCC 12 takes the error that is not there for one that is not initialised.
  [[gnu::noinline]] void done(TransferId transfer, std::optional<TransportError> error = std::nullopt) {
    later([this, transfer, error = std::move(error)] {
      TransferSink* const sink = sink_of(transfer);
      {
        const std::lock_guard hold(mutex_);
        std::erase_if(open_, [&](const Open& one) { return one.transfer == transfer; });
      }
      if (sink != nullptr) sink->on_done(transfer, error);
    });
  }
  void answer(TransferId transfer, std::string body, Headers headers = {}) {
    head(transfer, 200, std::move(headers));
    data(transfer, std::move(body));
    done(transfer);
  }
  void fail(TransferId transfer, std::string_view outcome, Headers headers = {}) {
    headers.emplace_back("x-outcome", outcome);
    head(transfer, 500, std::move(headers));
    data(transfer, "as the script says");
    done(transfer);
  }

 private:
  void later(std::function<void()> what) {
    const std::lock_guard hold(mutex_);
    todo_.push_back(std::move(what));
    changed_.notify_one();
  }
  TransferSink* sink_of(TransferId transfer) {
    const std::lock_guard hold(mutex_);
    for (const Open& one : open_) {
      if (one.transfer == transfer) return one.sink;
    }
    return nullptr;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Open> open_;
  std::deque<std::function<void()>> todo_;
  bool woken_ = false;
  int aborted_ = 0;
};

/// What came of calls, with texts of its own.
struct Seen {
  Client::Event event;
  std::string text;
  std::string error;
  std::string provider;
};

/// A client in pump mode, its transport and its clock.
class Stage {
 public:
  explicit Stage(Client::Config config = {}) : Stage(std::move(config), true) {}
  Stage(Client::Config config, bool manual) : transport(std::make_shared<ScriptedTransport>()) {
    config.transport = transport;
    config.worker_thread = false;
    if (manual) config.clock = clock;
    if (config.providers.empty()) {
      for (const char* name : {"p1", "p2", "p3", "p4"})
        config.providers.push_back(std::make_shared<ScriptedProvider>(name));
    }
    if (config.chain.empty()) config.chain = {{"p1", "m1"}};
    client = std::make_unique<Client>(std::move(config));
  }

  static Client::Request say(std::string text, bool stream = false) {
    Client::Request request;
    request.messages.push_back({Client::Role::user, std::move(text), {}, {}});
    request.stream = stream;
    return request;
  }

  /// What one more round brings.
  std::vector<Seen> look() {
    client->pump();
    client->pump();
    std::vector<Seen> all;
    while (client->poll(events_) != 0) {
      for (const Client::Event& event : events_) {
        all.push_back(Seen{event, std::string(event.text), std::string(event.error), std::string(event.provider)});
      }
    }
    return all;
  }

  std::shared_ptr<ScriptedTransport> transport;
  io::ManualClock clock;
  std::unique_ptr<Client> client;

 private:
  Client::Events events_;
};

}  // namespace llmcore::net
