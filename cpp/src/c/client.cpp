#include <cmath>
#include <string>

#include "guard.hpp"
#include "handles.hpp"
#include "llmcore/version.hpp"

using llmcore::Client;
using llmcore::c::guarded;
using llmcore::c::text;
using llmcore::c::view;

// The numbers are a promise: a binding has them written down.
static_assert(static_cast<int>(llmcore::Priority::low) == LLMCORE_LOW);
static_assert(static_cast<int>(Client::Role::system) == LLMCORE_SYSTEM);
static_assert(static_cast<int>(Client::Role::tool) == LLMCORE_TOOL);
static_assert(static_cast<int>(Client::Event::Kind::cache_loaded) == LLMCORE_EVENT_CACHE_LOADED);
static_assert(static_cast<int>(llmcore::Source::joined) == LLMCORE_SOURCE_JOINED);

namespace {

constexpr std::int64_t kShutdown = 50 * llmcore::kMillisecond;
constexpr std::int64_t kPoll = 100 * llmcore::kMicrosecond;

llmcore_config default_config() noexcept {
  const Client::Config usual;
  llmcore_config config{};
  config.struct_size = sizeof config;
  config.max_tokens = usual.max_tokens;
  config.requests_per_minute = usual.engine.limits.requests_per_minute;
  config.max_calls = usual.max_calls;
  config.event_bytes = usual.event_bytes;
  config.worker_thread = 1;
  config.cache = 1;
  config.offline_fallback = 1;
  return config;
}

llmcore_request default_request() noexcept {
  llmcore_request request{};
  request.struct_size = sizeof request;
  request.priority = LLMCORE_MEDIUM;
  request.temperature = -1;
  request.stream = 1;
  request.cache = -1;
  request.severity = 500;
  return request;
}

void add_budget(Client::Config& config, const char* scope, std::int64_t limit) {
  if (limit != 0) config.engine.budgets.push_back({scope, llmcore::Period::day, limit, {}});
}

/// What the struct has a field for is as the struct says.
void put_into(Client::Config& config, const llmcore_config& from) {
  config.engine.seed = from.seed;
  config.engine.limits.requests_per_minute = from.requests_per_minute;
  config.engine.limits.max_in_flight = from.max_in_flight;
  add_budget(config, "player=*", from.player_budget_nano_usd);
  add_budget(config, "global", from.total_budget_nano_usd);
  for (std::size_t i = 0; i < from.price_count && from.prices != nullptr; ++i) {
    auto card = std::make_shared<llmcore::PriceCard>();
    llmcore::Rates& rates = card->base;
    rates.input = rates.cache_read = rates.cache_write_5m = rates.cache_write_1h = from.prices[i].input_nano_usd;
    rates.output = rates.reasoning = from.prices[i].output_nano_usd;
    config.prices[text(from.prices[i].place)] = std::move(card);
  }
  config.ledger = text(from.ledger);
  config.ledger_texts = from.ledger_texts != 0;
  config.max_tokens = from.max_tokens;
  config.max_calls = from.max_calls;
  config.event_bytes = from.event_bytes;
  config.worker_thread = from.worker_thread != 0;
  config.cache = from.cache != 0;
  config.offline_fallback = from.offline_fallback != 0;
}

llmcore_event event_from(const Client::Event& from) noexcept {
  llmcore_event event{};
  event.kind = static_cast<llmcore_event_kind>(from.kind);
  event.outcome = static_cast<std::int32_t>(from.outcome);
  event.source = static_cast<llmcore_source>(from.source);
  event.fallback = from.fallback ? 1 : 0;
  event.call = from.call;
  event.tag = from.tag;
  event.text = view(from.text);
  event.error = view(from.error);
  event.provider = view(from.provider);
  event.model = view(from.model);
  event.finish = view(from.finish);
  event.tool_calls = view(from.tool_calls);
  event.attempts = from.attempts;
  event.cost_known = from.cost ? 1 : 0;
  event.cost_nano_usd = from.cost.value_or(0);
  event.saved_nano_usd = from.saved;
  event.input_tokens = from.input_tokens;
  event.output_tokens = from.output_tokens;
  event.cached_tokens = from.cached_tokens;
  event.latency_ns = from.latency;
  event.queued_ns = from.queued;
  event.first_token_ns = from.first_token;
  event.retry_hint_ns = from.retry_hint;
  return event;
}

bool read_messages(const llmcore_request& from, Client::Request& to) {
  if (from.conversation != nullptr) {
    const llmcore::ConversationMemory& memory = from.conversation->memory;
    to.messages = from.prompt != nullptr ? memory.turn(from.prompt) : memory.messages();
    // What is trimmed follows from all that is said; where it stands, not.
    if (from.prompt != nullptr && !to.messages.empty()) to.messages.pop_back();
  }
  for (std::size_t i = 0; i < from.message_count && from.messages != nullptr; ++i) {
    const llmcore_message& message = from.messages[i];
    if (message.content == nullptr || message.role < LLMCORE_SYSTEM || message.role > LLMCORE_ASSISTANT) return false;
    to.messages.push_back({static_cast<Client::Role>(message.role), message.content, {}, {}});
  }
  if (from.prompt != nullptr) to.messages.push_back({Client::Role::user, from.prompt, {}, {}});
  return !to.messages.empty();
}

}  // namespace

