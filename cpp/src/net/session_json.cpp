#include "session_json.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "client_worker.hpp"

namespace llmcore::net {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kTexts = 6;
constexpr std::size_t kLongestShown = 200;

std::string dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::array<std::string_view Client::Event::*, kTexts> texts() noexcept {
  return {&Client::Event::text,  &Client::Event::error,  &Client::Event::provider,
          &Client::Event::model, &Client::Event::finish, &Client::Event::tool_calls};
}
constexpr std::array<const char*, kTexts> kTextNames{"text", "error", "provider", "model", "finish", "tool_calls"};

constexpr std::array<std::pair<const char*, std::int64_t Client::Event::*>, 8> kNumbers{{
    {"input_tokens", &Client::Event::input_tokens},
    {"output_tokens", &Client::Event::output_tokens},
    {"cached_tokens", &Client::Event::cached_tokens},
    {"saved", &Client::Event::saved},
    {"latency", &Client::Event::latency},
    {"queued", &Client::Event::queued},
    {"first_token", &Client::Event::first_token},
    {"retry_hint", &Client::Event::retry_hint},
}};

Json event_json(const Client::Event& event) {
  Json json{{"kind", static_cast<int>(event.kind)},
            {"call", event.call},
            {"tag", event.tag},
            {"outcome", to_string(event.outcome)},
            {"source", static_cast<int>(event.source)},
            {"fallback", event.fallback},
            {"attempts", event.attempts}};
  for (std::size_t i = 0; i < kTexts; ++i) {
    if (!(event.*texts()[i]).empty()) json[kTextNames[i]] = event.*texts()[i];
  }
  for (const auto& [name, member] : kNumbers) {
    if (event.*member != 0) json[name] = event.*member;
  }
  if (event.cost) json["cost"] = *event.cost;
  return json;
}

Outcome outcome_named(std::string_view name) {
  for (std::size_t i = 0; i < kOutcomeCount; ++i) {
    if (to_string(static_cast<Outcome>(i)) == name) return static_cast<Outcome>(i);
  }
  return Outcome::server_error;
}

template <class Number>
Number number(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_number_integer() ? found->get<Number>() : Number{};
}

std::string shown(const Json* value) {
  if (value == nullptr) return "absent";
  std::string text = value->is_string() ? value->get<std::string>() : dumped(*value);
  if (text.size() > kLongestShown) text = text.substr(0, kLongestShown) + "...";
  return text;
}

JsonDifference difference(const std::string& path, const Json* expected, const Json* got) {
  if (expected != nullptr && got != nullptr) {
    if (*expected == *got) return {};
    if (expected->is_object() && got->is_object()) {
      for (const auto& [key, value] : expected->items()) {
        const auto other = got->find(key);
        JsonDifference found = difference(path + "." + key, &value, other == got->end() ? nullptr : &*other);
        if (!found.field.empty()) return found;
      }
      for (const auto& [key, value] : got->items()) {
        if (!expected->contains(key)) return difference(path + "." + key, nullptr, &value);
      }
    }
    if (expected->is_array() && got->is_array()) {
      for (std::size_t i = 0; i < std::max(expected->size(), got->size()); ++i) {
        const auto at = [i](const Json& list) { return i < list.size() ? &list[i] : nullptr; };
        JsonDifference found = difference(path + "[" + std::to_string(i) + "]", at(*expected), at(*got));
        if (!found.field.empty()) return found;
      }
    }
  }
  return {path, shown(expected), shown(got)};
}

}  // namespace

std::string session_submit(CallId call, const Client::Request& request) {
  Json messages = Json::array();
  for (const Client::Message& message : request.messages) {
    Json one{{"role", static_cast<int>(message.role)}, {"content", message.content}};
    for (const auto& made : message.tool_calls) {
      one["tool_calls"].push_back({{"id", made.id}, {"name", made.name}, {"arguments", made.arguments}});
    }
    if (!message.tool_call_id.empty()) one["tool_call_id"] = message.tool_call_id;
    messages.push_back(std::move(one));
  }
  Json json{{"call", call},
            {"messages", std::move(messages)},
            {"priority", to_string(request.priority)},
            {"deadline", request.deadline},
            {"call_type", request.call_type},
            {"stream", request.stream},
            {"json", request.json},
            {"json_schema", request.json_schema},
            {"max_tokens", request.max_tokens},
            {"tenant", request.tenant},
            {"tag", request.tag},
            {"severity", request.severity}};
  if (request.temperature) json["temperature"] = *request.temperature;
  if (request.cache) json["cache"] = *request.cache;
  for (const Client::Place& place : request.chain) json["chain"].push_back(place.provider + "/" + place.model);
  for (const auto& [name, value] : request.placeholders) json["placeholders"][name] = value;
  for (const auto& [scope, value] : scopes_of(request.context)) json["context"][scope] = value;
  return dumped(json);
}

std::string session_events(const Client::Events& events) {
  Json list = Json::array();
  for (const Client::Event& event : events) list.push_back(event_json(event));
  return dumped(list);
}

CallId session_call(std::string_view submit) {
  const Json json = Json::parse(submit, nullptr, false);
  return json.is_object() ? number<CallId>(json, "call") : 0;
}

bool SessionEvents::read(std::string_view json) {
  events.clear();
  texts.clear();
  const Json list = Json::parse(json, nullptr, false);
  if (!list.is_array()) return false;
  texts.reserve(list.size() * kTexts);  // so that the views stay where they are
  for (const Json& one : list) {
    if (!one.is_object()) return false;
    Client::Event event;
    event.kind = static_cast<Client::Event::Kind>(std::clamp(number<int>(one, "kind"), 0, 4));
    event.source = static_cast<Source>(std::clamp(number<int>(one, "source"), 0, 3));
    event.call = number<CallId>(one, "call");
    event.tag = number<std::uint64_t>(one, "tag");
    event.attempts = number<std::uint32_t>(one, "attempts");
    event.fallback = one.contains("fallback") && one["fallback"].is_boolean() && one["fallback"].get<bool>();
    if (one.contains("outcome") && one["outcome"].is_string()) {
      event.outcome = outcome_named(one["outcome"].get<std::string>());
    }
    for (std::size_t i = 0; i < kTexts; ++i) {
      const auto found = one.find(kTextNames[i]);
      if (found == one.end() || !found->is_string()) continue;
      texts.push_back(found->get<std::string>());
      event.*net::texts()[i] = texts.back();
    }
    for (const auto& [name, member] : kNumbers) event.*member = number<std::int64_t>(one, name);
    if (one.contains("cost")) event.cost = number<std::int64_t>(one, "cost");
    events.push_back(event);
  }
  return true;
}

JsonDifference json_difference(std::string_view root, std::string_view expected, std::string_view got) {
  const Json one = Json::parse(expected, nullptr, false);
  const Json other = Json::parse(got, nullptr, false);
  if (one.is_discarded() || other.is_discarded()) return {};
  return difference(std::string(root), &one, &other);
}

}  // namespace llmcore::net
