#include "chat_request.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "../text.hpp"

namespace llmcore::net {
namespace {

using Kind = Json::Kind;
using Role = ConversationMemory::Role;

std::string_view name_of(Role role) noexcept {
  switch (role) {
    case Role::system: return "system";
    case Role::user: return "user";
    case Role::assistant: return "assistant";
    case Role::tool: return "tool";
  }
  return "user";
}

std::string_view kind_name(Json value) noexcept {
  switch (value.kind()) {
    case Kind::object: return "an object";
    case Kind::list: return "a list";
    case Kind::string: return "a string";
    case Kind::number: return "a number";
    case Kind::boolean: return "true or false";
    default: return "null";
  }
}

std::optional<std::string> check_messages(Json messages) {
  if (!messages.is(Kind::list)) return "messages is a list, not " + std::string(kind_name(messages));
  std::optional<std::string> problem;
  std::size_t index = 0;
  messages.each([&](Json message) {
    const std::string where = "messages[" + std::to_string(index++) + "]";
    if (!message.is(Kind::object)) {
      problem = where + " is an object, not " + std::string(kind_name(message));
      return false;
    }
    if (!message["role"].is(Kind::string)) {
      problem = where + R"(["role"] is missing or not a string)";
      return false;
    }
    const Json content = message["content"];
    if (!content.absent() && !content.is(Kind::null) && !content.is(Kind::string) && !content.is(Kind::list)) {
      problem = where + R"(["content"] is a string or a list of parts, not )" + std::string(kind_name(content));
      return false;
    }
    return true;
  });
  if (!problem && index == 0) return "messages is empty; the model needs at least one";
  return problem;
}

/// JSON text that has to be of a kind; absent where the text is empty.
std::optional<std::string> read(std::string_view text, Kind kind, std::string_view name, Json& out) {
  if (text.empty()) return std::nullopt;
  const auto parsed = Json::parse(text);
  if (!parsed) return std::string(name) + " is not JSON, in UTF-8";
  if (parsed->is(Kind::null)) return std::nullopt;
  if (!parsed->is(kind)) {
    return std::string(name) + (kind == Kind::list ? " is a list, not " : " is an object, not ") +
           std::string(kind_name(*parsed));
  }
  out = *parsed;
  return std::nullopt;
}

bool ends_number(std::string_view rest) noexcept { return rest.empty() || rest.front() == '-'; }

/// OpenAI's models that refuse max_tokens, wherever they are reached through.
bool insists(std::string_view model) noexcept {
  for (std::size_t at = 0; at != std::string_view::npos;) {
    std::string_view rest = model.substr(at);
    if (rest.size() >= 2 && rest[0] == 'o' && rest[1] >= '1' && rest[1] <= '9' && ends_number(rest.substr(2)))
      return true;
    if (rest.starts_with("gpt-") && rest.size() > 4) {
      rest.remove_prefix(4);
      const auto digit = [rest](std::size_t i) { return i < rest.size() && rest[i] >= '0' && rest[i] <= '9'; };
      if ((rest[0] >= '5' && rest[0] <= '9') || (digit(0) && digit(1))) return true;
    }
    at = model.find('/', at);
    if (at != std::string_view::npos) ++at;
  }
  return false;
}

std::string_view renamed(const Host& host, std::string_view name) noexcept {
  const std::string key = " " + std::string(name) + "=";
  const std::size_t at = host.renamed.find(key);
  if (at == std::string_view::npos) return name;
  const std::string_view rest = host.renamed.substr(at + key.size());
  return rest.substr(0, rest.find(' '));
}

}  // namespace

Json CheckedRequest::param(std::string_view name) const noexcept {
  const auto found =
      std::find_if(params.begin(), params.end(), [name](const auto& member) { return member.name == name; });
  return found == params.end() ? Json() : found->value;
}

std::optional<std::string> check(const ChatRequest& request, CheckedRequest& out) {
  if (request.model.empty()) return "model is a non-empty string";
  if (!Json::parse(quoted(request.model))) return "model is not UTF-8";
  if (request.messages_json.empty()) out.written = messages_as_json(request.messages);
  const auto messages = Json::parse(request.messages_json.empty() ? out.written : request.messages_json);
  if (!messages) return "messages hold what is no JSON, or no UTF-8";
  out.messages = *messages;
  if (auto problem = check_messages(out.messages)) return problem;
  Json params;
  if (auto problem = read(request.tools, Kind::list, "tools", out.tools)) return problem;
  if (auto problem = read(request.response_format, Kind::object, "response_format", out.response_format))
    return problem;
  if (auto problem = read(request.params, Kind::object, "params", params)) return problem;
  out.params = params.members();
  if (request.temperature && !std::isfinite(*request.temperature)) return "temperature is not a finite number";
  return std::nullopt;
}

std::string messages_as_json(const std::vector<ChatRequest::Message>& messages) {
  std::string out;
  JsonWriter json(out);
  json.open('[');
  for (const ChatRequest::Message& message : messages) {
    json.open('{');
    const bool silent = message.content.empty() && !message.tool_calls.empty();
    json.name("content");
    silent ? json.raw("null") : json.text(message.content);
    json.member("role", name_of(message.role));
    if (message.role == Role::tool) json.member("tool_call_id", message.tool_call_id);
    if (!message.tool_calls.empty()) {
      json.name("tool_calls").open('[');
      for (const auto& call : message.tool_calls) {
        json.open('{').name("function").open('{');
        json.member("arguments", call.arguments).member("name", call.name).close('}');
        json.member("id", call.id).member("type", "function").close('}');
      }
      json.close(']');
    }
    json.close('}');
  }
  json.close(']');
  return out;
}

ChatBody encode_chat(const ChatRequest& request, const Host& host, std::string_view limit_name, bool stream,
                     std::string* model) {
  ChatBody made;
  CheckedRequest checked;
  if ((made.problem = check(request, checked))) return made;
  if ((made.problem = refused_params(checked.params, host.unknown, host.name, false))) return made;

  Fields fields;
  fields["model"] = quoted(request.model);
  fields["stream"] = stream ? "true" : "false";
  if (!host.extra_name.empty()) fields[std::string(host.extra_name)] = host.extra_json;
  if (stream && host.asks_for_usage) fields["stream_options"] = R"({"include_usage":true})";
  if (request.temperature) fields["temperature"] = *json_number(*request.temperature);
  if (!checked.tools.absent()) append_compact(fields["tools"], checked.tools);
  if (!checked.response_format.absent()) {
    append_compact(fields["response_format"], checked.response_format);
  } else if (request.json_format) {
    fields["response_format"] = R"({"type":"json_object"})";
  }
  bool limited = false;
  for (const auto& [given, value] : checked.params) {
    if (given == "stream") continue;
    const std::string name(renamed(host, given));
    limited = limited || name == "max_tokens" || name == "max_completion_tokens";
    std::string text;
    append_compact(text, value);
    if (name == "stream_options" && stream && host.asks_for_usage && value.is(Kind::object)) {
      const bool counts = value["include_usage"].absent();
      const std::string rest = text.substr(1);
      if (counts) text = rest == "}" ? fields[name] : R"({"include_usage":true,)" + rest;
    }
    fields[name] = std::move(text);
  }
  if (request.max_tokens && !limited) {
    const bool own =
        limit_name == "max_tokens" && (host.name == "openai" || host.name == "azure") && insists(request.model);
    fields[own ? "max_completion_tokens" : std::string(limit_name)] = std::to_string(*request.max_tokens);
  }
  if (model != nullptr) {
    const Json sent(fields["model"]);
    *model = sent.is(Kind::string) ? sent.text() : std::string(sent.raw());
  }
  fields["messages"].clear();
  append_sorted(fields["messages"], checked.messages);
  made.body = dump(fields);
  return made;
}

}  // namespace llmcore::net
