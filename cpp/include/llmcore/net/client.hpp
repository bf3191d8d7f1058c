// The client of a game: calls are handed in from the frame loop, and what comes of them is collected there.
//
//   llmcore::Client client(config);                       // throws; the only thing that does
//   llmcore::Client::Events events;                       // kept from frame to frame: its memory is
//   for (std::int64_t tick = 0; running; ++tick) {
//     client.set_frame(tick);
//     if (player_spoke) call = client.submit(std::move(request));
//     client.poll(events);
//     for (const llmcore::Client::Event& event : events) { ... }
//   }
//   client.shutdown(50 * llmcore::kMillisecond);
//
// It is the engine's driver for a frame loop, and decides nothing: limits, retries, failover, cache and budgets are the
// engine's. One worker thread encodes, sends, reads, decodes and writes the ledger; the game's thread touches no socket,
// no file and no lock. The worker wakes up without taking the processor from the game, and reads what streams every four
// milliseconds. Or there is no thread, and the host calls pump().
//
// Threads: submit(), cancel(), poll(), set_frame(), pump(), save_cache() and load_cache() belong to one thread at a time,
// the game's. stats() may be called by any. What passes between game and worker goes through two rings whose memory is
// taken at the beginning; a frame in which nothing happens costs some ten nanoseconds.
//
// Every submit is answered by exactly one `finished` or `failed`; of a call that streams, `token` events come before it.
// With the offline provider at the end of the chain (Config::offline_fallback) a call always has a text: where the
// network is known to be gone it is there in the same frame, and the event says `fallback`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llmcore/config.hpp"
#include "llmcore/conversation.hpp"
#include "llmcore/engine.hpp"
#include "llmcore/io/clock.hpp"
#include "llmcore/money.hpp"
#include "llmcore/outcome.hpp"
#include "llmcore/recording_format.hpp"
#include "llmcore/types.hpp"

namespace llmcore {

namespace io {
class ReplayLogger;
}
namespace net {
class Provider;
class Transport;
}  // namespace net

class Client {
 public:
  using Message = ConversationMemory::Message;
  using Role = ConversationMemory::Role;

  /// Whose call it is and what for: charged by budgets ("player=*"), written to the ledger. Empty: not said.
  struct Context {
    std::string user_id;
    std::string owner_id;
    std::string session_id;
    std::string task_id;
    std::string company_id;
    std::string review_id;
    std::string game_id;
    std::string player_name;
    std::string prompt_template;
    std::string trace_id;
    std::string parent_call_id;
    std::string trackable_type;
    std::string trackable_id;
    std::vector<std::string> tags;
  };

  /// A provider that may answer, by its name, and the model there; empty: the provider's own.
  struct Place {
    std::string provider;
    std::string model;
  };

  struct Request {
    std::vector<Message> messages;  ///< as ConversationMemory::turn() gives them
    Priority priority = Priority::medium;
    Duration deadline = 0;        ///< from now, for all of it; 0: the engine's
    std::string call_type;        ///< any word: "dialogue"
    bool stream = true;           ///< `token` events while it is written
    std::string json_schema;      ///< the answer is JSON of this schema (JSON text); empty: free text
    bool json = false;            ///< the answer is a JSON object, of no particular schema
    std::int64_t max_tokens = 0;  ///< the most to generate; 0: the client's
    std::optional<double> temperature;
    std::optional<bool> cache;  ///< may be answered by the answer to an equal request; not said: the client's
    std::vector<Place> chain;   ///< who is asked, in order; empty: the client's
    std::string tenant = "default";
    Context context;
    std::uint64_t tag = 0;  ///< the host's own; comes back in every event
    /// What the offline texts speak of: {"name": "Mira"}, see OfflineRequest; and how severe, 0 to 1000.
    std::vector<std::pair<std::string, std::string>> placeholders;
    std::int64_t severity = 500;
  };

  struct Event {
    enum class Kind : std::uint8_t {
      token,         ///< `text` is the next piece of the answer
      finished,      ///< `text` is all of the answer
      failed,        ///< there is none: `error` says why; `text` is what came before it broke off
      cache_saved,   ///< of save_cache(): `text` is the bytes
      cache_loaded,  ///< of load_cache(): `attempts` answers are there again; or `error` says why none is
    };
    Kind kind = Kind::token;
    Outcome outcome = Outcome::ok;
    Source source = Source::none;
    bool fallback = false;  ///< the answer is of another provider than the first; say so to the player if it matters
    CallId call = 0;
    std::uint64_t tag = 0;
    std::string_view text;        ///< these views are valid until the next poll()
    std::string_view error;       ///< one sentence, without any key or prompt
    std::string_view provider;    ///< that answered, or was tried last
    std::string_view model;       ///< that answered
    std::string_view finish;      ///< "stop", "length", "tool_calls", "content_filter"
    std::string_view tool_calls;  ///< JSON: [{"id", "name", "arguments"}]; empty: none
    std::uint32_t attempts = 0;
    std::int64_t input_tokens = 0;
    std::int64_t output_tokens = 0;
    std::int64_t cached_tokens = 0;
    std::optional<NanoUsd> cost;  ///< empty: partly at an unknown price
    NanoUsd saved = 0;            ///< what the cache or joining saved
    Duration latency = 0;         ///< from submit() on; the next two are parts of it
    Duration queued = 0;
    Duration first_token = 0;
    Duration retry_hint = 0;  ///< refused: when to try again; 0: unknown
  };
  using Events = std::vector<Event>;

