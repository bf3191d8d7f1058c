#include <utility>

#include "answer_headers.hpp"
#include "chat.hpp"
#include "estimate.hpp"
#include "stream.hpp"
#include "usage.hpp"

namespace llmcore::net {
namespace {

using Kind = Json::Kind;

/// One answer's. Of several choices the first counts, as in a whole answer; the others are billed all the same.
class ChatStream final : public DecodedStream {
 public:
  ChatStream(const Provider& provider, Headers headers, const Host& host, std::string_view key, WallTime now)
      : DecodedStream(provider, std::move(headers), key, now), host_(host) {}

 private:
  bool event(std::string_view name, std::string_view data, Chunk& chunk) override {
    if (trimmed(data) == "[DONE]") {
      end();
      return false;
    }
    std::string repaired;
    const auto parsed = parse_leniently(data, repaired);
    if (!parsed || !parsed->is(Kind::object)) {
      break_off(parsed ? failure_of_error(200, reading(), *parsed, {}) : failure_of(200, reading(), data));
      return false;
    }
    // One pass over the members, as there are many events.
    Json choices, error, usage, groq;
    parsed->each_member([&](std::string_view member, Json value) {
      if (member == "choices") choices = value;
      if (member == "error") error = value;
      if (member == "usage") usage = value;
      if (member == "x_groq") groq = value;
      if (member == "model" && model_.empty()) model_ = value.text();
      if (member == "created" && !created_) created_ = unix_of(value);
      return true;
    });
    if (usage.says_something()) usage_ = std::string(usage.raw());
    if (usage_.empty()) usage_ = std::string(groq["usage"].raw());
    if (error.says_something() || name == "error") {
      fail(error, *parsed);
      return false;
    }
    bool told = false;
    choices.each([&](Json each) {
      Chunk next;
      if (choice(each, next)) {
        chunk = std::move(next);
        told = true;
      }
      return !ended();
    });
    return told;
  }

  bool choice(Json choice, Chunk& chunk) {
    if (!choice.is(Kind::object)) return false;
    begun_ = true;
    Json delta, index, error, finish;
    choice.each_member([&](std::string_view member, Json value) {
      if (member == "delta") delta = value;
      if (member == "index") index = value;
      if (member == "error") error = value;
      if (member == "finish_reason") finish = value;
      return true;
    });
    if (index.says_something()) {
      others_ += written_in(delta);
      return false;
    }
    if (error.says_something()) {
      fail(error, {});
      return false;
    }
    chunk.finish_reason = finish.text();
    if (!chunk.finish_reason.empty()) finish_reason_ = chunk.finish_reason;
    Json reasoning;
    delta.each_member([&](std::string_view member, Json value) {
      if (member == "content") {
        if (value.is(Kind::string)) {
          chunk.text = value.text();
        } else if (value.says_something()) {
          Parts parts = joined(value);
          chunk.text = std::move(parts.text);
          if (chunk.reasoning.empty()) chunk.reasoning = std::move(parts.reasoning);
        }
      } else if (member == "reasoning_content" || (member == "reasoning" && !reasoning.says_something())) {
        if (value.says_something()) reasoning = value;
      } else if (member == "refusal") {
        chunk.refusal = value.text();
      } else if (member == "tool_calls") {
        value.each([&](Json call) {
          if (!call.is(Kind::object)) return true;
          chunk.tool_calls.push_back(calls_.add(call["index"].whole(), tool_call_of(call)));
          return true;
        });
      } else if (member == "annotations") {
        append_citations(citations_, value);
      }
      return true;
    });
    if (reasoning.says_something()) chunk.reasoning = reasoning.text();
    text_ += chunk.text;
    reasoning_ += chunk.reasoning;
    refusal_ += chunk.refusal;
    return !chunk.text.empty() || !chunk.finish_reason.empty() || !chunk.reasoning.empty() ||
           !chunk.tool_calls.empty() || !chunk.refusal.empty();
  }

  void fail(Json error, Json event) {
    break_off(failure_of_error(200, reading(), error.says_something() ? error : event, "the stream ended in an error"));
  }

  [[nodiscard]] bool complete() const override { return !finish_reason_.empty(); }

  [[nodiscard]] std::optional<Reply> reply() const override {
    if (!begun_) return std::nullopt;
    Reply reply;
    const Json usage(usage_);
    reply.usage = usage_of_chat(usage, host_.total_holds_reasoning);
    reply.content = text_;
    reply.model = model_;
    reply.finish_reason = finish_reason_;
    reply.tool_calls = calls_.whole();
    reply.reasoning = reasoning_;
    reply.reported_cost = reported_cost(usage);
    reply.created = created_;
    reply.request_id = request_id_of(reading().headers, reading().key);
    reply.refusal = refusal_;
    reply.citations = citations_;
    if (reply.usage.estimated) reply.usage = delivered_usage(output_tokens_of(reply) + output_tokens_of(others_));
    return reply;
  }

  const Host& host_;
  std::string text_, reasoning_, refusal_;
  std::string others_;  // of the other choices
  ToolCalls calls_;
  std::vector<Citation> citations_;
  std::string finish_reason_;
  std::string model_;
  std::optional<std::int64_t> created_;
  std::string usage_;  // JSON
  bool begun_ = false;
};

}  // namespace

std::unique_ptr<StreamDecoder> chat_stream(const Provider& provider, Headers headers, const Host& host,
                                           std::string_view key, WallTime now) {
  return std::make_unique<ChatStream>(provider, std::move(headers), host, key, now);
}

}  // namespace llmcore::net
