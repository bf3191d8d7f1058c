#include "client_worker.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>
#include <utility>

#include "background.hpp"
#include "llmcore/io/clock.hpp"
#include "llmcore/io/replay.hpp"
#include "llmcore/io/uuid7.hpp"
#include "llmcore/net/curl_transport.hpp"
#include "llmcore/net/providers.hpp"
#include "llmcore/saved_cache.hpp"
#include "no_transport.hpp"
#include "phrases.hpp"

namespace llmcore::net {
namespace {

constexpr Duration kLongestWait = kSecond;
constexpr Duration kBacklogWait = 2 * kMillisecond;
constexpr Duration kBetweenPieces = 4 * kMillisecond;
constexpr Duration kBetweenRecords = 2 * kMillisecond;
constexpr std::size_t kMostChunks = 64;  // of one read, as a rule
constexpr std::string_view kOffline = "offline";

/// A model's name without its date: "gpt-4o" of "gpt-4o-2024-08-06", "claude-x" of "claude-x-20250929".
std::string_view undated(std::string_view name) noexcept {
  constexpr std::array<std::string_view, 2> kDates{"-0000-00-00", "-00000000"};
  for (const std::string_view date : kDates) {
    if (name.size() <= date.size()) continue;
    const std::string_view end = name.substr(name.size() - date.size());
    const bool fits = std::equal(end.begin(), end.end(), date.begin(), [](char c, char pattern) {
      return pattern == '0' ? c >= '0' && c <= '9' : c == pattern;
    });
    if (fits) return name.substr(0, name.size() - date.size());
  }
  return name;
}

}  // namespace

ClientWorker::ClientWorker(Client::Config config, std::shared_ptr<Mail> mail)
    : config_(std::move(config)),
      mail_(std::move(mail)),
      engine_(config_.engine),
      transport_(config_.transport),
      ledger_(config_.ledger, config_.ledger_texts),
      recording_(config_.recorder) {
  for (const auto& one : config_.providers) providers_.emplace(one->name(), one);
  if (providers_.find(kOffline) == providers_.end()) providers_.emplace(kOffline, std::make_shared<OfflineProvider>());
  if (!transport_ && config_.providers.empty()) transport_ = std::make_shared<NoTransport>();
  if (!transport_) transport_ = std::make_shared<CurlTransport>();
  decltype(config_.prices) prices;
  for (auto& [place, card] : config_.prices) prices.emplace(lowered(place), std::move(card));
  config_.prices = std::move(prices);
  chunks_.reserve(kMostChunks);
  calls_.reserve(config_.max_calls);
  number_of_.reserve(config_.max_calls);
  if (recording_.on()) recording_.log()->start(config_.engine);
}

ClientWorker::~ClientWorker() = default;

void ClientWorker::run() {
  be_in_background();
  while (!ended_) {
    streamed_ = false;
    turn(kLongestWait);
    if (streamed_) rest();
  }
}

// While answers stream, their next pieces are on the way, and the game looks once a frame: what comes in four milliseconds
// is read at once, which takes the processor a fraction of waking up for each piece. Nor need a game wake a worker that
// rests: it looks for commands first of all.
void ClientWorker::rest() {
  if (ended_) return;
  const Duration most = time_to_wait(kBetweenPieces);
  if (most > 0) std::this_thread::sleep_for(std::chrono::nanoseconds(most));
}

void ClientWorker::turn(Duration wait) {
  if (ended_) return;
  take_commands();
  if (!ended_) work(wait);
  if (ended_) tell_end();
}

void ClientWorker::work(Duration wait) {
  drain();
  flush();
  const Duration most = time_to_wait(wait);
  if (config_.worker_thread) {
    mail_->sleeping.exchange(true);
    transport_->poll(mail_->commands.front() != nullptr ? 0 : most);
    mail_->sleeping.store(false);
    take_commands();
    if (ended_) return;
  } else {
    transport_->poll(most);
  }
  // What came is looked at before what is due: an answer in the instant of its deadline is an answer.
  tick();
  drain();
  flush();
}

void ClientWorker::wake() noexcept {
  waking_.fetch_add(1);
  transport_->wakeup();
  waking_.fetch_sub(1);
}

Now ClientWorker::now() const noexcept {
  return config_.clock ? Now{config_.clock->mono(), config_.clock->wall()} : io::now();
}

Duration ClientWorker::time_to_wait(Duration most) {
  if (most <= 0) return 0;
  if (!backlog_.empty()) most = std::min(most, kBacklogWait);
  if (recording_.on()) most = std::min(most, kBetweenRecords);  // nobody wakes the worker for those
  if (const std::optional<Instant> due = engine_.next_deadline()) {
    most = std::min(most, std::max<Duration>(*due - now().mono, 0));
  }
  return most;
}

void ClientWorker::take_commands() {
  while (Command* command = ended_ ? nullptr : mail_->commands.front()) {
    switch (command->kind) {
      case Command::Kind::submit: submit(*command); break;
      case Command::Kind::cancel:
        if (const auto found = number_of_.find(command->call); found != number_of_.end()) feed(Cancel{found->second});
        break;
      case Command::Kind::frame:
        if (recording_.on()) recording_.log()->frame(command->number);
        break;
      case Command::Kind::record:
        if (recording_.on() && command->event) recording_.log()->append(*command->event);
        break;
      case Command::Kind::snapshot:
        if (recording_.on()) record_snapshot(*command);
        break;
      case Command::Kind::save_cache: save_cache(*command); break;
      case Command::Kind::load_cache: load_cache(*command); break;
      case Command::Kind::stop: stop(); break;
      case Command::Kind::none: break;
    }
    *command = Command{};
    mail_->commands.pop();
  }
}

void ClientWorker::submit(Command& command) {
  LiveCall call;
  call.id = command.call;
  call.asked = std::move(*command.request);
  call.chain = chain_of(call.asked);
  call.chat = chat_of(call.asked, config_.max_tokens);
  call.created_at = now().wall;
  if (!config_.ledger.empty()) call.uuid = io::uuid7(call.created_at);
  for (Client::Place& place : call.chain) {
    const Provider* const found = provider(place.provider);
    if (found == nullptr) {
      Client::Event event;
      event.kind = Client::Event::Kind::failed;
      event.call = call.id;
      event.tag = call.asked.tag;
      event.outcome = Outcome::not_found;
      event.provider = place.provider;
      event.error = "no provider of that name was given to the client: see Client::Config::providers";
      emit(event);
      return;
    }
    if (place.model.empty()) place.model = found->default_model();
    call.providers.push_back(found);
  }
  const Provider& first = *call.providers.front();
  call.chat.model = call.chain.front().model;

  Submit input;
  input.tenant = call.asked.tenant;
  input.call_type = call.asked.call_type;
  input.priority = call.asked.priority;
  input.deadline = call.asked.deadline;
  input.scopes = scopes_of(call.asked.context);
  if (!first.local()) {
    auto encoded = first.encode(call.chat);
    if (auto* request = std::get_if<HttpRequest>(&encoded)) {
      call.keep = call.asked.cache.value_or(config_.cache);
      if (call.keep) {
        // What is stored is the bytes as they came, so a stream's answer is another than that of a call that did not stream.
        const std::string_view stream("\0stream", 7);
        const std::string asked = request->body + std::string(call.chat.stream ? stream : std::string_view());
        input.key = fingerprint(input.tenant, first.name(), call.chat.model, asked);
      }
      call.first = std::move(*request);
    }
  }
  input.targets = targets_of(call);
  const Now at = now();
  const CallId number = engine_.submit(input, at);
  if (recording_.on()) recording_.log()->input(input, at, engine_.state_hash());
  call.number = number;
  number_of_.emplace(call.id, number);
  calls_.emplace(number, std::move(call));
  drain();
}

std::vector<Client::Place> ClientWorker::chain_of(const Client::Request& request) const {
  std::vector<Client::Place> chain = request.chain.empty() ? config_.chain : request.chain;
  if (chain.empty() || (config_.offline_fallback && chain.back().provider != kOffline)) {
    chain.push_back({std::string(kOffline), {}});
  }
  return chain;
}

std::vector<Target> ClientWorker::targets_of(const LiveCall& call) const {
  std::int64_t input = 0;
  if (config_.estimate) {
    input = config_.estimate(call.asked);
  } else {
    std::int64_t expected = 3 + static_cast<std::int64_t>(call.asked.json_schema.size()) / 3;
    for (const Client::Message& message : call.asked.messages) {
      expected += estimated_tokens(message.content);
      for (const auto& made : message.tool_calls) expected += estimated_tokens(made.arguments) + 5;
    }
    input = expected + expected / 3 + 40;  // a limit errs on the safe side
  }
  std::vector<Target> targets;
  for (std::size_t i = 0; i < call.chain.size(); ++i) {
    Target target;
    target.provider = call.chain[i].provider;
    target.model = call.chain[i].model;
    target.input_tokens = input;
    target.output_tokens = call.chat.max_tokens.value_or(0);
    target.price = price(target.provider, target.model);
    target.always_answers = call.providers[i]->local() && i > 0;
    targets.push_back(std::move(target));
  }
  return targets;
}

const Provider* ClientWorker::provider(std::string_view name) const noexcept {
  const auto found = providers_.find(name);
  return found == providers_.end() ? nullptr : found->second.get();
}

// As Python's catalogue: for this provider before any, for exactly this name before its undated one.
std::shared_ptr<const PriceCard> ClientWorker::price(std::string_view provider_name, std::string_view model) const {
  const std::string exact = lowered(model);
  for (const std::string_view name : {std::string_view(exact), undated(exact)}) {
    for (const std::string& key : {lowered(provider_name) + "/" + std::string(name), std::string(name)}) {
      if (const auto known = config_.prices.find(key); known != config_.prices.end()) return known->second;
    }
  }
  if (const Provider* const found = provider(provider_name); found != nullptr && found->free()) {
    static const PriceCard kFree{};
    return {std::shared_ptr<void>(), &kFree};
  }
  return nullptr;
}

void ClientWorker::feed(const Input& input) {
  const Now at = now();
  engine_.handle(input, at);
  if (recording_.on()) recording_.log()->input(input, at, engine_.state_hash());
}

void ClientWorker::tick() {
  const std::optional<Instant> due = engine_.next_deadline();
  if (due && *due <= now().mono) feed(Tick{});
}

void ClientWorker::drain() {
  while (const std::optional<Action> action = engine_.poll()) {
    if (config_.observer) config_.observer(*action);
    perform(*action);
  }
}

void ClientWorker::perform(const Action& action) {
  if (const auto* sent = std::get_if<Send>(&action)) {
    const auto found = calls_.find(sent->call);
    if (found != calls_.end()) send(found->second, *sent);
  } else if (const auto* aborted = std::get_if<Abort>(&action)) {
    if (LiveCall* const call = in_flight(aborted->attempt)) {
      late_[next_late_] = {aborted->attempt, call->asked.tenant, call->providers[call->target]};
      next_late_ = (next_late_ + 1) % late_.size();
      call->attempt = 0;
      mail_->add(Figure::in_flight, -1);  // of one that was answered while the engine gave it up, settle() has counted
    }
    transport_->abort(aborted->attempt);
    recording_.done(aborted->attempt, TransportError{Outcome::cancelled, "given up"});
  } else if (const auto* over = std::get_if<Finish>(&action)) {
    finish(*over);
  } else if (const auto* record = std::get_if<Record>(&action)) {
    const auto* attempt = std::get_if<AttemptRecord>(&record->body);
    if (attempt == nullptr) return;
    mail_->set(Figure::unhealthy, engine_.unhealthy());
    if (attempt->number > 1) mail_->add(Figure::retries, 1);
    const auto found = calls_.find(attempt->call);
    if (found != calls_.end() && !config_.ledger.empty()) found->second.attempts.push_back(*attempt);
  }
}

void ClientWorker::record_snapshot(Command& command) {
  auto& snapshot = std::get<recorded::Snapshot>(*command.event);
  snapshot.state = hash_of_state(*snapshot.bytes);
  if (command.number == 0) snapshot.bytes.reset();
  recording_.log()->append(*command.event);
}

void ClientWorker::save_cache(const Command& command) {
  SavedCacheWriter writer(static_cast<std::size_t>(command.number));
  engine_.for_each_cached([&](const Fingerprint& key, const Blob& blob) {
    writer.add(key, static_cast<const StringPayload&>(*blob).bytes());
  });
  const std::string bytes = writer.finish();
  Client::Event event;
  event.kind = Client::Event::Kind::cache_saved;
  event.call = command.call;
  event.attempts = writer.count();
  event.text = bytes;
  emit(event);
}

// By the one way in, so that a recording of this run has it: each answer is a call to a provider that is always there, answered
// at once.
void ClientWorker::load_cache(const Command& command) {
  Client::Event event;
  event.kind = Client::Event::Kind::cache_loaded;
  event.call = command.call;
  const char* const problem = read_saved_cache(command.bytes, [&](const Fingerprint& key, std::string_view answer) {
    if (static_cast<std::int64_t>(answer.size()) > config_.engine.cache.max_bytes) return;
    Submit call;
    call.call_type = "saved_cache";
    call.key = key;
    call.targets.resize(1);
    call.targets[0].provider = "saved_cache";
    call.targets[0].always_answers = true;
    feed(call);
    while (const std::optional<Action> action = engine_.poll()) {
      const auto* sent = std::get_if<Send>(&*action);
      if (sent == nullptr || calls_.count(sent->call) != 0) {
        const auto* over = std::get_if<Finish>(&*action);
        if (over == nullptr || calls_.count(over->call) != 0) perform(*action);
        continue;
      }
      feed(Replied{sent->attempt, {}, nullptr, std::make_shared<StringPayload>(std::string(answer))});
      ++event.attempts;
    }
  });
  if (problem != nullptr) {
    event.outcome = Outcome::bad_request;
    event.error = problem;
  }
  emit(event);
}

void ClientWorker::stop() {
  std::vector<CallId> open;
  open.reserve(calls_.size());
  for (const auto& [number, call] : calls_) open.push_back(number);
  std::sort(open.begin(), open.end());
  for (const CallId number : open) feed(Cancel{number});
  drain();
  flush();
  calls_.clear();
  ledger_.close();
  mail_->set(Figure::unwritten, ledger_.unwritten());
  ended_ = true;
  while (waking_.load() != 0) {
  }
  if (config_.worker_thread) {
    config_.transport.reset();
    transport_.reset();
  }
}

// The worker's last act: from here on the game's thread may call flush().
void ClientWorker::tell_end() {
  const std::lock_guard hold(mail_->ending);
  mail_->ended = true;
  mail_->ended_changed.notify_all();
}

}  // namespace llmcore::net
