#include "responses.hpp"

#include <utility>

#include "answer_headers.hpp"
#include "chat.hpp"
#include "usage.hpp"

namespace llmcore::net {
namespace {

using Kind = Json::Kind;

/// The parts of an answer that count.
struct Answer {
  Json output, status, model, usage, created_at, error, incomplete_details;

  explicit Answer(Json whole) {
    whole.each_member([this](std::string_view member, Json value) {
      if (member == "output") output = value;
      if (member == "status") status = value;
      if (member == "model") model = value;
      if (member == "usage") usage = value;
      if (member == "created_at") created_at = value;
      if (member == "error") error = value;
      if (member == "incomplete_details") incomplete_details = value;
      return true;
    });
  }
};

/// Whether `parts` had any; their text goes to `out`.
bool append_thoughts(std::string& out, Json parts) {
  bool any = false;
  parts.each([&](Json part) {
    if (!part.is(Kind::object)) return true;
    out += part["text"].text();
    any = true;
    return true;
  });
  return any;
}

void append_sources(std::vector<Citation>& out, Json sources) {
  sources.each([&out](Json each) {
    if (std::string url = each["url"].text(); !url.empty()) {
      out.push_back({std::move(url), each["title"].text(), each["snippet"].text()});
    }
    return true;
  });
}

ToolCall call_of(Json item, bool custom) {
  ToolCall call;
  call.id = item["call_id"].text();
  call.name = item["name"].text();
  call.arguments = arguments_of(item[custom ? "input" : "arguments"]);
  if (custom) call.type = "custom";
  return call;
}

void read_item(Json item, Reply& reply) {
  const Json type = item["type"];
  if (type.is_text("message")) {
    item["content"].each([&reply](Json part) {
      const Json kind = part["type"];
      if (kind.is_text("output_text")) {
        reply.content += part["text"].text();
        append_citations(reply.citations, part["annotations"]);
      } else if (kind.is_text("refusal")) {
        reply.refusal += part["refusal"].text();
      }
      return true;
    });
  } else if (type.is_text("function_call")) {
    reply.tool_calls.push_back(call_of(item, false));
  } else if (type.is_text("custom_tool_call")) {
    reply.tool_calls.push_back(call_of(item, true));
  } else if (type.is_text("reasoning")) {
    if (!append_thoughts(reply.reasoning, item["content"])) append_thoughts(reply.reasoning, item["summary"]);
  } else if (type.is_text("web_search_call")) {
    append_sources(reply.citations, item["action"]["sources"]);
  }
}

std::string finish_reason(const std::string& status, Json details, bool called) {
  if (status == "incomplete") {
    std::string reason = details["reason"].text();
    if (reason == "max_output_tokens" || reason == "max_tokens") return "length";
    return reason.empty() ? status : reason;
  }
  if (status == "queued" || status == "in_progress") return status;  // of a call in the background: not its answer yet
  return called ? "tool_calls" : "stop";
}

Reply reply_of(const Reading& reading, const Answer& answer, const std::string& status) {
  Reply reply;
  answer.output.each([&reply](Json item) {
    read_item(item, reply);
    return true;
  });
  reply.model = answer.model.text();
  reply.usage = usage_of_responses(answer.usage);
  reply.finish_reason = finish_reason(status, answer.incomplete_details, !reply.tool_calls.empty());
  reply.reported_cost = reported_cost(answer.usage);
  reply.created = unix_of(answer.created_at);
  reply.request_id = request_id_of(reading.headers, reading.key);
  return reply;
}

}  // namespace

Decoded read_response(const Reading& reading, Json whole) {
  const Answer answer(whole);
  const std::string status = answer.status.text();
  const bool failed = status == "failed" || status == "cancelled";
  if (answer.output.is(Kind::list) && !answer.error.says_something() && !failed) {
    return reply_of(reading, answer, status);
  }
  Failure broken = failure_of_error(200, reading, answer.error,
                                    failed ? "the response is " + status : std::string("the answer holds no output"));
  if (answer.output.is(Kind::list) && answer.output.says_something() && answer.usage.says_something()) {
    broken.partial = std::make_shared<const Reply>(reply_of(reading, answer, status));
  }
  return broken;
}

Decoded decode_responses(const Reading& reading, std::string_view body) {
  std::string repaired;
  const auto answer = parse_leniently(body, repaired);
  return answer ? read_response(reading, *answer) : failure_of(200, reading, body);
}

}  // namespace llmcore::net
