#include "chat.hpp"

#include <utility>

#include "answer_headers.hpp"
#include "estimate.hpp"
#include "usage.hpp"

namespace llmcore::net {
namespace {

using Kind = Json::Kind;

/// The first of these that says something.
Json either(Json a, Json b) { return a.says_something() ? a : b; }

}  // namespace

Decoded decode_chat(const Reading& reading, std::string_view body, const Host& host) {
  std::string repaired;
  const auto answer = parse_leniently(body, repaired);
  if (!answer) return failure_of(200, reading, body);
  const Json choice = (*answer)["choices"].first();
  const Json message = choice["message"];
  const Json refused = choice["error"];
  Json content = message["content"];
  if (!message.is(Kind::object) || (refused.says_something() && !content.says_something())) {
    return failure_of_error(200, reading, either((*answer)["error"], refused), "the answer holds no message");
  }
  Reply reply;
  Json reasoning = either(message["reasoning_content"], message["reasoning"]);
  if (content.is(Kind::string)) {
    reply.content = content.text();
  } else {
    Parts parts = joined(content);
    reply.content = std::move(parts.text);
    if (!reasoning.says_something()) reply.reasoning = std::move(parts.reasoning);
  }
  if (reasoning.says_something()) reply.reasoning = reasoning.text();
  reply.model = (*answer)["model"].text();
  const Json usage = (*answer)["usage"];
  reply.usage = usage_of_chat(usage, host.total_holds_reasoning);
  reply.reported_cost = reported_cost(usage);
  reply.finish_reason = choice["finish_reason"].text();
  message["tool_calls"].each([&reply](Json call) {
    if (call.is(Kind::object)) reply.tool_calls.push_back(tool_call_of(call));
    return true;
  });
  reply.created = unix_of((*answer)["created"]);
  reply.request_id = request_id_of(reading.headers, reading.key);
  reply.refusal = message["refusal"].text();
  append_citations(reply.citations, message["annotations"]);
  if (reply.usage.estimated) {
    std::string others;
    int count = 0;
    (*answer)["choices"].each([&](Json each) {
      if (count++ > 0) others += written_in(each["message"]);
      return true;
    });
    if (count > 1) reply.usage = delivered_usage(output_tokens_of(reply) + output_tokens_of(others));
  }
  return reply;
}

std::string written_in(Json message) {
  Parts parts;
  if (const Json content = message["content"]; content.is(Kind::string)) {
    parts.text = content.text();
  } else {
    parts = joined(content);
  }
  const std::string reasoning = either(message["reasoning_content"], message["reasoning"]).text();
  parts.text += (reasoning.empty() ? parts.reasoning : reasoning) + message["refusal"].text();
  message["tool_calls"].each([&parts](Json call) {
    if (call.is(Kind::object)) parts.text += tool_call_of(call).arguments;
    return true;
  });
  return parts.text;
}

Parts joined(Json content) {
  Parts all;
  content.each([&all](Json part) {
    if (part.is(Kind::string)) {
      all.text += part.text();
    } else if (const Json type = part["type"]; type.is_text("text") || type.is_text("output_text")) {
      all.text += part["text"].text();
    } else if (type.is_text("thinking")) {
      const Json thought = part["thinking"];
      all.reasoning += thought.is(Kind::string) ? thought.text() : joined(thought).text;
    }
    return true;
  });
  return all;
}

void append_citations(std::vector<Citation>& out, Json annotations) {
  annotations.each([&out](Json each) {
    if (!each["type"].is_text("url_citation")) return true;
    const Json inner = each["url_citation"];
    const Json told = inner.is(Kind::object) ? inner : each;
    if (std::string url = told["url"].text(); !url.empty()) {
      out.push_back({std::move(url), told["title"].text(), told["content"].text()});
    }
    return true;
  });
}

std::optional<std::int64_t> unix_of(Json value) {
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  if (!value.is(Kind::number)) return std::nullopt;
  auto seconds = value.scaled(3);  // a fraction counts down
  if (!seconds || *seconds <= 0 || *seconds >= kMost * 1000) return std::nullopt;
  return *seconds / 1000;
}

std::string arguments_of(Json value) {
  if (value.is(Kind::string)) return value.text();
  std::string text;
  if (!value.absent() && !value.is(Kind::null)) append_compact(text, value);
  return text;
}

ToolCall tool_call_of(Json call) {
  ToolCall made;
  made.id = call["id"].text();
  if (std::string type = call["type"].text(); !type.empty()) made.type = std::move(type);
  const Json called = either(call["function"], call[made.type]);
  made.name = called["name"].text();
  const Json arguments = called["arguments"];
  made.arguments = arguments_of(arguments.absent() ? called["input"] : arguments);
  return made;
}

}  // namespace llmcore::net
