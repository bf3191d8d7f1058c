// An engine under any inputs at any times, watched: no law may break, and when nobody answers any more everything comes back.
#include "llmcore/engine.hpp"

#include <algorithm>
#include <optional>
#include <variant>
#include <vector>

#include "bytes.hpp"
#include "drawn.hpp"
#include "watched_engine.hpp"

namespace {

using llmcore::fuzz::Bytes;
using llmcore::fuzz::require;
using llmcore::testing::WatchedEngine;

// 73 years, and as far as time goes: at its very end no call can have its deadline before it.
constexpr llmcore::Instant kFar = llmcore::Instant{1} << 61;

class Player {
 public:
  Player(const llmcore::Config& config, Bytes& bytes) : engine_(config), bytes_(bytes) {}

  void play() {
    for (int steps = 0; steps < 200 && !bytes_.empty(); ++steps) {
      step();
      look();
    }
    for (int steps = 0; steps < 2'000; ++steps) {
      const auto next = engine_.engine().next_deadline();
      if (!next || *next > kFar) break;
      go_to(std::max(now_.mono, *next));
      engine_.handle(llmcore::Tick{}, now_);
      look();
    }
    // What waits for ever, or is in flight without an end, is called off.
    for (llmcore::CallId call = 1; call <= submitted_; ++call) {
      if (!engine_.finished(call)) engine_.handle(llmcore::Cancel{call}, now_);
    }
    engine_.at_rest();
    look();
  }

 private:
  void step() {
    switch (bytes_.below(12)) {
      case 0: go_to(bytes_.number()); break;
      case 1: now_.wall = bytes_.number(); break;
      case 2: go_to(llmcore::add_saturated(now_.mono, bytes_.byte() * llmcore::kSecond / 4)); break;
      case 3:
        if (const auto next = engine_.engine().next_deadline()) go_to(std::max(now_.mono, *next));
        engine_.handle(llmcore::Tick{}, now_);
        break;
      case 4: engine_.handle(llmcore::Cancel{bytes_.byte()}, now_); break;
      case 5: engine_.handle(llmcore::Streaming{attempt()}, now_); break;
      case 6: {
        llmcore::Failed failed;
        failed.attempt = attempt();
        failed.outcome = static_cast<llmcore::Outcome>(bytes_.below(llmcore::kOutcomeCount + 1));
        if (bytes_.flag()) failed.should_retry = bytes_.flag();
        if (bytes_.flag()) failed.retry_after = bytes_.number();
        if (bytes_.flag()) failed.usage = llmcore::fuzz::any_usage(bytes_);
        engine_.handle(failed, now_);
        break;
      }
      case 7: {
        llmcore::Replied reply;
        reply.attempt = attempt();
        reply.usage = llmcore::fuzz::any_usage(bytes_);
        if (bytes_.flag()) reply.price = llmcore::fuzz::any_price(bytes_);
        if (bytes_.flag()) reply.payload = std::make_shared<const llmcore::StringPayload>(std::string(bytes_.text()));
        engine_.handle(reply, now_);
        break;
      }
      case 8: {
        llmcore::Observed observed;
        observed.tenant = "t" + std::to_string(bytes_.below(3));
        observed.provider = "p" + std::to_string(bytes_.below(3));
        if (bytes_.flag()) observed.limits.remaining_requests = bytes_.number();
        if (bytes_.flag()) observed.limits.remaining_tokens = bytes_.number();
        observed.limits.requests_reset = bytes_.number();
        observed.limits.tokens_reset = bytes_.number();
        engine_.handle(observed, now_);
        break;
      }
      default: engine_.submit(llmcore::fuzz::any_submit(bytes_), now_); ++submitted_;
    }
  }

  void go_to(llmcore::Instant at) { now_.mono = std::clamp(at, -kFar, kFar); }

  void look() {
    for (const llmcore::Action& action : engine_.take_actions()) {
      if (const auto* send = std::get_if<llmcore::Send>(&action)) sent_.push_back(send->attempt);
    }
    require(engine_.broken().empty(), engine_.broken());
  }

  llmcore::AttemptId attempt() {
    const std::size_t back = bytes_.below(8);
    return back < sent_.size() ? sent_[sent_.size() - 1 - back] : bytes_.byte();
  }

  WatchedEngine engine_;
  Bytes& bytes_;
  llmcore::Now now_{0, 0};
  llmcore::CallId submitted_ = 0;
  std::vector<llmcore::AttemptId> sent_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(data, size);
  const llmcore::Config config = llmcore::fuzz::any_config(bytes);
  if (config.problems().empty()) Player(config, bytes).play();
  return 0;
}
