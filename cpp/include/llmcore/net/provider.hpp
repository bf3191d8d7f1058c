// What a provider is: a pair of pure functions between our values and its HTTP, and nothing else.
//
// A provider holds its configuration and no state: thread-safe, once made. Nothing here throws but for want of memory,
// whatever the bytes of an answer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "llmcore/conversation.hpp"
#include "llmcore/net/transport.hpp"
#include "llmcore/outcome.hpp"
#include "llmcore/rate_limiter.hpp"
#include "llmcore/types.hpp"

namespace llmcore::net {

/// A chat request in the OpenAI shape, before a provider encodes it. What has no fields of its own here is JSON text.
struct ChatRequest {
  using Message = ConversationMemory::Message;

  std::string model;
  std::vector<Message> messages;
  std::string messages_json;  ///< not empty: in place of `messages`, a list of them with whatever the shape allows
  bool json_format = false;
  std::optional<double> temperature;       ///< absent: not sent
  std::optional<std::int64_t> max_tokens;  ///< absent: not sent
  std::string tools;                       ///< a list; empty: none
  std::string response_format;             ///< an object; empty: none
  bool stream = false;
  std::string params;  ///< an object, whose members go to the body as they are, and win; empty: none
};

/// A function that the model wants called; `arguments` is the JSON text exactly as the model wrote it.
struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;
  std::string type = "function";
  friend bool operator==(const ToolCall&, const ToolCall&) = default;
};

/// A piece of a tool call: id and name come once, arguments in pieces that add up.
struct ToolCallDelta {
  std::int64_t index = 0;
  std::string id;
  std::string name;
  std::string arguments;
  std::string type = "function";
  friend bool operator==(const ToolCallDelta&, const ToolCallDelta&) = default;
};

/// What one event of a stream added to the answer.
struct Chunk {
  std::string text;
  std::string reasoning;
  std::vector<ToolCallDelta> tool_calls;
  std::string refusal;
  std::string finish_reason;
  friend bool operator==(const Chunk&, const Chunk&) = default;
};

/// A page that the model quotes or that its provider's search found; `snippet` is the words that were quoted.
struct Citation {
  std::string url;
  std::string title;
  std::string snippet;
  friend bool operator==(const Citation&, const Citation&) = default;
};

/// An answer, decoded.
struct Reply {
  std::string content;
  std::string model;
  Usage usage;                ///< `estimated`: the provider did not say
  std::string finish_reason;  ///< in Chat Completions' words: stop, length, tool_calls, content_filter
  std::vector<ToolCall> tool_calls;
  std::string reasoning;
  std::optional<NanoUsd> reported_cost;  ///< what the provider itself says that it cost
  std::optional<std::int64_t> created;   ///< Unix seconds
  std::string request_id;                ///< empty: not said
  std::string refusal;                   ///< why the model would not answer, where that comes apart
  std::vector<Citation> citations;
};

/// A refusal or a broken exchange, decoded. `message` never holds a key.
struct Failure {
  Outcome outcome = Outcome::server_error;
  std::string message;
  Duration retry_after = 0;          ///< 0: the provider did not say
  std::optional<bool> should_retry;  ///< x-should-retry, where sent
  std::string request_id;
  int status = 0;                        ///< 0: there was no answer
  std::string code;                      ///< the provider's own: "model_not_found"
  std::shared_ptr<const Reply> partial;  ///< what a stream had delivered before it broke
};

using Decoded = std::variant<Reply, Failure>;

/// Of one stream, and for one thread. Any cutting of the same bytes gives the same text and the same end; a server that
/// answers a request for a stream in one piece is understood as well.
class StreamDecoder {
 public:
  virtual ~StreamDecoder() = default;
  /// Appends what these bytes complete.
  virtual void feed(std::string_view bytes, std::vector<Chunk>& chunks) = 0;
  /// The provider has said that this is all, or that it failed.
  [[nodiscard]] virtual bool ended() const noexcept = 0;
  /// The whole answer, once the bytes have come to their end; a Failure with `partial` if that was too early.
  [[nodiscard]] virtual Decoded finish() = 0;
};

class Provider {
 public:
  Provider() = default;
  Provider(const Provider&) = delete;
  Provider& operator=(const Provider&) = delete;
  virtual ~Provider() = default;

  /// How chains, prices, limits and the ledger call it.
  [[nodiscard]] virtual std::string_view name() const noexcept = 0;
  /// Of a place in a chain that names no model.
  [[nodiscard]] virtual std::string_view default_model() const noexcept = 0;
  /// It answers inside this process and costs nothing: answer() instead of HTTP.
  [[nodiscard]] virtual bool local() const noexcept { return false; }
  /// It charges nothing: what has no price of its own costs 0 there, and elsewhere an unknown sum.
  [[nodiscard]] virtual bool free() const noexcept { return local(); }

  /// The HTTP request that asks it; equal requests give equal bodies, which are the cache's keys. A Failure (auth,
  /// bad_request): the key or the URL is missing, or the request cannot be said in this API.
  [[nodiscard]] virtual std::variant<HttpRequest, Failure> encode(const ChatRequest& request) const = 0;
  /// What an answer says: a function of its arguments alone, as cached answers are decoded again.
  [[nodiscard]] virtual Decoded decode(int status, const Headers& headers, std::string_view body) const = 0;
  /// What reads the answer to a request whose `stream` is true, for status 200.
  [[nodiscard]] virtual std::unique_ptr<StreamDecoder> stream_decoder(const Headers& headers) const = 0;
  /// What the headers of any answer say about the limits.
  [[nodiscard]] virtual std::optional<RateObservation> observe(const Headers& headers) const;
  /// Of a local provider.
  [[nodiscard]] virtual Decoded answer(const ChatRequest& request, std::string_view call_type) const;
};

}  // namespace llmcore::net
