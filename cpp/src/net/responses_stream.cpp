#include <optional>
#include <utility>

#include "answer_headers.hpp"
#include "chat.hpp"
#include "estimate.hpp"
#include "responses.hpp"
#include "stream.hpp"
#include "usage.hpp"

namespace llmcore::net {
namespace {

using Kind = Json::Kind;

/// One event, looked through once.
struct Event {
  Json type, delta, output_index, item, response, error, code, message;

  explicit Event(Json whole) {
    whole.each_member([this](std::string_view member, Json value) {
      if (member == "type") type = value;
      if (member == "delta") delta = value;
      if (member == "output_index") output_index = value;
      if (member == "item") item = value;
      if (member == "response") response = value;
      if (member == "error") error = value;
      if (member == "code") code = value;
      if (member == "message") message = value;
      return true;
    });
  }
};

bool is_end(std::string_view type) noexcept {
  return type == "response.completed" || type == "response.incomplete" || type == "response.failed" ||
         type == "response.cancelled";
}

/// Its last event holds the whole answer, which counts if it is complete.
class ResponsesStream final : public DecodedStream {
 public:
  using DecodedStream::DecodedStream;

 private:
  bool event(std::string_view name, std::string_view data, Chunk& chunk) override {
    if (trimmed(data) == "[DONE]") {
      end();
      return false;
    }
    std::string repaired;
    const auto parsed = parse_leniently(data, repaired);
    if (!parsed || !parsed->is(Kind::object)) {
      break_off(failure_of(200, reading(), data));
      return false;
    }
    const Event told(*parsed);
    const std::string type = told.type.text();
    if (type.ends_with(".delta")) return told.delta.is(Kind::string) && piece(type, told, chunk);
    if (type == "response.output_item.added") return added(told, chunk);
    if (is_end(type) && told.response.is(Kind::object)) return last(told.response, chunk);
    if (type == "error" || told.error.says_something() || name == "error") {
      fail(told);
    } else if (told.response.is(Kind::object)) {
      answer_ = std::string(told.response.raw());
    }
    return false;
  }

  bool piece(std::string_view type, const Event& told, Chunk& chunk) {
    std::string text = told.delta.text();
    if (text.empty()) return false;
    if (type == "response.output_text.delta") {
      text_ += text;
      chunk.text = std::move(text);
    } else if (type == "response.function_call_arguments.delta" || type == "response.custom_tool_call_input.delta") {
      ToolCall call;
      call.arguments = std::move(text);
      chunk.tool_calls.push_back(calls_.add(told.output_index.whole(), std::move(call)));
    } else if (type == "response.reasoning_text.delta" || type == "response.reasoning_summary_text.delta") {
      reasoning_ += text;
      chunk.reasoning = std::move(text);
    } else if (type == "response.refusal.delta") {
      refusal_ += text;
      chunk.refusal = std::move(text);
    } else {
      return false;
    }
    return true;
  }

  bool added(const Event& told, Chunk& chunk) {
    const Json type = told.item["type"];
    const bool custom = type.is_text("custom_tool_call");
    if (!custom && !type.is_text("function_call")) return false;
    ToolCall call;
    call.id = told.item["call_id"].text();
    call.name = told.item["name"].text();
    call.arguments = arguments_of(told.item[custom ? "input" : "arguments"]);
    if (custom) call.type = "custom";
    chunk.tool_calls.push_back(calls_.add(told.output_index.whole(), std::move(call)));
    return true;
  }

  bool last(Json answer, Chunk& chunk) {
    answer_ = std::string(answer.raw());
    Decoded said = read_response(reading(), answer);
    if (auto* failure = std::get_if<Failure>(&said)) {
      break_off(std::move(*failure));
      return false;
    }
    end();
    whole_ = std::move(std::get<Reply>(said));
    chunk.finish_reason = whole_->finish_reason;
    return !chunk.finish_reason.empty();
  }

  void fail(const Event& told) {
    std::string made;
    if (!told.error.says_something()) {
      const auto or_null = [](Json value) { return value.absent() ? std::string("null") : std::string(value.raw()); };
      made = dump({{"code", or_null(told.code)}, {"message", or_null(told.message)}});
    }
    break_off(failure_of_error(200, reading(), made.empty() ? told.error : Json(made), "the stream ended in an error"));
  }

  [[nodiscard]] bool complete() const override { return false; }

  [[nodiscard]] Usage delivered(std::string_view text, std::string_view reasoning) const {
    std::int64_t tokens = output_tokens_of(text) + output_tokens_of(reasoning) + output_tokens_of(refusal_);
    for (const ToolCall& call : calls_.whole()) tokens += output_tokens_of(call.arguments);
    return delivered_usage(tokens);
  }

  [[nodiscard]] std::optional<Reply> reply() const override {
    if (whole_) {
      Reply whole = *whole_;
      // What was delivered is what the user has seen; some servers leave it out of their last event.
      if (whole.content.empty()) whole.content = text_;
      if (whole.reasoning.empty()) whole.reasoning = reasoning_;
      if (whole.refusal.empty()) whole.refusal = refusal_;
      if (whole.tool_calls.empty()) whole.tool_calls = calls_.whole();
      if (whole.usage.estimated) whole.usage = delivered(whole.content, whole.reasoning);
      return whole;
    }
    if (answer_.empty() && text_.empty() && reasoning_.empty()) return std::nullopt;
    const Json begun(answer_);
    Reply partial;
    partial.content = text_;
    partial.model = begun["model"].text();
    partial.usage = usage_of_responses(begun["usage"]);
    if (partial.usage.estimated) partial.usage = delivered(text_, reasoning_);
    partial.tool_calls = calls_.whole();
    partial.reasoning = reasoning_;
    partial.refusal = refusal_;
    partial.created = unix_of(begun["created_at"]);
    partial.request_id = request_id_of(reading().headers, reading().key);
    return partial;
  }

  std::string text_, reasoning_, refusal_;
  ToolCalls calls_;
  std::string answer_;  // JSON, as far as it has been told
  std::optional<Reply> whole_;
};

}  // namespace

std::unique_ptr<StreamDecoder> responses_stream(const Provider& provider, Headers headers, std::string_view key,
                                                WallTime now) {
  return std::make_unique<ResponsesStream>(provider, std::move(headers), key, now);
}

}  // namespace llmcore::net
