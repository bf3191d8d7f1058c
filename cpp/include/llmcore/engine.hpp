// The engine: every decision about every call, as a state machine without I/O.
//
// It never reads a clock, draws system randomness, sleeps, opens anything, calls back or blocks. The host drives it:
//
//   A  look      stats(), state_hash(), check(), next_deadline()
//   B  world in  handle(Streaming | Replied | Failed | Observed | Tick, now)
//   C  host in   submit(Submit, now), handle(Cancel, now)
//   D  actions   poll()   after every B and C, until it is empty; then re-read next_deadline() and hand in a Tick no later than that
//
// Same config, seed and inputs give the same actions on every platform. Externally synchronised: one thread at a time, or
// io::Synchronized<Engine>, whose with() may be called by any.
// Nothing throws after construction. An input about a call or an attempt that is over is ignored and counted.
//
// Invariants: every Send is closed by exactly one of Replied, Failed or Abort; every Submit by exactly one Finish; the Record of an
// attempt precedes the Finish it explains; slots, tokens and money reserved return to nothing when nothing is in flight; a Tick
// changes nothing that is not due.
//
// A call costs O(log calls) in all; memory is proportional to calls that are not finished plus the cache.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "llmcore/budget.hpp"
#include "llmcore/config.hpp"
#include "llmcore/error_recovery.hpp"
#include "llmcore/fingerprint.hpp"
#include "llmcore/money.hpp"
#include "llmcore/outcome.hpp"
#include "llmcore/rate_limiter.hpp"
#include "llmcore/request_queue.hpp"
#include "llmcore/response_cache.hpp"
#include "llmcore/token_tracker.hpp"
#include "llmcore/types.hpp"

namespace llmcore {

using CallId = std::uint64_t;
using AttemptId = std::uint64_t;

/// Bytes that the engine keeps and hands back without ever looking inside.
class Payload {
 public:
  Payload() = default;
  Payload(const Payload&) = delete;
  Payload& operator=(const Payload&) = delete;
  virtual ~Payload() = default;
  [[nodiscard]] virtual std::size_t size() const noexcept = 0;
};
using Blob = std::shared_ptr<const Payload>;

/// A payload that owns a string: what a C++ host uses.
class StringPayload final : public Payload {
 public:
  explicit StringPayload(std::string bytes) : bytes_(std::move(bytes)) {}
  [[nodiscard]] std::size_t size() const noexcept override { return bytes_.size(); }
  [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }

