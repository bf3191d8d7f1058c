#include "session_json.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "../text.hpp"
#include "client_worker.hpp"
#include "json.hpp"
#include "request_fields.hpp"

namespace llmcore::net {
namespace {

using Kind = Json::Kind;

constexpr std::size_t kTexts = 6;
constexpr std::size_t kLongestShown = 200;

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

std::string number_text(std::int64_t value) { return std::to_string(value); }

std::string truth(bool value) { return value ? "true" : "false"; }

std::string event_json(const Client::Event& event) {
  Fields fields{{"kind", number_text(static_cast<int>(event.kind))},
                {"call", std::to_string(event.call)},
                {"tag", std::to_string(event.tag)},
                {"outcome", quoted(to_string(event.outcome))},
                {"source", number_text(static_cast<int>(event.source))},
                {"fallback", truth(event.fallback)},
                {"attempts", std::to_string(event.attempts)}};
  for (std::size_t i = 0; i < kTexts; ++i) {
    if (!(event.*texts()[i]).empty()) fields[kTextNames[i]] = quoted_as_utf8(event.*texts()[i]);
  }
  for (const auto& [name, member] : kNumbers) {
    if (event.*member != 0) fields[name] = number_text(event.*member);
  }
  if (event.cost) fields["cost"] = number_text(*event.cost);
  return dump(fields);
}

Outcome outcome_named(std::string_view name) {
  for (std::size_t i = 0; i < kOutcomeCount; ++i) {
    if (to_string(static_cast<Outcome>(i)) == name) return static_cast<Outcome>(i);
  }
  return Outcome::server_error;
}

/// A whole number of any of its types' ranges; 0 of anything else.
template <class Number>
Number number(Json json, std::string_view name) {
  const std::string_view text = json[name].raw();
  Number value{};
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  return read.ec == std::errc() && read.ptr == text.data() + text.size() ? value : Number{};
}

std::string shown(Json value) {
  if (value.absent()) return "absent";
  std::string text = value.is(Kind::string) ? value.text() : sorted_json(value);
  if (text.size() > kLongestShown) text = text.substr(0, kLongestShown) + "...";
  return text;
}

std::vector<Json> elements(Json list) {
  std::vector<Json> all;
  list.each([&all](Json each) {
    all.push_back(each);
    return true;
  });
  return all;
}

JsonDifference difference(const std::string& path, Json expected, Json got) {
  if (!expected.absent() && !got.absent()) {
    if (sorted_json(expected) == sorted_json(got)) return {};
    if (expected.is(Kind::object) && got.is(Kind::object)) {
      for (const auto& [key, value] : expected.members()) {
        JsonDifference found = difference(path + "." + key, value, got[key]);
        if (!found.field.empty()) return found;
      }
      for (const auto& [key, value] : got.members()) {
        if (expected[key].absent()) return difference(path + "." + key, {}, value);
      }
    }
    if (expected.is(Kind::list) && got.is(Kind::list)) {
      std::vector<Json> one = elements(expected);
      std::vector<Json> other = elements(got);
      one.resize(std::max(one.size(), other.size()));
      other.resize(one.size());
      for (std::size_t i = 0; i < one.size(); ++i) {
        JsonDifference found = difference(path + "[" + std::to_string(i) + "]", one[i], other[i]);
        if (!found.field.empty()) return found;
      }
    }
  }
  return {path, shown(expected), shown(got)};
}

/// Names are a host's, and may be no UTF-8.
void put(Fields& fields, std::string_view name, std::string_view text) {
  std::string utf8;
  append_as_utf8(utf8, name);
  fields[std::move(utf8)] = quoted_as_utf8(text);
}

std::string message_json(const Client::Message& message) {
  Fields fields{{"role", number_text(static_cast<int>(message.role))}, {"content", quoted_as_utf8(message.content)}};
  std::vector<std::string> calls;
  for (const auto& made : message.tool_calls) {
    calls.push_back(dump({{"id", quoted_as_utf8(made.id)},
                          {"name", quoted_as_utf8(made.name)},
                          {"arguments", quoted_as_utf8(made.arguments)}}));
  }
  if (!calls.empty()) fields["tool_calls"] = json_list(calls);
  if (!message.tool_call_id.empty()) fields["tool_call_id"] = quoted_as_utf8(message.tool_call_id);
  return dump(fields);
}

}  // namespace

std::string session_submit(CallId call, const Client::Request& request) {
  std::vector<std::string> messages;
  for (const Client::Message& message : request.messages) messages.push_back(message_json(message));
  Fields fields{{"call", std::to_string(call)},
                {"messages", json_list(messages)},
                {"priority", quoted(to_string(request.priority))},
                {"deadline", number_text(request.deadline)},
                {"call_type", quoted_as_utf8(request.call_type)},
                {"stream", truth(request.stream)},
                {"json", truth(request.json)},
                {"json_schema", quoted_as_utf8(request.json_schema)},
                {"max_tokens", number_text(request.max_tokens)},
                {"tenant", quoted_as_utf8(request.tenant)},
                {"tag", std::to_string(request.tag)},
                {"severity", number_text(request.severity)}};
  if (request.temperature) fields["temperature"] = json_number(*request.temperature).value_or("null");
  if (request.cache) fields["cache"] = truth(*request.cache);
  std::vector<std::string> chain;
  for (const Client::Place& place : request.chain) chain.push_back(quoted_as_utf8(place.provider + "/" + place.model));
  if (!chain.empty()) fields["chain"] = json_list(chain);
  Fields placeholders, context;
  for (const auto& [name, value] : request.placeholders) put(placeholders, name, value);
  for (const auto& [scope, value] : scopes_of(request.context)) put(context, scope, value);
  if (!placeholders.empty()) fields["placeholders"] = dump(placeholders);
  if (!context.empty()) fields["context"] = dump(context);
  return dump(fields);
}

std::string session_events(const Client::Events& events) {
  std::vector<std::string> all;
  all.reserve(events.size());
  for (const Client::Event& event : events) all.push_back(event_json(event));
  return json_list(all);
}

CallId session_call(std::string_view submit) {
  const auto json = Json::parse(submit);
  return json ? number<CallId>(*json, "call") : 0;
}

bool SessionEvents::read(std::string_view json) {
  events.clear();
  texts.clear();
  const auto list = Json::parse(json);
  if (!list || !list->is(Kind::list)) return false;
  const std::vector<Json> all = elements(*list);
  texts.reserve(all.size() * kTexts);  // so that the views stay where they are
  for (const Json one : all) {
    if (!one.is(Kind::object)) return false;
    Client::Event event;
    event.kind = static_cast<Client::Event::Kind>(std::clamp(number<int>(one, "kind"), 0, 4));
    event.source = static_cast<Source>(std::clamp(number<int>(one, "source"), 0, 3));
    event.call = number<CallId>(one, "call");
    event.tag = number<std::uint64_t>(one, "tag");
    event.attempts = number<std::uint32_t>(one, "attempts");
    event.fallback = one["fallback"].boolean().value_or(false);
    if (const Json outcome = one["outcome"]; outcome.is(Kind::string)) event.outcome = outcome_named(outcome.text());
    for (std::size_t i = 0; i < kTexts; ++i) {
      const Json text = one[kTextNames[i]];
      if (!text.is(Kind::string)) continue;
      texts.push_back(text.text());
      event.*net::texts()[i] = texts.back();
    }
    for (const auto& [name, member] : kNumbers) event.*member = number<std::int64_t>(one, name);
    if (!one["cost"].absent()) event.cost = number<std::int64_t>(one, "cost");
    events.push_back(event);
  }
  return true;
}

JsonDifference json_difference(std::string_view root, std::string_view expected, std::string_view got) {
  const auto one = Json::parse(expected);
  const auto other = Json::parse(got);
  if (!one || !other) return {};
  return difference(std::string(root), *one, *other);
}

}  // namespace llmcore::net
