// libcurl's transport against a server on the loopback: what is sent, what is told, and what is refused.
#include <thread>

#include "curl_stage.hpp"

namespace llmcore::net {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CurlTransportTest : public CurlStage {};

TEST_F(CurlTransportTest, SendsTheRequestAsItIsAndTellsTheAnswerAsItIs) {
  Peer peer = asked(7, asking(server_.url("/v1/x?y=1"), R"({"model":"m"})"));
  const std::string sent = peer.take();
  EXPECT_TRUE(sent.starts_with("POST /v1/x?y=1 HTTP/1.1\r\n")) << sent;
  EXPECT_THAT(sent, HasSubstr("\r\nAuthorization: Bearer sk-secret\r\n"));
  EXPECT_THAT(sent, HasSubstr("\r\nContent-Type: application/json\r\n"));
  EXPECT_THAT(sent, Not(HasSubstr("Expect")));
  EXPECT_TRUE(sent.ends_with("\r\n\r\n{\"model\":\"m\"}"));
  peer.send("HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n");
  peer.answer("hello", "X-Request-ID:  req_1 \r\nX-Two: a\r\nX-Two: b\r\n", 429);
  const Told& told = done(7);
  EXPECT_FALSE(told.error);
  EXPECT_EQ(told.status, 429);
  EXPECT_EQ(told.data, "hello");
  EXPECT_EQ(header(told.headers, "x-request-id"), "req_1");
  EXPECT_EQ(header(told.headers, "x-two"), "a");
  EXPECT_EQ(header(told.headers, "x-early"), "");
}

TEST_F(CurlTransportTest, KeepsTheConnectionForTheNextCall) {
  Peer peer = asked(1, asking(server_.url()));
  peer.answer("one");
  EXPECT_EQ(done(1).data, "one");
  (void)peer.take();
  HttpRequest get = asking(server_.url("/health"), "");
  get.method = "GET";
  transport_.start(2, std::move(get), kSecond, told_);
  until([&] { return peer.reads_request(); });
  EXPECT_TRUE(peer.take().starts_with("GET /health HTTP/1.1\r\n"));
  peer.answer("");
  EXPECT_EQ(done(2).status, 200);
  EXPECT_FALSE(server_.accept()) << "a second connection";
}

TEST_F(CurlTransportTest, TellsAStreamAsItComes) {
  Peer peer = asked(1, asking(server_.url()));
  peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  until([&] { return told_.all[1].status == 200; });
  EXPECT_TRUE(told_.all[1].pieces.empty());
  for (const char* const piece : {"data: a", "\n\n", "data: b\n\n"}) {
    const std::string before = told_.all[1].data;
    const std::string text = piece;
    peer.send(std::to_string(text.size()) + "\r\n" + text + "\r\n");
    until([&] { return told_.all[1].data == before + text; });
  }
  EXPECT_FALSE(told_.all[1].done);
  peer.send("0\r\nX-Trailer: 1\r\n\r\n");
  EXPECT_FALSE(done(1).error);
}

TEST_F(CurlTransportTest, FollowsNoRedirect) {
  LoopbackServer elsewhere;
  Peer peer = asked(1, asking(server_.url()));
  peer.answer("", "Location: " + elsewhere.url() + "\r\n", 302);
  EXPECT_EQ(done(1).status, 302);
  EXPECT_FALSE(elsewhere.accept()) << "the key went elsewhere";
}

TEST_F(CurlTransportTest, TakesNoMoreThanItMay) {
  CurlOptions small = options();
  small.max_body = 1000;
  CurlTransport transport(small);
  const auto run = [&](TransferId id, std::string_view answer) {
    transport.start(id, asking(server_.url()), 5 * kSecond, told_);
    Peer peer;
    while (!(peer = server_.accept())) transport.poll(kMillisecond);
    while (!peer.reads_request()) transport.poll(kMillisecond);
    peer.send(answer);
    while (!told_.all[id].done) transport.poll(kMillisecond);
    return told_.all[id];
  };
  const Told long_one = run(1, "HTTP/1.1 200 OK\r\n\r\n" + std::string(5000, 'x'));
  ASSERT_TRUE(long_one.error);
  EXPECT_EQ(long_one.error->outcome, Outcome::server_error);
  EXPECT_THAT(long_one.error->message, HasSubstr("longer than 1000 bytes"));

  // 200,000 letters in some hundred bytes.
  const std::string bomb(
      "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xed\xc1\x31\x01\x00\x00\x00\xc2\xa0\xac\xeb\x5f\xc2\x0c"
      "\xfe\x40\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
      "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
      "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
      "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
      "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
      "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
      "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
      "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
      "\x00\x00\x00\x00\xaf\x01\x9b\x53\x69\xe0\x40\x0d\x03\x00",
      230);
  const Told bombed =
      run(2, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " + std::to_string(bomb.size()) +
                 "\r\n\r\n" + bomb);
  ASSERT_TRUE(bombed.error);
  EXPECT_EQ(bombed.error->outcome, Outcome::server_error);
  EXPECT_LE(bombed.data.size(), 1000U);

  std::string headers = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 5000; ++i) headers += "X-" + std::to_string(i) + ": " + std::string(60, 'h') + "\r\n";
  const Told swamped = run(3, headers);
  ASSERT_TRUE(swamped.error);
  EXPECT_EQ(swamped.status, 0);
}

