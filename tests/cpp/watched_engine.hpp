// An engine together with a witness who checks the engine's laws from outside.
//
// The witness sees what goes in and what comes out and keeps books of its own: it shares no code with the decisions it
// judges (only prices, which have tests of their own). The first law that is broken is kept in words. After every input
// it also asks Engine::check().
//
// Not thread-safe. An input costs O(log calls) and, each time the engine is asked to check itself, O(calls).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "llmcore/engine.hpp"

namespace llmcore::testing {

class WatchedEngine {
 public:
  /// `check_every`: Engine::check() and the statistics are asked after so many inputs; 0: only when at_rest() is asked.
  explicit WatchedEngine(const Config& config, std::int64_t check_every = 1);

  CallId submit(Submit submit, Now now);
  /// Any input but Submit.
  void handle(const Input& input, Now now);

  /// What the engine has done since the last time this was asked, oldest first.
  [[nodiscard]] std::vector<Action> take_actions();
  /// The first law that was broken, in words; empty while all hold.
  [[nodiscard]] const std::string& broken() const noexcept { return broken_; }
  /// Whether everything is over and given back. If not, that is a broken law.
  bool at_rest();

  [[nodiscard]] const Engine& engine() const noexcept { return engine_; }
  [[nodiscard]] bool finished(CallId call) const noexcept { return call < next_call_ && calls_.count(call) == 0; }
  [[nodiscard]] std::int64_t inputs() const noexcept { return inputs_; }

 private:
  __extension__ typedef __int128 Int128;

  struct Attempt {
    AttemptId id = 0;
    std::uint32_t number = 0;
    std::uint32_t target = 0;
    Instant sent_at = 0;
    WallTime sent_wall = 0;
    Instant not_after = 0;
    NanoUsd worst_case = 0;
    bool open = true;
    // Of its closing, to be found again in its Record.
    Instant closed_at = 0;
    Outcome outcome = Outcome::ok;
    Usage usage;
    std::shared_ptr<const PriceCard> price;
  };

  struct Call {
    Submit submit;
    Instant submitted_at = 0;
    Instant deadline_at = 0;
    std::uint32_t sends = 0;
    std::int64_t sends_here = 0;     // at the target of the last one
    std::optional<Attempt> attempt;  // open, or closed and not yet recorded
    std::optional<std::uint32_t> last_target;
    Usage usage;
    std::optional<NanoUsd> cost = 0;
    bool streamed = false;
    bool answered = false;  // its last attempt was
    [[nodiscard]] const Target& at(std::uint32_t target) const { return submit.targets[target]; }
  };

  // At most `capacity` at once and `rate` per minute after that, as a bucket that leaks; exact.
  struct Meter {
    Int128 capacity = 0;  // 0: unlimited
    Int128 rate = 0;
    Int128 level = 0;  // in units of 1 / kMinute
    Instant at = 0;
    static Meter of(std::int64_t limit, bool minute_burst, Instant now);
    void leak(Instant now);
    [[nodiscard]] bool admits(std::int64_t n) const;
    void add(std::int64_t n);
  };

  struct Lane {
    RateLimiterConfig limits;
    Meter requests;
    Meter tokens;
    std::int64_t in_flight = 0;
    Instant paused_until = 0;
  };

  struct Provider {
    std::int64_t entered = 0;  // calls that may have come to it
    std::int64_t retries = 0;
    std::int64_t errors_in_a_row = 0;
    bool open = false;
    Instant open_until = 0;
    AttemptId probe = 0;
  };

  struct Account {
    NanoUsd spent = 0;
    NanoUsd reserved = 0;
    NanoUsd excess = 0;  // by which actual costs were above their worst case
  };

  void begin(Now now);
  void end();
  void break_law(const std::string& law);
  void observe(const Action& action);
  void sent(const Send& send);
  void aborted(const Abort& abort);
  void recorded(const AttemptRecord& record);
  void alerted(const AlertRecord& alert);
  void finished(const Finish& finish);
  Call* open_attempt(AttemptId id);
  void close(Call& call, Outcome outcome, const Usage& usage);
  void judge(const Target& target, AttemptId attempt, Outcome outcome);
  Lane& lane_of(const Call& call, const Target& target);
  [[nodiscard]] std::vector<std::pair<std::size_t, std::string>> accounts_of(const Call& call,
                                                                             const Target& target) const;
  void check_accounts(const EngineStats& stats);

  Config config_;
  Engine engine_;
  std::int64_t check_every_;

  std::int64_t inputs_ = 0;
  Instant start_ = 0;
  Instant now_ = 0;
  WallTime wall_ = 0;
  CallId next_call_ = 1;
  CallId submitted_now_ = 0;  // by the input that is being handled
  CallId cancelled_now_ = 0;
  std::int64_t sends_ = 0;
  std::int64_t finishes_ = 0;
  std::int64_t late_ = 0;
  std::int64_t regressions_ = 0;
  std::unordered_map<CallId, Call> calls_;
  std::unordered_map<AttemptId, CallId> open_attempts_;
  std::set<std::pair<Instant, CallId>> deadlines_;
  std::map<std::pair<std::string, std::string>, Lane> lanes_;
  std::map<std::string, Provider, std::less<>> providers_;
  std::map<Fingerprint, std::int64_t> in_flight_of_key_;
  std::map<std::pair<std::size_t, std::string>, Account> accounts_;  // of rules that hold for all time
  std::set<std::pair<std::size_t, std::string>> alerts_;             // told: rule, account and percent
  std::vector<Action> actions_;
  std::string broken_;
};

}  // namespace llmcore::testing