 private:
  std::string bytes_;
};

// --- inputs ----------------------------------------------------------------------------------------------------------------

/// One provider that may answer a call, and the worst it can cost there.
struct Target {
  std::string provider;
  std::string model;
  std::int64_t input_tokens = 0;           ///< upper estimate of the prompt
  std::int64_t output_tokens = 0;          ///< the most it may generate
  std::int64_t images = 0;                 ///< pictures asked for
  std::shared_ptr<const PriceCard> price;  ///< empty: unknown
  bool always_answers = false;  ///< the offline provider as last resort: no limits, no queue, no breaker, costs nothing
};

struct Submit {
  std::string tenant = "default";
  std::string call_type;
  Priority priority = Priority::medium;
  Duration deadline = 0;           ///< from now; 0: the config's
  std::optional<Fingerprint> key;  ///< set: may be answered from the cache and joined with its like in flight
  std::vector<Target> targets;     ///< the failover chain, in order; never empty
  Scopes scopes;                   ///< what budgets may charge
};

/// The first byte of an answer reached the user: from here nothing is retried in silence.
struct Streaming {
  AttemptId attempt = 0;
};

/// The attempt was answered.
struct Replied {
  AttemptId attempt = 0;
  Usage usage;
  std::shared_ptr<const PriceCard> price;  ///< of the model that answered, at the time it did; empty: the target's
  Blob payload;                            ///< the complete answer; empty: it is not to be cached or shared
};

/// The attempt failed.
struct Failed {
  AttemptId attempt = 0;
  Outcome outcome = Outcome::server_error;
  std::optional<bool> should_retry;        ///< x-should-retry, where the provider sent it
  Duration retry_after = 0;                ///< as the provider asked; 0: it did not
  Usage usage;                             ///< what was billed all the same: a stream cut short
  std::shared_ptr<const PriceCard> price;  ///< as in Replied
};

/// Rate-limit headers of any response.
struct Observed {
  std::string tenant = "default";
  std::string provider;
  RateObservation limits;
};

struct Cancel {
  CallId call = 0;
};

struct Tick {};

using Input = std::variant<Submit, Streaming, Replied, Failed, Observed, Cancel, Tick>;

// --- actions ---------------------------------------------------------------------------------------------------------------

/// Perform this attempt now and report Replied or Failed.
struct Send {
  CallId call = 0;
  AttemptId attempt = 0;
  std::uint32_t number = 0;           ///< of the attempt within the call, from 1
  std::uint32_t target = 0;           ///< index into Submit::targets
  Instant not_after = kNever;         ///< give up then
  std::optional<NanoUsd> worst_case;  ///< what it can cost at the most; empty: at an unknown price
};

/// Stop performing this attempt; whatever it brings is no longer wanted.
struct Abort {
  CallId call = 0;
  AttemptId attempt = 0;
};

/// One attempt, for the ledger.
struct AttemptRecord {
  CallId call = 0;
  AttemptId attempt = 0;
  std::uint32_t number = 0;
  std::uint32_t target = 0;
  std::string provider;
  std::string model;
  Outcome outcome = Outcome::ok;
  Usage usage;
  std::optional<NanoUsd> cost;  ///< empty: it used something at an unknown price
  WallTime started = 0;
  Duration latency = 0;
  Duration retry_after = 0;
};

using AlertRecord = BudgetAlert;

/// Something to remember: an attempt or a budget alert. `call` is the call that brought it about.
struct Record {
  CallId call = 0;
  std::variant<AttemptRecord, AlertRecord> body;
};

/// Where an answer came from.
enum class Source : std::uint8_t {
  none,  ///< there is no answer
  provider,
  cache,
  joined,  ///< the answer of an identical call that was in flight
};
[[nodiscard]] std::string_view to_string(Source source) noexcept;

/// The call is over.
struct Finish {
  CallId call = 0;
  Outcome outcome = Outcome::ok;
  Source source = Source::none;
  std::uint32_t target = 0;  ///< of its own chain: that answered, or was tried last
  std::string provider;      ///< that answered (for a joined call: the other call's), or was tried last
  std::string model;         ///< as asked for there
  std::uint32_t attempts = 0;
  bool fallback = false;                 ///< the answer is of another target than the first
  Usage usage;                           ///< of all its attempts
  std::optional<NanoUsd> cost;           ///< of all its attempts; empty: partly at an unknown price
  NanoUsd saved = 0;                     ///< what the cache or joining saved
  Duration latency = 0;                  ///< from Submit
  Duration queued = 0;                   ///< of that, waiting for limits, slots and backoff
  Duration first_token = 0;              ///< from Submit to Streaming; 0: it did not stream
  Blob payload;                          ///< of the cache or the joined call; or what Replied brought
  Duration retry_hint = 0;               ///< refused: when to try again; 0: unknown
  std::optional<BudgetRefusal> refusal;  ///< why it was over budget
};

using Action = std::variant<Send, Abort, Finish, Record>;

// --- the machine -----------------------------------------------------------------------------------------------------------

struct LaneStats {
  std::string tenant;
  std::string provider;
  RateLimiter::Stats limiter;
  RequestQueue::Stats queue;
};

struct ProviderStats {
  std::string provider;
  ErrorRecovery::Stats recovery;
};

struct EngineStats {
  std::int64_t submitted = 0;
  std::int64_t finished = 0;
  std::array<std::int64_t, kOutcomeCount> outcomes{};  ///< of finished calls
  std::int64_t in_flight = 0;                          ///< attempts sent and not closed
  std::int64_t queued = 0;                             ///< calls waiting in a lane
  std::int64_t backing_off = 0;                        ///< calls waiting for their next attempt
  std::int64_t following = 0;                          ///< calls joined to another
  std::int64_t reserved_requests = 0;
  std::int64_t reserved_tokens = 0;
  NanoUsd reserved_nano_usd = 0;
  std::int64_t attempts = 0;
  std::int64_t retries = 0;  ///< attempts after the first on one provider
  std::int64_t failovers = 0;
  std::int64_t joined = 0;
  std::int64_t late = 0;  ///< inputs about attempts or calls that were over
  std::int64_t clock_regressions = 0;
  ResponseCacheStats cache;
  std::vector<LaneStats> lanes;
  std::vector<ProviderStats> providers;
  std::vector<Budget::Account> budgets;
};

class Engine {
 public:
  /// Throws std::invalid_argument with every sentence of config.problems(). The only thing that throws.
  explicit Engine(const Config& config);
  ~Engine();
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  /// Takes a call on. Refusals arrive as Finish too: one exit.
  CallId submit(Submit submit, Now now);
  /// Any other input; a Submit works as well (that is how a recording is replayed).
  void handle(const Input& input, Now now);
  /// The next action, oldest first.
  std::optional<Action> poll();
  /// When a Tick is due at the latest; nothing while nothing waits for time.
  [[nodiscard]] std::optional<Instant> next_deadline() const;

  [[nodiscard]] EngineStats stats() const;
  /// Providers whose breaker is open, a probe under way or not. O(providers), without an allocation.
  [[nodiscard]] std::int64_t unhealthy() const noexcept;
  [[nodiscard]] const TokenTracker& tracker() const;
  /// Calls `function` with every answer that the cache would give at the newest time handed in, the oldest first. It
  /// must not touch the engine. O(cached answers).
  void for_each_cached(const std::function<void(const Fingerprint&, const Blob&)>& function) const;
  /// Everything that decides, folded into 64 bits.
  [[nodiscard]] std::uint64_t state_hash() const;
  /// The first invariant that does not hold, in words; empty when all do. O(calls).
  [[nodiscard]] std::string check() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace llmcore
