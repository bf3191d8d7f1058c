// Every way in which a call can go wrong on its way, and what libcurl's transport says of it.
#include "curl_stage.hpp"

namespace llmcore::net {
namespace {

using ::testing::HasSubstr;

class CurlFaultsTest : public CurlStage {};

TEST_F(CurlFaultsTest, TellsThatNobodyListens) {
  const std::string url = server_.url();
  server_.close();
  transport_.start(1, asking(url), kSecond, told_);
  EXPECT_TRUE(told_.all.empty()) << "told from within poll() alone";
  expect_error(1, Outcome::connection, "no connection to 127.0.0.1:");
}

TEST_F(CurlFaultsTest, TellsThatANameIsNotThere) {
  EXPECT_TRUE(CurlTransport::resolves_in_background());
  transport_.start(1, asking("http://no.such.host.invalid/v1"), kSecond, told_);
  const Told& told = done(1);
  ASSERT_TRUE(told.error);
  EXPECT_TRUE(told.error->outcome == Outcome::connection || told.error->outcome == Outcome::timeout);
  EXPECT_THAT(told.error->message, HasSubstr("no.such.host.invalid"));
}

TEST_F(CurlFaultsTest, NeverWaitsForANameServerWhenItEnds) {
  const Instant start = io::mono();
  {
    CurlTransport other(options());
    for (TransferId id = 1; id <= 20; ++id) {
      other.start(id, asking("http://host" + std::to_string(id) + ".invalid/v1"), kSecond, told_);
    }
    other.poll(0);
    other.abort(3);
  }
  EXPECT_LT(io::mono() - start, kSecond);  // a name server that is silent takes five
}

TEST_F(CurlFaultsTest, TellsThatTlsIsRefused) {
  transport_.start(1, asking("https://" + server_.address() + "/v1"), 20 * kSecond, told_);
  Peer peer = accepted();
  until([&] { return !peer.take().empty() || peer.reads_request() || peer.sees_end(); });
  peer.send("HTTP/1.1 400 this is no TLS\r\n\r\n");
  expect_error(1, Outcome::connection, "TLS with 127.0.0.1:");
}

TEST_F(CurlFaultsTest, GivesUpWhenTheTimeIsOver) {
  Peer peer = asked(1, asking(server_.url()), 60 * kMillisecond);
  expect_error(1, Outcome::timeout, "no answer from 127.0.0.1:");
  transport_.start(2, asking(server_.url()), 0, told_);
  expect_error(2, Outcome::timeout, "no time left");
}

TEST_F(CurlFaultsTest, GivesUpWhenAnAnswerFallsSilent) {
  CurlOptions impatient = options();
  impatient.stall_timeout = 60 * kMillisecond;
  CurlTransport transport(impatient);
  transport.start(1, asking(server_.url()), 5 * kSecond, told_);
  Peer peer;
  const auto until_here = [&](auto&& condition) {
    while (!condition()) transport.poll(kMillisecond);
  };
  until_here([&] { return static_cast<bool>(peer = server_.accept()); });
  until_here([&] { return peer.reads_request(); });
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  const Instant start = io::mono();
  while (!told_.all[1].done) transport.poll(10 * kSecond);  // which is no longer than the silence may be
  EXPECT_LT(io::mono() - start, 2 * kSecond);
  ASSERT_TRUE(told_.all[1].error);
  EXPECT_EQ(told_.all[1].error->outcome, Outcome::timeout);
  EXPECT_THAT(told_.all[1].error->message, HasSubstr("fell silent"));
  EXPECT_EQ(told_.all[1].data, "half");
}

TEST_F(CurlFaultsTest, TellsThatAnAnswerBrokeOff) {
  asked(1, asking(server_.url())).close();
  expect_error(1, Outcome::connection, "closed the connection without an answer");

  Peer cut = asked(2, asking(server_.url()));
  cut.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  until([&] { return told_.all[2].data == "half"; });
  cut.close();
  expect_error(2, Outcome::connection, "broke in the middle of the answer");

  Peer chunked = asked(3, asking(server_.url()));
  chunked.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
  until([&] { return told_.all[3].data == "half"; });
  chunked.close();
  expect_error(3, Outcome::connection, "broke in the middle of the answer");

  Peer crashed = asked(4, asking(server_.url()));
  crashed.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
  until([&] { return told_.all[4].data == "half"; });
  crashed.reset();
  expect_error(4, Outcome::connection, "broke in the middle of the answer");

  Peer headless = asked(5, asking(server_.url()));
  headless.send("HTTP/1.1 200 OK\r\nContent-Le");
  headless.close();
  (void)done(5);
  EXPECT_TRUE(told_.all[5].error) << told_.all[5].status;
}

TEST_F(CurlFaultsTest, TellsAnAnswerThatIsNoHttp) {
  Peer peer = asked(1, asking(server_.url()));
  peer.send("SSH-2.0-OpenSSH_9.2\r\n");
  peer.close();
  expect_error(1, Outcome::connection, "what is no HTTP");
}

TEST_F(CurlFaultsTest, SendsOnceWhereAKeptConnectionDiesUnderTheRequest) {
  Peer peer = asked(1, asking(server_.url()));
  peer.answer("one");
  EXPECT_EQ(done(1).data, "one");
  (void)peer.take();
  transport_.start(2, asking(server_.url()), 5 * kSecond, told_);
  until([&] { return peer.reads_request(); });
  peer.close();  // after it has read all of it, as a server that is stopped at its work
  expect_error(2, Outcome::connection, "closed the connection without an answer");
  expect_nothing_sent();

  Peer crashed = asked(3, asking(server_.url()));
  crashed.answer("three");
  EXPECT_EQ(done(3).data, "three");
  (void)crashed.take();
  transport_.start(4, asking(server_.url()), 5 * kSecond, told_);
  until([&] { return crashed.reads_request(); });
  crashed.reset();
  expect_error(4, Outcome::connection, "closed the connection without an answer");
  expect_nothing_sent();
}

TEST_F(CurlFaultsTest, TakesANewConnectionWhereTheKeptOneHasEnded) {
  Peer peer = asked(1, asking(server_.url()));
  peer.answer("one");
  EXPECT_EQ(done(1).data, "one");
  peer.close();  // an idle connection, which libcurl looks at before it uses it again
  Peer next = asked(2, asking(server_.url()));
  next.answer("two");
  EXPECT_EQ(done(2).data, "two");
}

TEST_F(CurlFaultsTest, TellsAnAnswerThatCannotBeDecompressed) {
  Peer peer = asked(1, asking(server_.url()));
  peer.answer("this is not gzip", "Content-Encoding: gzip\r\n");
  expect_error(1, Outcome::server_error, "cannot be decompressed");
}

}  // namespace
}  // namespace llmcore::net
