#include "client_ledger.hpp"

#include "../text.hpp"
#include "chat_request.hpp"
#include "client_worker.hpp"
#include "llmcore/io/clock.hpp"

namespace llmcore::net {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30;
constexpr Duration kBetweenTries = 5 * kSecond;

std::string_view status_of(const Finish& finish) noexcept {
  switch (finish.outcome) {
    case Outcome::ok:
      if (finish.source == Source::cache || finish.source == Source::joined) return "cached";
      return finish.fallback ? "fallback" : "success";
    case Outcome::timeout: return "timeout";
    case Outcome::rate_limited:
    case Outcome::quota_exhausted: return "rate_limited";
    case Outcome::queue_full:
    case Outcome::queue_timeout:
    case Outcome::over_budget: return "refused";
    case Outcome::cancelled: return "cancelled";
    default: return "error";
  }
}

/// As they are sent; a host's strings may be anything.
std::string as_json(const std::vector<Client::Message>& messages) {
  std::string text;
  append_as_utf8(text, messages_as_json(messages));
  return text;
}

}  // namespace

void ClientLedger::fill(const LiveCall& call) {
  const Client::Context& context = call.asked.context;
  entry_ = LedgerEntry{};
  entry_.id = call.uuid;
  if (!call.asked.call_type.empty()) entry_.call_type = call.asked.call_type;
  const std::array<const std::string*, kContextFields.size()> texts{
      &context.user_id,         &context.owner_id,  &context.session_id,     &context.task_id,
      &context.company_id,      &context.review_id, &context.game_id,        &context.player_name,
      &context.prompt_template, &context.trace_id,  &context.parent_call_id, &context.trackable_type,
      &context.trackable_id};
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (!texts[i]->empty()) entry_.context[i] = *texts[i];
  }
  entry_.tags.assign(context.tags.begin(), context.tags.end());
  entry_.created_at = call.created_at;
  entry_.tenant = call.asked.tenant;
  entry_.reserved = call.reserved;
  entry_.temperature = call.asked.temperature;
  entry_.max_tokens = call.chat.max_tokens;
}

void ClientLedger::begin(const LiveCall& call, const Send& send) {
  if (directory_.empty()) return;
  fill(call);
  entry_.status = "pending";
  entry_.provider = call.chain[send.target].provider;
  entry_.model = call.chain[send.target].model;
  append(LedgerEntryKind::open);
}

void ClientLedger::record(const LiveCall& call, const Finish& finish, const Reply* reply, std::string_view error) {
  if (directory_.empty()) return;
  fill(call);
  entry_.status = status_of(finish);
  entry_.outcome = finish.outcome;
  entry_.source = finish.source;
  entry_.provider = finish.provider.empty() ? std::string_view(call.chain.front().provider) : finish.provider;
  entry_.model = finish.model.empty() ? std::string_view(call.chain.front().model) : finish.model;
  entry_.usage = finish.usage;
  entry_.cost = finish.cost;
  entry_.saved = finish.saved;
  entry_.latency = finish.latency;
  entry_.queued = finish.queued;
  entry_.first_token = finish.first_token;
  entry_.fallback_used = finish.fallback;
  entry_.cache_hit = finish.source == Source::cache || finish.source == Source::joined;
  entry_.completed_at = add_saturated(call.created_at, finish.latency);
  for (const AttemptRecord& attempt : call.attempts) {
    entry_.attempts.push_back({attempt.call, attempt.attempt, attempt.number, attempt.target, attempt.provider,
                               attempt.model, attempt.outcome, attempt.usage, attempt.cost, attempt.started,
                               attempt.latency, attempt.retry_after});
  }
  if (!call.attempts.empty()) entry_.started_at = call.attempts.front().started;
  if (reply != nullptr) {
    if (!reply->model.empty()) entry_.response_model = reply->model;
    entry_.finish_reason = reply->finish_reason;
    entry_.reported_cost = reply->reported_cost;
    if (!reply->request_id.empty()) entry_.request_id = reply->request_id;
  } else {
    entry_.error_code =
        call.failure && !call.failure->code.empty() ? std::string_view(call.failure->code) : to_string(finish.outcome);
    entry_.error_message = error;
  }
  if (texts_) {
    LedgerPayload payload;
    payload.policy = "full";
    for (const Client::Message& message : call.asked.messages) {
      if (message.role == Client::Role::system) payload.texts[0] = message.content;
      if (message.role == Client::Role::user) payload.texts[1] = message.content;
    }
    messages_ = as_json(call.asked.messages);
    payload.texts[2] = messages_;
    if (reply != nullptr) {
      payload.texts[3] = reply->content;
      tool_calls_ = tool_calls_text(reply->tool_calls);
      if (!tool_calls_.empty()) payload.texts[4] = tool_calls_;
    }
    entry_.payload = payload;
  }
  append(LedgerEntryKind::close);
}

void ClientLedger::append(LedgerEntryKind kind) {
  // A host's strings may be anything; an entry of what is no text would be refused as a whole when it is read.
  const auto whole = [](std::string_view text) { return is_utf8(text); };
  for (auto& text : entry_.context) {
    if (text && !whole(*text)) text.reset();
  }
  std::erase_if(entry_.tags, [&](std::string_view tag) { return !whole(tag); });
  if (entry_.payload) {
    for (auto& text : entry_.payload->texts) {
      if (text && !whole(*text)) text.reset();
    }
  }
  for (auto* text : {&entry_.call_type, &entry_.response_model, &entry_.finish_reason, &entry_.error_code,
                     &entry_.error_message, &entry_.request_id}) {
    if (*text && !whole(**text)) text->reset();
  }
  for (auto* text : {&entry_.provider, &entry_.model, &entry_.tenant}) {
    if (!whole(*text)) *text = "unreadable";
  }

  if (!journal_) {
    const Instant now = io::mono();
    if (tried_at_ != 0 && now - tried_at_ < kBetweenTries) {
      ++unwritten_;
      return;
    }
    tried_at_ = now;
    io::JournalConfig config;
    config.directory = directory_;
    config.on_full = io::OnFull::drop;
    config.total_bytes = kMostBytes;
    auto opened = io::JournalWriter::open(config);
    if (!opened) {
      ++unwritten_;
      return;
    }
    journal_ = std::move(*opened);
  }
  bytes_.clear();
  entry_.append_to(bytes_);
  auto appended = journal_->append(static_cast<std::uint16_t>(kind), bytes_);
  if (!appended && appended.error().code == io::JournalError::Code::failed && !journal_->recover()) {
    appended = journal_->append(static_cast<std::uint16_t>(kind), bytes_);
  }
  if (!appended || *appended == 0) ++unwritten_;
}

void ClientLedger::close() {
  if (journal_ && journal_->close()) ++unwritten_;
  journal_.reset();
}

}  // namespace llmcore::net
