// HTTP by libcurl: many transfers on one thread, none of which is ever waited for but in poll().
//
// What is fixed: TLS is verified, by certificate and by name, from TLS 1.2 on; redirects are not followed, so that a key
// goes to the configured host and nowhere else; http and https are the only protocols; no cookie, no .netrc, no user
// name in a URL. Connections are kept and shared, HTTP/2 is taken where TLS offers it, answers may be compressed, and
// what they come to is bounded. A request is sent once: libcurl's own second try, where a kept connection dies under a
// request, is off (from libcurl 7.80 on). Every fault of the network is one TransportError, whose message names the host
// and nothing else of the request.
//
// Threads: see Transport. Names are resolved on threads of libcurl's own, and nothing here joins them: poll(), abort()
// and the destructor never wait for a name server, a socket or a server.
//
// Global state: the first transport calls curl_global_init(), which is thread-safe, and nobody ever calls
// curl_global_cleanup(). A host that uses libcurl itself may have called it before; it may call it again.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "llmcore/net/transport.hpp"
#include "llmcore/types.hpp"

namespace llmcore::net {

struct CurlOptions {
  Duration connect_timeout = 10 * kSecond;  ///< for name, connection and TLS; the transfer's own timeout may be shorter
  Duration stall_timeout = 30 * kSecond;    ///< without a byte, once the answer has begun; 0: for as long as it likes
  std::size_t max_body = std::size_t{64} << 20;  ///< bytes of one answer, after decompression
  std::size_t max_connections = 0;               ///< at once; 0: any number
  /// Where to send everything through, "http://proxy:3128"; "": nowhere; not said: as http_proxy, https_proxy and
  /// no_proxy in the environment say.
  std::optional<std::string> proxy;
  std::string ca_file;  ///< PEM; empty: the authorities that the system trusts
  bool http2 = true;    ///< where the server offers it over TLS
};

class CurlTransport final : public Transport {
 public:
  /// Throws std::runtime_error where libcurl cannot be used.
  explicit CurlTransport(CurlOptions options = {});
  ~CurlTransport() override;

  void start(TransferId transfer, HttpRequest request, Duration timeout, TransferSink& sink) override;
  void abort(TransferId transfer) override;
  void poll(Duration wait) override;
  void wakeup() noexcept override;

  /// Transfers that are not over.
  [[nodiscard]] std::size_t in_flight() const noexcept;
  /// Whether this libcurl resolves names without blocking (threads or c-ares). Where it does not, a slow name server
  /// holds up the thread that calls poll().
  [[nodiscard]] static bool resolves_in_background() noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace llmcore::net
