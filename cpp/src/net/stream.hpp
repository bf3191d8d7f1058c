// What the decoders of all APIs' streams have in common: they say what one event means, this what their sequence does.
//
// Any cutting of the same bytes gives the same text and the same end. A server that answers a request for a stream in
// one piece is understood as well: it has no chunks, and its end is that answer.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "failures.hpp"
#include "llmcore/net/provider.hpp"
#include "sse.hpp"

namespace llmcore::net {

class DecodedStream : public StreamDecoder {
 public:
  /// `provider` decodes an answer that came in one piece, and lives as long as this.
  DecodedStream(const Provider& provider, Headers headers, std::string_view key, WallTime now,
                EventSplitter::Framing framing = EventSplitter::Framing::events)
      : provider_(provider), headers_(std::move(headers)), key_(key), now_(now), framing_(framing), events_(framing) {}

  void feed(std::string_view bytes, std::vector<Chunk>& chunks) final;
  [[nodiscard]] bool ended() const noexcept final { return ended_ || failure_.has_value(); }
  [[nodiscard]] Decoded finish() final;

 protected:
  /// Takes in one event; may call end() or break_off(). Whether `chunk` holds something.
  virtual bool event(std::string_view name, std::string_view data, Chunk& chunk) = 0;
  /// The answer so far; nothing if nothing of it has come.
  [[nodiscard]] virtual std::optional<Reply> reply() const = 0;
  /// Whether what has come is a whole answer although nobody said so.
  [[nodiscard]] virtual bool complete() const = 0;

  void end() noexcept { ended_ = true; }
  /// Ends the stream with an error; the first one counts.
  void break_off(Failure failure);
  [[nodiscard]] Reading reading() const noexcept { return {headers_, key_, now_}; }

 private:
  /// Whether this is a stream: an answer in one piece begins with a brace (as lines do as well), or as a page of HTML does.
  bool decide(std::string_view& bytes);
  [[nodiscard]] Decoded finished();

  const Provider& provider_;
  Headers headers_;
  std::string key_;
  WallTime now_;
  EventSplitter::Framing framing_;
  EventSplitter events_;
  std::string seen_;  // what came before it was clear which it is; or the answer in one piece
  std::size_t size_ = 0;
  bool decided_ = false;
  bool in_one_piece_ = false;
  bool ended_ = false;
  std::optional<Failure> failure_;
  std::optional<Decoded> result_;
};

/// The tool calls of one answer, put together from their pieces.
class ToolCalls {
 public:
  /// Takes in a piece. Without an index it belongs to the call of that id, else to the last one.
  ToolCallDelta add(std::optional<std::int64_t> index, ToolCall piece);
  [[nodiscard]] bool knows(std::optional<std::int64_t> index) const noexcept;
  [[nodiscard]] const std::vector<ToolCall>& whole() const noexcept { return calls_; }

 private:
  struct Place {
    std::optional<std::int64_t> index;
    std::string id;
    std::size_t at;
  };
  std::vector<ToolCall> calls_;
  std::vector<Place> places_;
};

}  // namespace llmcore::net