TEST_F(CurlTransportTest, RefusesWhatWouldBecomeAnotherRequest) {
  HttpRequest request = asking(server_.url());
  request.headers.emplace_back("X-A", "b\r\nX-Injected: c");
  transport_.start(1, std::move(request), kSecond, told_);
  expect_error(1, Outcome::bad_request, "does not take this request");
  transport_.start(2, asking("file:///etc/passwd"), kSecond, told_);
  expect_error(2, Outcome::bad_request, "");
  transport_.start(3, asking("http://user:secret@" + server_.address() + "/"), kSecond, told_);
  (void)done(3);
  ASSERT_TRUE(told_.all[3].error);
  EXPECT_THAT(told_.all[3].error->message, Not(HasSubstr("secret")));
  EXPECT_FALSE(server_.accept());
}

TEST_F(CurlTransportTest, TellsNothingOfWhatWasGivenUp) {
  Peer peer = asked(1, asking(server_.url()));
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  until([&] { return told_.all[1].data == "half"; });
  transport_.abort(1);
  transport_.abort(99);
  EXPECT_EQ(transport_.in_flight(), 0U);
  until([&] { return peer.sees_end(); });
  EXPECT_FALSE(told_.all[1].done);
}

TEST_F(CurlTransportTest, LetsASinkStartAndGiveUpFromWithin) {
  told_.at_data = [&](TransferId id) {
    if (id == 1) transport_.abort(1);
  };
  told_.at_head = [&](TransferId id) {
    if (id == 1) transport_.start(2, asking(server_.url()), 5 * kSecond, told_);
  };
  told_.at_done = [&](TransferId id) {
    if (id == 2) transport_.start(3, asking(server_.url()), 5 * kSecond, told_);
  };
  Peer first = asked(1, asking(server_.url()));
  first.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  Peer second = accepted();
  until([&] { return second.reads_request(); });
  EXPECT_FALSE(told_.all[1].done);
  second.answer("two");
  until([&] { return told_.all[2].done; });
  EXPECT_EQ(transport_.in_flight(), 1U);
}

TEST_F(CurlTransportTest, IsWokenByAnyThread) {
  const Instant start = io::mono();
  std::thread waker([&] { transport_.wakeup(); });
  transport_.poll(10 * kSecond);
  waker.join();
  EXPECT_LT(io::mono() - start, 5 * kSecond);
}

TEST_F(CurlTransportTest, SendsThroughAProxyThatItIsTold) {
  CurlOptions proxied = options();
  proxied.proxy = "http://" + server_.address();
  CurlTransport transport(proxied);
  transport.start(1, asking("http://api.example.com/v1"), 5 * kSecond, told_);
  Peer peer;
  while (!(peer = server_.accept())) transport.poll(kMillisecond);
  while (!peer.reads_request()) transport.poll(kMillisecond);
  EXPECT_TRUE(peer.take().starts_with("POST http://api.example.com/v1 HTTP/1.1\r\n"));
  peer.answer("through");
  while (!told_.all[1].done) transport.poll(kMillisecond);
  EXPECT_EQ(told_.all[1].data, "through");

  transport.start(2, asking("https://api.example.com/v1"), 5 * kSecond, told_);
  Peer tunnel;
  while (!(tunnel = server_.accept())) transport.poll(kMillisecond);
  while (!tunnel.reads_request()) transport.poll(kMillisecond);
  const std::string asked = tunnel.take();
  EXPECT_TRUE(asked.starts_with("CONNECT api.example.com:443 HTTP/1.1\r\n"));
  EXPECT_THAT(asked, Not(HasSubstr("secret"))) << "a proxy is told no key of another host's";
  tunnel.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
  while (!told_.all[2].done) transport.poll(kMillisecond);
  EXPECT_TRUE(told_.all[2].error);
  EXPECT_EQ(told_.all[2].status, 0) << "a proxy's answer is not the server's";
}

TEST_F(CurlTransportTest, CarriesAHundredCallsAtOnceAndEndsAtOnce) {
  std::vector<Peer> peers;
  for (TransferId id = 1; id <= 100; ++id) transport_.start(id, asking(server_.url()), 20 * kSecond, told_);
  while (peers.size() < 100) {
    transport_.poll(kMillisecond);
    if (Peer peer = server_.accept()) peers.push_back(std::move(peer));
  }
  for (Peer& peer : peers) {
    until([&] { return peer.reads_request(); });
    peer.answer("said");
  }
  for (TransferId id = 1; id <= 100; ++id) EXPECT_EQ(done(id).data, "said");
  EXPECT_EQ(transport_.in_flight(), 0U);

  CurlTransport other(options());
  for (TransferId id = 1; id <= 100; ++id) other.start(1000 + id, asking(server_.url()), 20 * kSecond, told_);
  other.poll(0);
  const Instant start = io::mono();
  for (TransferId id = 1; id <= 100; ++id) other.abort(1000 + id);
  EXPECT_LT(io::mono() - start, kSecond);
}

}  // namespace
}  // namespace llmcore::net
