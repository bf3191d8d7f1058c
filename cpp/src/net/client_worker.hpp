// The worker of a Client: drives the engine and the transport, and tells the game what came of its calls.
//
// One thread at a time: the worker's own, or the host's, which calls turn(). Only wake() may be called by another; and
// flush(), once the worker has ended, by the game's.
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "client_ledger.hpp"
#include "client_mail.hpp"
#include "client_recording.hpp"
#include "llmcore/engine.hpp"
#include "llmcore/net/client.hpp"
#include "llmcore/net/provider.hpp"
#include "llmcore/net/transport.hpp"

namespace llmcore::net {

/// An attempt's id has its call in it: see engine_impl.hpp.
inline constexpr std::uint64_t kAttemptsPerCall = 1024;

/// One call while it lives.
struct LiveCall {
  CallId id = 0;      // the game's
  CallId number = 0;  // the engine's
  Client::Request asked;
  ChatRequest chat;  // of the first target; the others differ in the model
  std::vector<Client::Place> chain;
  std::vector<const Provider*> providers;
  std::optional<HttpRequest> first;  // the first target's, until it is sent
  bool keep = false;                 // its answer may go into the cache
  std::string uuid;                  // the ledger's id
  WallTime created_at = 0;
  std::optional<NanoUsd> reserved;
  bool begun = false;  // the ledger knows that it was sent
  std::vector<AttemptRecord> attempts;

  // The open attempt.
  AttemptId attempt = 0;
  std::uint32_t target = 0;
  int status = 0;
  Headers headers;
  std::string body;  // what is decoded in one piece, or kept for the cache
  std::unique_ptr<StreamDecoder> decoder;
  bool began = false;     // the game has seen a part of the answer
  std::size_t shown = 0;  // bytes of its text that went out as tokens

  std::optional<Reply> reply;      // of the attempt that was answered
  std::optional<Failure> failure;  // of the last one that was not
};

class ClientWorker final : public TransferSink {
 public:
  ClientWorker(Client::Config config, std::shared_ptr<Mail> mail);
  ~ClientWorker() override;

  /// Until the game says stop.
  void run();
  /// Everything that can be done now, and what comes within `wait`.
  void turn(Duration wait);
  /// Ends a wait for the network. From any thread.
  void wake() noexcept;
  /// Brings what did not fit into the ring, as far as it fits now. The worker's; once Mail::ended is set, the game's.
  void flush();

  void on_head(TransferId transfer, int status, Headers&& headers) override;
  void on_data(TransferId transfer, std::string_view bytes) override;
  void on_done(TransferId transfer, std::optional<TransportError> error) override;

 private:
  /// An event that did not fit into the ring, with its texts.
  struct Waiting {
    Client::Event event;
    std::string text;
    std::array<std::string, 5> others;
  };

  /// An attempt that the engine ended, and whose transport may have something to tell all the same.
  struct Late {
    TransferId transfer = 0;
    std::string tenant;
    const Provider* provider = nullptr;
  };

  // client_worker.cpp: commands in, actions out
  [[nodiscard]] Now now() const noexcept;
  void take_commands();
  void submit(Command& command);
  void record_snapshot(Command& command);
  void load_cache(const Command& command);
  void save_cache(const Command& command);
  void stop();
  void work(Duration wait);
  void tell_end();
  void feed(const Input& input);
  void tick();
  void drain();
  void perform(const Action& action);
  [[nodiscard]] Duration time_to_wait(Duration most);
  void rest();
  [[nodiscard]] std::vector<Client::Place> chain_of(const Client::Request& request) const;
  [[nodiscard]] std::vector<Target> targets_of(const LiveCall& call) const;
  [[nodiscard]] const Provider* provider(std::string_view name) const noexcept;
  [[nodiscard]] std::shared_ptr<const PriceCard> price(std::string_view provider, std::string_view model) const;

  // client_exchange.cpp: one attempt
  void send(LiveCall& call, const Send& send);
  void read(LiveCall& call, std::string_view bytes);
  void settle(LiveCall& call, Decoded decoded);
  void observe(const Provider& provider, const std::string& tenant, const Headers& headers);
  [[nodiscard]] LiveCall* in_flight(TransferId transfer);
  void finish(const Finish& finish);
  [[nodiscard]] std::optional<Decoded> answer_of(LiveCall& call, const Finish& finish);
  void show(LiveCall& call, std::string_view text);

  // client_events.cpp: to the game
  void emit(const Client::Event& event);

  Client::Config config_;
  std::shared_ptr<Mail> mail_;
  Engine engine_;
  std::shared_ptr<Transport> transport_;
  ClientLedger ledger_;
  ClientRecording recording_;
  std::map<std::string, std::shared_ptr<Provider>, std::less<>> providers_;
  std::unordered_map<CallId, LiveCall> calls_;    // by the engine's number
  std::unordered_map<CallId, CallId> number_of_;  // by the game's id
  std::unordered_set<TransferId> trailing_;       // whose answers are whole, and whose connections go on for a moment
  std::array<Late, 64> late_;                     // the last ones
  std::size_t next_late_ = 0;
  std::vector<Chunk> chunks_;  // kept for its memory
  std::deque<Waiting> backlog_;
  std::unordered_map<CallId, Waiting*> open_tokens_;  // in the backlog, to which more text may be added
  bool streamed_ = false;                             // a piece of an answer came in this turn
  bool ended_ = false;
  std::atomic<int> waking_{0};
};

/// The messages as a provider takes them, and everything else that does not depend on it.
[[nodiscard]] ChatRequest chat_of(const Client::Request& request, std::int64_t max_tokens);
/// What only the offline provider is told: how severe it is, and the names in its texts.
[[nodiscard]] std::string offline_params(const Client::Request& request);
/// What budgets and the tracker know of a context.
[[nodiscard]] Scopes scopes_of(const Client::Context& context);
/// One sentence about a call that has no answer.
[[nodiscard]] std::string explained(const Finish& finish, const Failure* failure);
/// As JSON.
[[nodiscard]] std::string tool_calls_text(const std::vector<ToolCall>& calls);

}  // namespace llmcore::net
