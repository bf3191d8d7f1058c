#include "messages.hpp"

#include <array>
#include <utility>

#include "answer_headers.hpp"
#include "usage.hpp"

namespace llmcore::net {

using Kind = Json::Kind;

std::string finish_reason_of(std::string stop_reason) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kWords{{
      {"end_turn", "stop"},
      {"stop_sequence", "stop"},
      {"max_tokens", "length"},
      {"model_context_window_exceeded", "length"},
      {"tool_use", "tool_calls"},
      {"refusal", "content_filter"},
  }};
  for (const auto& [theirs, ours] : kWords) {
    if (stop_reason == theirs) return std::string(ours);
  }
  return stop_reason;
}

void append_cited(std::vector<Citation>& out, Json citations) {
  citations.each([&out](Json each) {
    if (std::string url = each["url"].text(); !url.empty()) {
      out.push_back({std::move(url), each["title"].text(), each["cited_text"].text()});
    }
    return true;
  });
}

void append_found(std::vector<Citation>& out, Json results) {
  results.each([&out](Json each) {
    if (!each["type"].is_text("web_search_result")) return true;
    if (std::string url = each["url"].text(); !url.empty()) out.push_back({std::move(url), each["title"].text(), {}});
    return true;
  });
}

void take_request_id(Failure& failure, Json body, std::string_view key) {
  if (!failure.request_id.empty()) return;
  std::string told = body["request_id"].text();
  if (is_printable(told) && (key.empty() || told.find(key) == std::string::npos))
    failure.request_id = told.substr(0, 200);
}

Decoded decode_messages(const Reading& reading, std::string_view body) {
  std::string repaired;
  const auto answer = parse_leniently(body, repaired);
  if (!answer) return failure_of(200, reading, body);
  const Json content = (*answer)["content"];
  const Json error = (*answer)["error"];
  if (!content.is(Kind::list) || error.says_something()) {
    Failure failure = failure_of_error(200, reading, error, "the answer holds no content");
    take_request_id(failure, *answer, reading.key);
    return failure;
  }
  Reply reply;
  content.each([&reply](Json block) {
    const Json type = block["type"];
    if (type.is_text("text")) {
      reply.content += block["text"].text();
      append_cited(reply.citations, block["citations"]);
    } else if (type.is_text("thinking")) {
      reply.reasoning += block["thinking"].text();
    } else if (type.is_text("tool_use")) {
      const Json input = block["input"];
      ToolCall call;
      call.id = block["id"].text();
      call.name = block["name"].text();
      call.arguments = input.absent() ? "{}" : std::string(input.raw());
      reply.tool_calls.push_back(std::move(call));
    } else if (type.is_text("web_search_tool_result")) {
      append_found(reply.citations, block["content"]);
    }
    return true;
  });
  reply.model = (*answer)["model"].text();
  reply.usage = usage_of_messages((*answer)["usage"]);
  reply.finish_reason = finish_reason_of((*answer)["stop_reason"].text());
  reply.request_id = request_id_of(reading.headers, reading.key);
  return reply;
}

}  // namespace llmcore::net
