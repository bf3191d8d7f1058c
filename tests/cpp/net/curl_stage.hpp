// libcurl's transport, a server on the loopback, and what the transport tells.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "llmcore/io/clock.hpp"
#include "llmcore/net/curl_transport.hpp"
#include "loopback_server.hpp"

namespace llmcore::net {

struct Told {
  int status = 0;
  Headers headers;
  std::string data;
  std::vector<std::string> pieces;
  bool done = false;
  std::optional<TransportError> error;
};

class Listener final : public TransferSink {
 public:
  std::map<TransferId, Told> all;
  std::function<void(TransferId)> at_head, at_data, at_done;

  void on_head(TransferId id, int status, Headers&& headers) override {
    EXPECT_FALSE(all[id].done);
    all[id].status = status;
    all[id].headers = std::move(headers);
    if (at_head) at_head(id);
  }
  void on_data(TransferId id, std::string_view bytes) override {
    EXPECT_NE(all[id].status, 0);
    EXPECT_FALSE(all[id].done);
    all[id].data += bytes;
    all[id].pieces.emplace_back(bytes);
    if (at_data) at_data(id);
  }
  void on_done(TransferId id, std::optional<TransportError> error) override {
    EXPECT_FALSE(all[id].done);
    all[id].done = true;
    all[id].error = std::move(error);
    if (at_done) at_done(id);
  }
};

class CurlStage : public ::testing::Test {
 protected:
  static CurlOptions options() {
    CurlOptions made;
    made.proxy = "";
    return made;
  }
  static HttpRequest asking(std::string url, std::string body = "{}") {
    HttpRequest request;
    request.url = std::move(url);
    request.headers = {{"Authorization", "Bearer sk-secret"}, {"Content-Type", "application/json"}};
    request.body = std::move(body);
    return request;
  }

  /// Lets the transport work until something is so.
  template <typename Condition>
  void until(Condition&& condition, Duration most = 5 * kSecond) {
    const Instant end = io::mono() + most;
    while (!condition()) {
      ASSERT_LT(io::mono(), end) << "it never came to that";
      transport_.poll(2 * kMillisecond);
    }
  }
  Peer accepted() {
    Peer peer;
    until([&] { return static_cast<bool>(peer = server_.accept()); });
    return peer;
  }
  /// Starts a call to the server, and reads what arrives there.
  Peer asked(TransferId id, HttpRequest request, Duration timeout = 5 * kSecond) {
    transport_.start(id, std::move(request), timeout, told_);
    Peer peer = accepted();
    until([&] { return peer.reads_request(); });
    return peer;
  }
  Told& done(TransferId id) {
    until([&] { return told_.all[id].done; });
    return told_.all[id];
  }
  void expect_error(TransferId id, Outcome outcome, const std::string& part) {
    const Told& told = done(id);
    ASSERT_TRUE(told.error);
    EXPECT_EQ(to_string(told.error->outcome), to_string(outcome)) << told.error->message;
    EXPECT_THAT(told.error->message, ::testing::HasSubstr(part));
    EXPECT_THAT(told.error->message, ::testing::Not(::testing::HasSubstr("secret")));
    EXPECT_THAT(told.error->message, ::testing::Not(::testing::HasSubstr("completions")));
    EXPECT_EQ(transport_.in_flight(), 0U);
  }
  /// A connection at the most, on which no request comes: whether one is sent again is the engine's to say.
  void expect_nothing_sent() {
    Peer again = server_.accept();
    if (!again) return;
    until([&] { return again.sees_end(); });
    EXPECT_EQ(again.take(), "");
  }

  LoopbackServer server_;
  Listener told_;
  CurlTransport transport_{options()};
};

}  // namespace llmcore::net