  /// What one poll() may take at the most.
  struct PollBudget {
    std::size_t events = 256;
    Duration time = 100 * kMicrosecond;
  };

  struct Config {
    /// Called llmcore's own, as a config of the engine; its budgets are rules like {"player=*", Period::day, 50'000'000}.
    llmcore::Config engine = llmcore::Config::game();
    std::vector<Place> chain;      ///< of a request that names none; with no place at all, the offline provider answers
    bool offline_fallback = true;  ///< the offline provider stands at the end of every chain
    std::vector<std::shared_ptr<net::Provider>> providers;  ///< those that chains may name; "offline" is always there
    std::shared_ptr<net::Transport> transport;              ///< empty: libcurl
    bool worker_thread = true;                              ///< false: the host calls pump()
    std::size_t max_calls = 1024;                           ///< that are not finished; more are refused
    std::size_t event_bytes = std::size_t{1} << 20;         ///< of the ring that events come through
    std::int64_t max_tokens = 300;                          ///< of a request that says nothing
    bool cache = true;                                      ///< of a request that says nothing
    std::map<std::string, std::shared_ptr<const PriceCard>, std::less<>> prices;  ///< by "provider/model", or by model
    /// Upper estimate of a prompt's tokens; empty: by its text.
    std::function<std::int64_t(const Request&)> estimate;
    /// Directory of a spool that `llmcore ledger import` turns into rows; empty: there is no ledger.
    std::string ledger;
    bool ledger_texts = false;  ///< prompts and answers go into it as well
    /// Records the engine's inputs and what goes over the network.
    std::shared_ptr<io::ReplayLogger> recorder;
    std::optional<io::ManualClock> clock;  ///< for tests and simulations; empty: the system's
    /// Sees every action of the engine, on the worker's thread: must not call the client.
    std::function<void(const Action&)> observer;

    /// Every problem, one sentence each; empty when usable.
    [[nodiscard]] std::vector<std::string> problems() const;
  };

  /// Figures for a HUD, each as it was a moment ago.
  struct Stats {
    std::int64_t submitted = 0;
    std::int64_t finished = 0;   ///< with a text
    std::int64_t failed = 0;     ///< without one
    std::int64_t live = 0;       ///< submitted and neither
    std::int64_t in_flight = 0;  ///< attempts on the network
    std::int64_t cached = 0;     ///< answered by the cache or by an equal call
    std::int64_t fallbacks = 0;  ///< answered by another provider than the first
    std::int64_t retries = 0;
    std::int64_t input_tokens = 0;
    std::int64_t output_tokens = 0;
    NanoUsd cost = 0;  ///< of what has a known price
    NanoUsd saved = 0;
    std::int64_t unhealthy = 0;  ///< providers whose breaker is open
    std::int64_t unwritten = 0;  ///< entries that the ledger could not take
  };

  /// Throws std::invalid_argument with every sentence of config.problems(). Starts the worker.
  explicit Client(Config config);
  /// The same without an exception: nullptr, and what is wrong in `problem`.
  [[nodiscard]] static std::unique_ptr<Client> create(Config config, std::string& problem);
  /// As shutdown(), with 50 ms.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Takes a call on. Never waits; what stands against it comes as `failed`. Under 5 us: encoding is the worker's work.
  CallId submit(Request request);
  /// What the next submit(), save_cache() or load_cache() will give.
  [[nodiscard]] CallId next_call() const noexcept;
  /// Gives a call up: `failed` with Outcome::cancelled comes, unless it is over already.
  void cancel(CallId call);
  /// Begins the frame `tick`: what is recorded from here on belongs to it.
  void set_frame(std::int64_t tick);
  /// Adds an event of the host's own, a random draw or a snapshot, to what Config::recorder records, in the order of the
  /// calls of this object. Does nothing where nothing is recorded. See Session (net/session.hpp). The worker writes it
  /// within a few milliseconds: those are what a process that is killed loses.
  void record(RecordedEvent event);
  /// The same for the state of a part of the host's world in the frame `tick`: its hash, which the worker works out, and
  /// with `keep` the bytes as well.
  void record_snapshot(std::int64_t tick, std::string_view name, std::string bytes, bool keep);
  /// Replaces what is in `events` by what happened, in order; how many. Those that the budget leaves out come next time.
  std::size_t poll(Events& events, PollBudget budget);
  std::size_t poll(Events& events) { return poll(events, PollBudget{}); }
  /// Without a worker thread: does what is to be done on the network, and waits for none of it longer than `wait`.
  void pump(Duration wait = 0);

  /// Brings all cached answers, up to so many bytes, as one `cache_saved` event: for the save file.
  CallId save_cache(std::size_t most_bytes = std::size_t{16} << 20);
  /// Takes them from a save file, which is believed nothing; one `cache_loaded` event says what came of it. Their age
  /// counts from now, and what they save is not counted.
  CallId load_cache(std::string bytes);

  /// Cancels what is open, brings the ledger to an end, and stops the worker. Waits no longer than `deadline`: what the
  /// network or a disk holds up goes on by itself, and its results are dropped. True if all ended in time. Afterwards
  /// nothing is taken on. Calling it again does nothing.
  bool shutdown(Duration deadline);

  [[nodiscard]] Stats stats() const noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace llmcore
