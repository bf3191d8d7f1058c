#include "ollama.hpp"

#include <algorithm>
#include <utility>

#include "answer_headers.hpp"
#include "estimate.hpp"
#include "stream.hpp"
#include "usage.hpp"

namespace llmcore::net {
namespace {

using Kind = Json::Kind;

std::optional<std::int64_t> count(Json value) {
  constexpr std::int64_t kMost = std::int64_t{1} << 53;
  const auto whole = value.whole();
  return whole && *whole >= 0 && *whole < kMost ? whole : std::nullopt;
}

/// What one or many lines add up to.
class Said {
 public:
  /// Takes in a line, of /api/chat (message) or /api/generate (response). Whether `chunk` holds something.
  bool add(Json line, Chunk& chunk) {
    last_ = std::string(line.raw());
    const Json message = line["message"];
    const bool chat = message.is(Kind::object);
    chunk.text = chat ? message["content"].text() : line["response"].text();
    chunk.reasoning = (chat ? message : line)["thinking"].text();
    text_ += chunk.text;
    reasoning_ += chunk.reasoning;
    message["tool_calls"].each([&](Json call) {
      if (call["function"].is(Kind::object)) chunk.tool_calls.push_back(take(call));
      return true;
    });
    done_ = line["done"].boolean().value_or(false);
    if (done_) chunk.finish_reason = finish_reason();
    return !chunk.text.empty() || !chunk.reasoning.empty() || !chunk.tool_calls.empty() || !chunk.finish_reason.empty();
  }

  [[nodiscard]] bool begun() const noexcept { return !last_.empty(); }
  [[nodiscard]] bool done() const noexcept { return done_; }

  [[nodiscard]] Reply whole(const Reading& reading) const {
    const Json last(last_);
    Reply reply;
    reply.content = text_;
    reply.reasoning = reasoning_;
    reply.tool_calls = calls_;
    reply.model = last["model"].text();
    if (done_) reply.finish_reason = finish_reason();
    const std::int64_t prompt = count(last["prompt_eval_count"]).value_or(0);
    const std::int64_t written = count(last["eval_count"]).value_or(0);
    if (prompt != 0 || written != 0) {
      reply.usage.input_uncached = prompt;
      reply.usage.output_text = written;
    } else {
      std::int64_t tokens = output_tokens_of(text_) + output_tokens_of(reasoning_);
      for (const ToolCall& call : calls_) tokens += output_tokens_of(call.arguments);
      reply.usage = delivered_usage(tokens);
    }
    if (const auto at = moment_of(last["created_at"].text())) reply.created = *at / kSecond;
    reply.request_id = request_id_of(reading.headers, reading.key);
    return reply;
  }

 private:
  ToolCallDelta take(Json call) {
    const Json function = call["function"];
    const Json arguments = function["arguments"];
    ToolCall made;
    made.id = call["id"].text();
    if (made.id.empty()) made.id = "call_" + std::to_string(calls_.size());
    made.name = function["name"].text();
    made.arguments = "{}";
    if (arguments.says_something()) made.arguments = compact_json(arguments);
    calls_.push_back(made);
    return {static_cast<std::int64_t>(calls_.size()) - 1, made.id, made.name, made.arguments, made.type};
  }

  /// In OpenAI's words, which Ollama shares but for calls.
  [[nodiscard]] std::string finish_reason() const {
    return calls_.empty() ? Json(last_)["done_reason"].text() : "tool_calls";
  }

  std::string text_, reasoning_;
  std::vector<ToolCall> calls_;
  std::string last_;  // JSON, the last line
  bool done_ = false;
};

class NativeStream final : public DecodedStream {
 public:
  NativeStream(const Provider& provider, Headers headers, std::string_view key, WallTime now)
      : DecodedStream(provider, std::move(headers), key, now, EventSplitter::Framing::lines) {}

 private:
  bool event(std::string_view, std::string_view data, Chunk& chunk) override {
    std::string repaired;
    const auto line = parse_leniently(data, repaired);
    if (!line) {
      break_off(failure_of(200, reading(), data));
      return false;
    }
    const Json error = (*line)["error"];
    if (error.says_something() || !(*line)["done"].boolean()) {
      break_off(
          failure_of_error(200, reading(), error.says_something() ? error : *line, "the stream ended in an error"));
      return false;
    }
    const bool told = said_.add(*line, chunk);
    if (said_.done()) end();
    return told;
  }

  [[nodiscard]] bool complete() const override { return false; }

  [[nodiscard]] std::optional<Reply> reply() const override {
    return said_.begun() ? std::optional(said_.whole(reading())) : std::nullopt;
  }

  Said said_;
};

/// Whichever it is: its first byte says.
class EitherStream final : public StreamDecoder {
 public:
  EitherStream(MakeDecoder native, MakeDecoder compatible)
      : native_(std::move(native)), compatible_(std::move(compatible)) {}

  void feed(std::string_view bytes, std::vector<Chunk>& chunks) override {
    if (!inner_) {
      bytes.remove_prefix(std::min(bytes.find_first_not_of(" \t\r\n"), bytes.size()));
      if (bytes.empty()) return;
      inner_ = bytes.front() == '{' ? native_() : compatible_();
    }
    inner_->feed(bytes, chunks);
  }

  [[nodiscard]] bool ended() const noexcept override { return inner_ && inner_->ended(); }

  [[nodiscard]] Decoded finish() override {
    if (!inner_) inner_ = compatible_();
    return inner_->finish();
  }

 private:
  MakeDecoder native_, compatible_;
  std::unique_ptr<StreamDecoder> inner_;
};

}  // namespace

std::optional<Decoded> decode_ollama(const Reading& reading, std::string_view body) {
  std::string repaired;
  const auto answer = parse_leniently(body, repaired);
  if (!answer) return std::nullopt;
  const auto done = (*answer)["done"].boolean();
  if (!done) return std::nullopt;
  if (!*done) return failure_of_error(200, reading, (*answer)["error"], "the answer is not whole");
  Said said;
  Chunk chunk;
  (void)said.add(*answer, chunk);
  return said.whole(reading);
}

std::unique_ptr<StreamDecoder> ollama_stream(const Provider& provider, Headers headers, std::string_view key,
                                             WallTime now, MakeDecoder compatible) {
  auto native = [&provider, headers = std::move(headers), key = std::string(key), now] {
    return std::make_unique<NativeStream>(provider, headers, key, now);
  };
  return std::make_unique<EitherStream>(std::move(native), std::move(compatible));
}

}  // namespace llmcore::net
