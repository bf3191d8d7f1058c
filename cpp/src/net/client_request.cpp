// From what a game asks to what a provider is sent, and from what came of it to words.
#include <utility>

#include "../text.hpp"
#include "client_worker.hpp"
#include "request_fields.hpp"

namespace llmcore::net {

ChatRequest chat_of(const Client::Request& request, std::int64_t max_tokens) {
  ChatRequest chat;
  chat.messages = request.messages;
  chat.temperature = request.temperature;
  chat.max_tokens = request.max_tokens > 0 ? request.max_tokens : max_tokens;
  chat.stream = request.stream;
  chat.json_format = request.json;
  if (!request.json_schema.empty()) {
    // The schema is the host's text and goes out as it is; only a name is put around it.
    chat.response_format = R"({"json_schema":{"name":"answer","schema":)" + request.json_schema +
                           R"(,"strict":true},"type":"json_schema"})";
  }
  return chat;
}

std::string offline_params(const Client::Request& request) {
  Fields placeholders;
  for (const auto& [name, value] : request.placeholders) {
    std::string utf8;
    append_as_utf8(utf8, name);
    placeholders.emplace(std::move(utf8), quoted_as_utf8(value));
  }
  return dump({{"placeholders", dump(placeholders)}, {"severity", std::to_string(request.severity)}});
}

Scopes scopes_of(const Client::Context& context) {
  Scopes scopes;
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty()) scopes.emplace_back(key, value);
  };
  add("user", context.user_id);
  add("owner", context.owner_id);
  add("session", context.session_id);
  add("task", context.task_id);
  add("company", context.company_id);
  add("review", context.review_id);
  add("game", context.game_id);
  add("player", context.player_name);
  add("template", context.prompt_template);
  add("trace", context.trace_id);
  if (!context.trackable_type.empty() && !context.trackable_id.empty()) {
    scopes.emplace_back(context.trackable_type, context.trackable_id);
  }
  return scopes;
}

std::string explained(const Finish& finish, const Failure* failure) {
  std::string who = finish.provider.empty() ? std::string("llmcore") : finish.provider + "/" + finish.model;
  if (failure != nullptr && failure->outcome == finish.outcome && !failure->message.empty()) {
    return who + ": " + failure->message;
  }
  const char* why = "";
  switch (finish.outcome) {
    case Outcome::queue_full:
      why = "too many calls wait here already: try again later, or raise the queue's capacity";
      break;
    case Outcome::queue_timeout: why = "waited in the queue until its time was over"; break;
    case Outcome::over_budget:
      why = finish.refusal && finish.refusal->price_unknown
                ? "a budget watches this call, and its price is unknown: give Client::Config::prices one"
                : "a budget has no room for what it may cost";
      break;
    case Outcome::cancelled: why = "cancelled"; break;
    case Outcome::bad_request:
      why = "its priority, deadline or max_tokens is none that a call can have, or its chain has over 16 places";
      break;
    case Outcome::timeout: why = "no complete answer before the deadline"; break;
    case Outcome::exhausted:
      why = "no provider of the chain could be tried: they are unwell, or have just failed";
      break;
    case Outcome::connection: why = "the provider could not be reached"; break;
    default: why = to_string(finish.outcome).data(); break;
  }
  return who + ": " + why;
}

std::string tool_calls_text(const std::vector<ToolCall>& calls) {
  if (calls.empty()) return {};
  std::vector<std::string> list;
  for (const ToolCall& call : calls) {
    list.push_back(dump({{"arguments", quoted_as_utf8(call.arguments)},
                         {"id", quoted_as_utf8(call.id)},
                         {"name", quoted_as_utf8(call.name)}}));
  }
  return json_list(list);
}

}  // namespace llmcore::net