const char* llmcore_version(void) {
  static_assert(noexcept(llmcore::version()));
  return llmcore::version().data();
}

uint32_t llmcore_abi_version(void) { return LLMCORE_ABI_VERSION; }

const char* llmcore_outcome_name(int32_t outcome) {
  if (outcome < 0 || static_cast<std::size_t>(outcome) >= llmcore::kOutcomeCount) return "unknown";
  return to_string(static_cast<llmcore::Outcome>(outcome)).data();
}

void llmcore_config_init_sized(llmcore_config* config, size_t size) {
  if (config == nullptr) return;
  llmcore_config all = default_config();
  all.struct_size = std::min(size, sizeof all);
  llmcore::c::give(all, config, size);
}

void llmcore_request_init_sized(llmcore_request* request, size_t size) {
  if (request == nullptr) return;
  llmcore_request all = default_request();
  all.struct_size = std::min(size, sizeof all);
  llmcore::c::give(all, request, size);
}

llmcore_client* llmcore_client_create(const llmcore_config* config, char* error, size_t error_size) {
  if (config == nullptr) {
    llmcore::c::tell(error, error_size, "there is no configuration");
    return nullptr;
  }
  llmcore_client* const made = guarded(static_cast<llmcore_client*>(nullptr), [&]() -> llmcore_client* {
    const llmcore_config all = llmcore::c::taken(*config, default_config());
    auto handle = std::make_unique<llmcore_client>();
    std::string problem;
    Client::Config wanted;
    if (!llmcore::c::configure(all, wanted, problem)) {
      llmcore::c::tell(error, error_size, problem);
      return nullptr;
    }
    put_into(wanted, all);
    if (!wanted.chain.empty()) handle->provider = wanted.chain.front().provider;
    handle->client = Client::create(std::move(wanted), problem);
    llmcore::c::tell(error, error_size, problem);
    if (!handle->client) return nullptr;
    handle->events.reserve(256);
    return handle.release();
  });
  if (made == nullptr && error != nullptr && error_size != 0 && error[0] == '\0') {
    llmcore::c::tell(error, error_size, "there is no memory, or no thread, left");
  }
  return made;
}

void llmcore_client_destroy(llmcore_client* client) {
  if (client == nullptr) return;
  llmcore_client_shutdown(client, kShutdown);
  delete client;
}

int32_t llmcore_client_shutdown(llmcore_client* client, int64_t deadline_ns) {
  if (client == nullptr) return 0;
  return guarded(0, [&] { return client->client->shutdown(deadline_ns) ? 1 : 0; });
}

