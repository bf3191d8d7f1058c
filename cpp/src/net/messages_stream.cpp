#include <algorithm>
#include <utility>

#include "answer_headers.hpp"
#include "estimate.hpp"
#include "messages.hpp"
#include "stream.hpp"
#include "usage.hpp"

namespace llmcore::net {
namespace {

using Kind = Json::Kind;

class MessagesStream final : public DecodedStream {
 public:
  using DecodedStream::DecodedStream;

 private:
  bool event(std::string_view name, std::string_view data, Chunk& chunk) override {
    std::string repaired;
    const auto parsed = parse_leniently(data, repaired);
    if (!parsed || !parsed->is(Kind::object)) {
      break_off(failure_of(200, reading(), data));
      return false;
    }
    Json type, delta, block, message, usage, error, index;
    parsed->each_member([&](std::string_view member, Json value) {
      if (member == "type") type = value;
      if (member == "delta") delta = value;
      if (member == "content_block") block = value;
      if (member == "message") message = value;
      if (member == "usage") usage = value;
      if (member == "error") error = value;
      if (member == "index") index = value;
      return true;
    });
    if (type.is_text("content_block_delta") && delta.is(Kind::object)) return piece(index.whole(), delta, chunk);
    if (type.is_text("content_block_start") && block.is(Kind::object)) return start(index.whole(), block, chunk);
    if (type.is_text("message_start") && message.is(Kind::object)) {
      begun_ = true;
      model_ = message["model"].text();
      usage_ = std::string(message["usage"].raw());
    } else if (type.is_text("message_delta")) {
      if (usage.is(Kind::object)) counted_ = std::string(usage.raw());
      if (const Json reason = delta["stop_reason"]; reason.is(Kind::string)) {
        finish_reason_ = finish_reason_of(reason.text());
        chunk.finish_reason = finish_reason_;
        return true;
      }
    } else if (type.is_text("message_stop")) {
      end();
    } else if (type.is_text("error") || error.says_something() || name == "error") {
      Failure failure = failure_of_error(200, reading(), error, "the stream ended in an error");
      take_request_id(failure, *parsed, reading().key);
      break_off(std::move(failure));
    }
    return false;
  }

  bool start(std::optional<std::int64_t> index, Json block, Chunk& chunk) {
    begun_ = true;
    const Json type = block["type"];
    if (type.is_text("tool_use")) {
      ToolCall call;
      call.id = block["id"].text();
      call.name = block["name"].text();
      chunk.tool_calls.push_back(calls_.add(index, std::move(call)));
      return true;
    }
    if (type.is_text("text")) {
      append_cited(citations_, block["citations"]);
      chunk.text = block["text"].text();
    } else if (type.is_text("thinking")) {
      chunk.reasoning = block["thinking"].text();
    } else if (type.is_text("web_search_tool_result")) {
      append_found(citations_, block["content"]);
    }
    text_ += chunk.text;
    reasoning_ += chunk.reasoning;
    return !chunk.text.empty() || !chunk.reasoning.empty();
  }

  bool piece(std::optional<std::int64_t> index, Json delta, Chunk& chunk) {
    const Json type = delta["type"];
    if (type.is_text("text_delta")) {
      chunk.text = delta["text"].text();
    } else if (type.is_text("thinking_delta")) {
      chunk.reasoning = delta["thinking"].text();
    } else if (type.is_text("input_json_delta")) {
      ToolCall call;
      call.arguments = delta["partial_json"].text();
      // Else of a tool that Anthropic runs itself.
      if (!call.arguments.empty() && calls_.knows(index))
        chunk.tool_calls.push_back(calls_.add(index, std::move(call)));
    } else if (type.is_text("citations_delta")) {
      const Json citation = delta["citation"];
      if (std::string url = citation["url"].text(); !url.empty()) {
        citations_.push_back({std::move(url), citation["title"].text(), citation["cited_text"].text()});
      }
    }
    text_ += chunk.text;
    reasoning_ += chunk.reasoning;
    return !chunk.text.empty() || !chunk.reasoning.empty() || !chunk.tool_calls.empty();
  }

  [[nodiscard]] bool complete() const override { return !finish_reason_.empty(); }

  [[nodiscard]] std::optional<Reply> reply() const override {
    if (!begun_) return std::nullopt;
    Reply reply;
    // The figures of the end are those of the whole, and stand over those of the beginning.
    reply.usage = usage_of_messages(Json(usage_), Json(counted_));
    std::int64_t tokens = output_tokens_of(text_) + output_tokens_of(reasoning_);
    reply.tool_calls = calls_.whole();
    for (ToolCall& call : reply.tool_calls) {
      if (call.arguments.empty()) call.arguments = "{}";
      tokens += output_tokens_of(call.arguments);
    }
    if (counted_.empty()) {
      // It broke: its beginning counted the prompt, and of the answer no more than its first tokens.
      if (reply.usage.output_tokens() < std::max<std::int64_t>(tokens, 1)) {
        reply.usage.output_text = std::max<std::int64_t>(tokens, 1);
        reply.usage.reasoning = 0;
      }
      reply.usage.estimated = true;
    }
    reply.content = text_;
    reply.model = model_;
    reply.finish_reason = finish_reason_;
    reply.reasoning = reasoning_;
    reply.request_id = request_id_of(reading().headers, reading().key);
    reply.citations = citations_;
    return reply;
  }

  std::string text_, reasoning_;
  ToolCalls calls_;
  std::vector<Citation> citations_;
  std::string model_;
  std::string finish_reason_;
  std::string usage_;    // JSON, of the beginning
  std::string counted_;  // JSON, of the end
  bool begun_ = false;
};

}  // namespace

std::unique_ptr<StreamDecoder> messages_stream(const Provider& provider, Headers headers, std::string_view key,
                                               WallTime now) {
  return std::make_unique<MessagesStream>(provider, std::move(headers), key, now);
}

}  // namespace llmcore::net
