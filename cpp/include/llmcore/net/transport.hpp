// What carries HTTP for the client: libcurl by default, or the host's own, as many engines bring one.
//
// One thread at a time uses a transport, the client's worker, but for wakeup(), which any thread may call. Nothing here
// throws but for want of memory, and nothing decides: no retry, no redirect, no cookie, no cache.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llmcore/outcome.hpp"
#include "llmcore/types.hpp"

namespace llmcore::net {

/// In their order. Those of an answer have lower-case names.
using Headers = std::vector<std::pair<std::string, std::string>>;

/// The value of the first header of that (lower-case) name; empty: there is none.
[[nodiscard]] std::string_view header(const Headers& headers, std::string_view name) noexcept;

/// What a provider wants sent. Its headers hold the key and its body the prompt: never show them.
struct HttpRequest {
  std::string method = "POST";
  std::string url;
  Headers headers;
  std::string body;
};

/// There was no complete answer.
struct TransportError {
  Outcome outcome = Outcome::connection;  ///< timeout, connection, server_error (too long), bad_request (no URL) or
                                          ///< cancelled (the transport is closed)
  std::string message;                    ///< names host and port, and nothing else of the request
};

using TransferId = std::uint64_t;

/// Who is told of a transfer, from within poll(). It may call start() and abort() of the same transport.
class TransferSink {
 public:
  virtual ~TransferSink() = default;
  /// The answer begins. The headers may be taken.
  virtual void on_head(TransferId transfer, int status, Headers&& headers) = 0;
  /// The next bytes of the body.
  virtual void on_data(TransferId transfer, std::string_view bytes) = 0;
  /// It is over: whole, or with an error. Nothing comes after it.
  virtual void on_done(TransferId transfer, std::optional<TransportError> error) = 0;
};

class Transport {
 public:
  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  virtual ~Transport() = default;

  /// Sends; gives up after `timeout`. Whatever comes of it, an error at once included, is told from within poll().
  virtual void start(TransferId transfer, HttpRequest request, Duration timeout, TransferSink& sink) = 0;
  /// Gives a transfer up: nothing more is told of it. Does nothing when it is over.
  virtual void abort(TransferId transfer) = 0;
  /// Does what can be done; if there is nothing, waits for something until `wait` is over or wakeup() is called.
  virtual void poll(Duration wait) = 0;
  /// Ends a poll() that waits, or the next one. From any thread, and never waits.
  virtual void wakeup() noexcept = 0;
};

}  // namespace llmcore::net
