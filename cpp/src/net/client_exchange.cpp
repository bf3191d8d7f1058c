// One attempt of a call: sent, read while it arrives, and settled with the engine; and the end of the call.
#include <algorithm>
#include <utility>

#include "client_worker.hpp"
#include "estimate.hpp"

namespace llmcore::net {
namespace {

constexpr std::size_t kLongestBody = std::size_t{64} << 20;

/// What an answer comes to that does not say what it used: never to nothing.
Usage filled_in(const Reply& reply, std::int64_t input) {
  Usage usage = reply.usage;
  if (usage.input_tokens() == 0) usage.input_uncached = input;
  if (usage.output_tokens() == 0) usage.output_text = std::max<std::int64_t>(output_tokens_of(reply), 1);
  return usage;
}

bool says_something(const Reply& reply) {
  return !reply.content.empty() || !reply.reasoning.empty() || !reply.refusal.empty() || !reply.tool_calls.empty();
}

std::int64_t expected_input(const LiveCall& call) {
  std::int64_t tokens = 3;
  for (const Client::Message& message : call.chat.messages) tokens += estimated_tokens(message.content);
  return tokens;
}

}  // namespace

void ClientWorker::send(LiveCall& call, const Send& send) {
  const Provider& provider = *call.providers[send.target];
  call.attempt = send.attempt;
  call.target = send.target;
  call.status = 0;
  call.headers.clear();
  call.body.clear();
  call.decoder.reset();
  mail_->add(Figure::in_flight, 1);
  call.chat.model = call.chain[send.target].model;
  call.reserved = send.worst_case;
  if (!provider.local() && !std::exchange(call.begun, true)) ledger_.begin(call, send);
  if (provider.local()) {
    std::string params = std::exchange(call.chat.params, offline_params(call.asked));
    Decoded answer = provider.answer(call.chat, call.asked.call_type);
    call.chat.params = std::move(params);
    settle(call, std::move(answer));
    return;
  }
  HttpRequest request;
  if (send.target == 0 && call.first) {
    request = std::move(*call.first);
    call.first.reset();
  } else {
    auto encoded = provider.encode(call.chat);
    if (auto* failure = std::get_if<Failure>(&encoded)) {
      settle(call, std::move(*failure));
      return;
    }
    request = std::get<HttpRequest>(std::move(encoded));
  }
  const Duration timeout = std::max<Duration>(send.not_after - now().mono, kMillisecond);
  recording_.request(call.number, send.attempt, provider.name(), request);
  transport_->start(send.attempt, std::move(request), timeout, *this);
}

LiveCall* ClientWorker::in_flight(TransferId transfer) {
  const auto found = calls_.find(transfer / kAttemptsPerCall);
  return found != calls_.end() && found->second.attempt == transfer ? &found->second : nullptr;
}

void ClientWorker::observe(const Provider& provider, const std::string& tenant, const Headers& headers) {
  const auto limits = provider.observe(headers);
  if (!limits) return;
  Observed observed;
  observed.tenant = tenant;
  observed.provider = provider.name();
  observed.limits = *limits;
  feed(observed);
}

void ClientWorker::on_head(TransferId transfer, int status, Headers&& headers) {
  recording_.head(transfer, status, headers);
  LiveCall* const call = in_flight(transfer);
  if (call == nullptr) {
    // Of an attempt that is over; what is said of the limits is true all the same.
    for (const Late& late : late_) {
      if (late.transfer == transfer) observe(*late.provider, late.tenant, headers);
    }
    return;
  }
  const Provider& provider = *call->providers[call->target];
  call->status = status;
  call->headers = std::move(headers);
  observe(provider, call->asked.tenant, call->headers);
  if (status == 200 && call->chat.stream) call->decoder = provider.stream_decoder(call->headers);
}

void ClientWorker::on_data(TransferId transfer, std::string_view bytes) {
  recording_.data(transfer, bytes);
  LiveCall* const call = in_flight(transfer);
  if (call == nullptr) return;
  if (call->decoder) {
    read(*call, bytes);
    return;
  }
  if (call->body.size() + bytes.size() <= kLongestBody) {
    call->body += bytes;
    return;
  }
  transport_->abort(transfer);
  Failure failure;
  failure.message = "the answer is longer than 64 MiB";
  settle(*call, std::move(failure));
}

void ClientWorker::read(LiveCall& call, std::string_view bytes) {
  if (call.keep && call.body.size() + bytes.size() <= kLongestBody) {
    call.body += bytes;
  } else if (call.keep) {
    call.keep = false;
    call.body.clear();
  }
  chunks_.clear();
  call.decoder->feed(bytes, chunks_);
  for (const Chunk& chunk : chunks_) {
    if (chunk.text.empty()) continue;
    streamed_ = true;
    if (!call.began) {
      call.began = true;
      feed(Streaming{call.attempt});
    }
    show(call, chunk.text);
  }
  // Whatever the connection still brings: the answer is whole, and its slot is free.
  if (call.decoder->ended()) {
    trailing_.insert(call.attempt);
    settle(call, call.decoder->finish());
  }
}

void ClientWorker::show(LiveCall& call, std::string_view text) {
  call.shown += text.size();
  Client::Event event;
  event.kind = Client::Event::Kind::token;
  event.call = call.id;
  event.tag = call.asked.tag;
  event.text = text;
  emit(event);
}

void ClientWorker::on_done(TransferId transfer, std::optional<TransportError> error) {
  recording_.done(transfer, error);
  LiveCall* const call = in_flight(transfer);
  if (call == nullptr) {
    if (trailing_.erase(transfer) != 0) return;
    // Of an attempt that the engine has ended: it counts those.
    feed(Failed{transfer, error ? error->outcome : Outcome::timeout, std::nullopt, 0, {}, nullptr});
    return;
  }
  if (call->decoder) {
    Decoded decoded = call->decoder->finish();
    if (auto* failure = std::get_if<Failure>(&decoded); failure != nullptr && error) {
      failure->outcome = error->outcome;
      failure->message = error->message;
    }
    settle(*call, std::move(decoded));
  } else if (error) {
    Failure failure;
    failure.outcome = error->outcome;
    failure.message = std::move(error->message);
    failure.status = call->status;
    settle(*call, std::move(failure));
  } else {
    settle(*call, call->providers[call->target]->decode(call->status, call->headers, call->body));
  }
}

// Tells the engine what came of the open attempt, which is over with that.
void ClientWorker::settle(LiveCall& call, Decoded decoded) {
  const Provider& provider = *call.providers[call.target];
  const AttemptId attempt = std::exchange(call.attempt, 0);
  mail_->add(Figure::in_flight, -1);
  const std::string& asked = call.chain[call.target].model;
  const auto price_of = [&](const std::string& model) {
    auto card = price(provider.name(), model.empty() ? asked : model);
    return card != nullptr || model.empty() ? card : price(provider.name(), asked);
  };
  if (auto* failure = std::get_if<Failure>(&decoded)) {
    Failed input;
    input.attempt = attempt;
    input.outcome = failure->outcome;
    input.should_retry = failure->should_retry;
    input.retry_after = failure->retry_after;
    if (failure->partial) {
      input.usage = failure->partial->usage;
      if (input.usage.estimated && (call.began || says_something(*failure->partial))) {
        input.usage = filled_in(*failure->partial, expected_input(call));
      }
      input.price = price_of(failure->partial->model);
    }
    call.failure = std::move(*failure);
    feed(input);
    return;
  }
  auto& reply = std::get<Reply>(decoded);
  if (reply.usage.estimated) reply.usage = filled_in(reply, expected_input(call));
  Replied input;
  input.attempt = attempt;
  input.usage = reply.usage;
  input.price = price_of(reply.model);
  if (call.keep) {
    // Of a local answer there are no bytes but its text, which calls that joined this one may want as well.
    input.payload = std::make_shared<StringPayload>(provider.local() ? reply.content : std::move(call.body));
  }
  call.body.clear();
  call.failure.reset();
  call.reply = std::move(reply);
  feed(input);
}

// The answer that a call ends with: its own, or one that was stored, decoded again.
std::optional<Decoded> ClientWorker::answer_of(LiveCall& call, const Finish& finish) {
  if (finish.source == Source::provider && call.reply) return Decoded(std::move(*call.reply));
  const Provider* const from = provider(finish.provider);
  if (!finish.payload || from == nullptr) return std::nullopt;
  const std::string& body = static_cast<const StringPayload&>(*finish.payload).bytes();
  if (from->local()) {
    Reply reply;
    reply.content = body;
    reply.model = finish.model;
    reply.finish_reason = "stop";
    return reply;
  }
  if (!call.chat.stream) return from->decode(200, {}, body);
  const std::unique_ptr<StreamDecoder> decoder = from->stream_decoder({});
  if (!decoder) return std::nullopt;
  chunks_.clear();
  decoder->feed(body, chunks_);
  for (const Chunk& chunk : chunks_) {
    if (!chunk.text.empty()) show(call, chunk.text);
  }
  return decoder->finish();
}

void ClientWorker::finish(const Finish& finish) {
  const auto found = calls_.find(finish.call);
  if (found == calls_.end()) return;
  LiveCall call = std::move(found->second);
  calls_.erase(found);
  number_of_.erase(call.id);

  Client::Event event;
  event.call = call.id;
  event.tag = call.asked.tag;
  event.outcome = finish.outcome;
  event.source = finish.source;
  event.fallback = finish.fallback;
  event.provider = finish.provider;
  event.model = finish.model;
  event.attempts = finish.attempts;
  event.input_tokens = finish.usage.input_tokens();
  event.output_tokens = finish.usage.output_tokens();
  event.cached_tokens = finish.usage.cached_tokens();
  event.cost = finish.cost;
  event.saved = finish.saved;
  event.latency = finish.latency;
  event.queued = finish.queued;
  event.first_token = finish.first_token;
  event.retry_hint = finish.retry_hint;
  mail_->add(Figure::input_tokens, event.input_tokens);
  mail_->add(Figure::output_tokens, event.output_tokens);
  mail_->add(Figure::cost, finish.cost.value_or(0));
  mail_->add(Figure::saved, finish.saved);

  std::optional<Decoded> answer;
  if (finish.outcome == Outcome::ok) answer = answer_of(call, finish);
  if (answer && std::holds_alternative<Reply>(*answer)) {
    const Reply& reply = std::get<Reply>(*answer);
    // A model that would not answer says so in words of its own.
    const std::string& text = reply.content.empty() ? reply.refusal : reply.content;
    if (call.chat.stream && call.shown < text.size()) show(call, std::string_view(text).substr(call.shown));
    const std::string calls = tool_calls_text(reply.tool_calls);
    event.kind = Client::Event::Kind::finished;
    event.text = text;
    if (!reply.model.empty()) event.model = reply.model;
    event.finish = reply.finish_reason;
    event.tool_calls = calls;
    if (finish.source == Source::cache || finish.source == Source::joined) mail_->add(Figure::cached, 1);
    if (finish.fallback) mail_->add(Figure::fallbacks, 1);
    ledger_.record(call, finish, &reply, {});
    mail_->set(Figure::unwritten, ledger_.unwritten());
    emit(event);
    return;
  }
  event.kind = Client::Event::Kind::failed;
  if (event.outcome == Outcome::ok)
    event.outcome = Outcome::server_error;  // what was stored cannot be decoded any more
  const std::string why = explained(finish, call.failure ? &*call.failure : nullptr);
  event.error = why;
  ledger_.record(call, finish, nullptr, why);
  mail_->set(Figure::unwritten, ledger_.unwritten());
  if (call.failure && call.failure->partial) event.text = call.failure->partial->content;
  emit(event);
}

}  // namespace llmcore::net