llmcore_call llmcore_client_submit(llmcore_client* client, const llmcore_request* request) {
  if (client == nullptr || request == nullptr) return 0;
  return guarded(llmcore_call{0}, [&]() -> llmcore_call {
    const llmcore_request from = llmcore::c::taken(*request, default_request());
    Client::Request to;
    if (!read_messages(from, to) || from.priority < LLMCORE_HIGH || from.priority > LLMCORE_LOW) return 0;
    to.priority = static_cast<llmcore::Priority>(from.priority);
    to.deadline = from.deadline_ns;
    to.call_type = text(from.call_type);
    to.json_schema = text(from.json_schema);
    if (from.model != nullptr && !client->provider.empty()) to.chain.push_back({client->provider, from.model});
    to.max_tokens = from.max_tokens;
    if (from.temperature >= 0 && std::isfinite(from.temperature)) to.temperature = from.temperature;
    to.context.user_id = text(from.user_id);
    to.context.player_name = text(from.player_name);
    to.context.game_id = text(from.game_id);
    to.context.session_id = text(from.session_id);
    to.tag = from.tag;
    to.stream = from.stream != 0;
    if (from.cache >= 0) to.cache = from.cache != 0;
    to.severity = from.severity;
    if (from.name != nullptr) to.placeholders.emplace_back("name", from.name);
    return client->client->submit(std::move(to));
  });
}

void llmcore_client_cancel(llmcore_client* client, llmcore_call call) {
  if (client == nullptr) return;
  guarded(0, [&] { return client->client->cancel(call), 0; });
}

void llmcore_client_set_frame(llmcore_client* client, int64_t tick) {
  if (client == nullptr) return;
  guarded(0, [&] { return client->client->set_frame(tick), 0; });
}

void llmcore_client_pump(llmcore_client* client, int64_t wait_ns) {
  if (client == nullptr) return;
  guarded(0, [&] { return client->client->pump(wait_ns), 0; });
}

size_t llmcore_client_poll_sized(llmcore_client* client, llmcore_event* events, size_t event_size, size_t most,
                                 int64_t budget_ns) {
  if (client == nullptr || events == nullptr || event_size == 0) return 0;
  return guarded(size_t{0}, [&] {
    Client::PollBudget budget;
    budget.events = most;
    budget.time = budget_ns > 0 ? budget_ns : kPoll;
    client->client->poll(client->events, budget);
    char* to = reinterpret_cast<char*>(events);
    for (const Client::Event& event : client->events) {
      const llmcore_event told = event_from(event);
      std::memset(to, 0, event_size);
      std::memcpy(to, &told, std::min(event_size, sizeof told));
      to += event_size;
    }
    return client->events.size();
  });
}

llmcore_call llmcore_client_save_cache(llmcore_client* client, size_t most_bytes) {
  if (client == nullptr) return 0;
  return guarded(llmcore_call{0}, [&] { return client->client->save_cache(most_bytes); });
}

llmcore_call llmcore_client_load_cache(llmcore_client* client, const char* bytes, size_t size) {
  if (client == nullptr || (bytes == nullptr && size != 0)) return 0;
  return guarded(llmcore_call{0},
                 [&] { return client->client->load_cache(size != 0 ? std::string(bytes, size) : std::string()); });
}

int32_t llmcore_client_stats(const llmcore_client* client, llmcore_stats* stats) {
  if (client == nullptr || stats == nullptr) return 0;
  const Client::Stats from = client->client->stats();
  const llmcore_stats all{stats->struct_size, from.submitted, from.finished,  from.failed,    from.live,
                          from.in_flight,     from.cached,    from.fallbacks, from.retries,   from.input_tokens,
                          from.output_tokens, from.cost,      from.saved,     from.unhealthy, from.unwritten};
  llmcore::c::give(all, stats, stats->struct_size);
  return 1;
}
