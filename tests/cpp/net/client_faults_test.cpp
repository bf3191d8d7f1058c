// The client of a frame loop with libcurl under it while the network fails: the game's thread waits for nothing, each call
// ends once, with a fallback text that says that it is one, the breaker opens, and what comes back is found again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "frame_loop.hpp"
#include "llmcore/net/curl_transport.hpp"
#include "llmcore/net/providers.hpp"
#include "model_server.hpp"

namespace llmcore::net {
namespace {

using ::testing::AnyOf;
using ::testing::Each;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Call = FrameLoop::Call;

constexpr Duration kPatience = 20 * kSecond;
constexpr std::int64_t kErrors = 3;

class ClientFaults : public ::testing::Test {
 protected:
  /// A short day of a game: what takes seconds there takes a tenth of one here.
  Client::Config config(const std::string& base_url, const std::string& ca_file = "") {
    Client::Config made;
    made.engine = llmcore::Config::server();
    made.engine.backoff.jitter = Jitter::none;
    made.engine.backoff.base = kMillisecond;
    made.engine.recovery.max_attempts = 1;
    made.engine.recovery.breaker_errors = kErrors;
    made.engine.recovery.cooldown = 100 * kMillisecond;
    made.engine.deadline = 10 * kSecond;
    made.engine.attempt_timeout = 5 * kSecond;
    HttpOptions options;
    options.base_url = base_url;
    options.api_key = "sk-secret";
    options.name = "model";
    made.providers = {std::make_shared<LocalLlamaProvider>(std::move(options))};
    made.chain = {{"model", "m"}};
    CurlOptions curl;
    curl.proxy = "";
    curl.ca_file = ca_file;
    made.transport = std::make_shared<CurlTransport>(std::move(curl));
    made.cache = false;
    made.observer = [this](const Action& action) {
      const auto* record = std::get_if<Record>(&action);
      const auto* attempt = record != nullptr ? std::get_if<AttemptRecord>(&record->body) : nullptr;
      if (attempt == nullptr || attempt->provider != "model") return;
      const std::lock_guard hold(mutex_);
      outcomes_.push_back(attempt->outcome);
    };
    return made;
  }
  void play(Client::Config made) {
    client_ = std::make_unique<Client>(std::move(made));
    loop_ = std::make_unique<FrameLoop>(*client_);
  }

  CallId ask(Duration deadline = 0) {
    Client::Request request;
    request.messages.push_back({Client::Role::user, "Is the bridge safe? " + std::to_string(++number_), {}, {}});
    request.call_type = "dialogue";
    request.deadline = deadline;
    return loop_->submit(std::move(request));
  }
  void frame() {
    loop_->frame();
    model.work();
    if (tls) tls->work();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  template <typename Condition>
  void until(Condition&& condition) {
    const Instant end = io::mono() + kPatience;
    while (!condition()) {
      ASSERT_LT(io::mono(), end) << "it never came to that";
      frame();
    }
  }
  const Call& end_of(CallId id) {
    until([&] { return loop_->call(id).ends != 0; });
    return loop_->call(id);
  }
  /// How the attempts at the model ended, since this was asked last.
  std::vector<Outcome> outcomes() {
    const std::lock_guard hold(mutex_);
    return std::exchange(outcomes_, {});
  }

  static void expect_fallback(const Call& call) {
    EXPECT_TRUE(call.finished) << call.error;
    EXPECT_TRUE(call.fallback);
    EXPECT_EQ(call.provider, "offline");
    EXPECT_THAT(call.text, Not(IsEmpty()));
  }
  static void expect_model(const Call& call) {
    EXPECT_TRUE(call.finished) << call.error;
    EXPECT_FALSE(call.fallback);
    EXPECT_EQ(call.provider, "model");
    EXPECT_EQ(call.text, kWords);
    EXPECT_EQ(call.shown, kWords);
  }
  void expect_frames_unaffected() {
    EXPECT_EQ(loop_->held_up(), 0) << "the longest took " << loop_->longest() / kMillisecond << " ms";
    for (const auto& [id, call] : loop_->calls()) EXPECT_EQ(call.ends, 1) << "call " << id;
  }

  /// Every call gets a text, and soon none is sent any more.
  template <typename Outcomes>
  void expect_fallbacks(Outcomes&& typed, Duration deadline = 0) {
    (void)outcomes();
    for (std::int64_t i = 0; i < kErrors; ++i) expect_fallback(end_of(ask(deadline)));
    const std::vector<Outcome> seen = outcomes();
    EXPECT_EQ(seen.size(), static_cast<std::size_t>(kErrors));
    EXPECT_THAT(seen, Each(typed));
    EXPECT_EQ(client_->stats().unhealthy, 1) << "the breaker is open";
    expect_fallback(end_of(ask()));
    EXPECT_LE(outcomes().size(), 1U) << "at the most the one probe";
  }
  /// What is back is found again by the calls themselves.
  void expect_recovery() {
    until([&] { return !end_of(ask()).fallback; });
    EXPECT_EQ(client_->stats().unhealthy, 0);
    for (int i = 0; i < 3; ++i) expect_model(end_of(ask()));
  }
  /// What a call with no fallback is told.
  void expect_error(Client::Config made, Outcome outcome, const std::string& words, Duration deadline = 0) {
    made.offline_fallback = false;
    play(std::move(made));
    const Call& call = end_of(ask(deadline));
    EXPECT_FALSE(call.finished);
    EXPECT_EQ(to_string(call.outcome), to_string(outcome));
    EXPECT_THAT(call.error, HasSubstr(words));
    EXPECT_THAT(call.error, Not(HasSubstr("secret")));
    EXPECT_THAT(call.error, Not(HasSubstr("bridge")));
    expect_frames_unaffected();
  }

  [[nodiscard]] std::string url(const char* scheme = "http") const {
    return std::string(scheme) + "://127.0.0.1:" + std::to_string(model.port()) + "/v1";
  }

  ModelServer model;
  std::unique_ptr<TlsServer> tls;
  std::unique_ptr<Client> client_;
  std::unique_ptr<FrameLoop> loop_;

 private:
  int number_ = 0;
  std::mutex mutex_;
  std::vector<Outcome> outcomes_;
};

TEST_F(ClientFaults, TheServerIsKilledInMidStreamAndRestarted) {
  play(config(url()));
  expect_model(end_of(ask()));

  model.mood = ModelServer::Mood::begins;
  const std::vector<CallId> cut{ask(), ask(), ask()};
  until([&] {
    for (const CallId id : cut) {
      if (loop_->call(id).shown.empty()) return false;
    }
    return true;
  });
  model.kill();
  for (const CallId id : cut) {
    const Call& call = end_of(id);
    EXPECT_FALSE(call.finished) << "what the player has seen is not said again in other words";
    EXPECT_EQ(call.outcome, Outcome::connection);
    EXPECT_EQ(call.shown, "The bridge");
    EXPECT_EQ(call.text, "The bridge") << "what had come";
    EXPECT_THAT(call.error, HasSubstr("broke in the middle of the answer"));
  }
  EXPECT_EQ(client_->stats().unhealthy, 1);
  expect_fallback(end_of(ask()));

  model.restart();
  expect_recovery();
  expect_frames_unaffected();
}

TEST_F(ClientFaults, NobodyListens) {
  model.kill();
  play(config(url()));
  expect_fallbacks(Eq(Outcome::connection));
  model.restart();
  expect_recovery();
  expect_frames_unaffected();

  model.kill();
  expect_error(config(url()), Outcome::connection, "no connection to 127.0.0.1:");
}

TEST_F(ClientFaults, TheServerAcceptsAndNeverAnswers) {
  Client::Config stalled = config(url());
  // Which an answer after the recovery has to keep as well, on a busy machine too.
  stalled.engine.attempt_timeout = 250 * kMillisecond;
  play(std::move(stalled));
  model.mood = ModelServer::Mood::stalls;
  expect_fallbacks(Eq(Outcome::timeout));
  until([&] { return model.open() == 0; });  // the connections were given up too
  model.mood = ModelServer::Mood::answers;
  expect_recovery();
  expect_frames_unaffected();

  model.mood = ModelServer::Mood::stalls;
  expect_error(config(url()), Outcome::timeout, "", 60 * kMillisecond);
}

TEST_F(ClientFaults, ADeadlineEndsACallWhoseServerIsSilentAndTheTextComesAllTheSame) {
  play(config(url()));
  model.mood = ModelServer::Mood::stalls;
  const Instant start = io::mono();
  expect_fallback(end_of(ask(60 * kMillisecond)));
  EXPECT_LT(io::mono() - start, 5 * kSecond);
  expect_frames_unaffected();
}

TEST_F(ClientFaults, TheAnswerFallsSilentInTheMiddle) {
  play(config(url()));
  model.mood = ModelServer::Mood::begins;
  const Call& call = end_of(ask(kSecond));  // time for the beginning to arrive, whatever else the machine does
  EXPECT_FALSE(call.finished);
  EXPECT_EQ(call.outcome, Outcome::timeout);
  EXPECT_EQ(call.text, "The bridge");
  expect_frames_unaffected();
}

TEST_F(ClientFaults, GivingUpAndEndingWaitForNoSilentServer) {
  play(config(url()));
  model.mood = ModelServer::Mood::stalls;
  const CallId given_up = ask();
  for (int i = 0; i < 20; ++i) ask();
  until([&] { return model.asked() == 21; });
  loop_->cancel(given_up);
  EXPECT_EQ(end_of(given_up).outcome, Outcome::cancelled);
  EXPECT_TRUE(client_->shutdown(10 * kSecond));
  until([&] { return client_->stats().live == 0; });
  expect_frames_unaffected();
}

TEST_F(ClientFaults, NamesAreNotResolved) {
  Client::Config dead = config("http://no.such.host.invalid/v1");
  dead.engine.attempt_timeout = 500 * kMillisecond;
  play(dead);
  // A name server says that there is none such, or says nothing.
  expect_fallbacks(AnyOf(Outcome::connection, Outcome::timeout));
  for (int i = 0; i < 20; ++i) ask();
  const Instant start = io::mono();
  EXPECT_TRUE(client_->shutdown(10 * kSecond)) << "which waits for no name server";
  EXPECT_LT(io::mono() - start, 5 * kSecond);
  until([&] { return client_->stats().live == 0; });
  expect_frames_unaffected();
}

TEST_F(ClientFaults, WhatIsStillThereAnswersInPlaceOfANameThatIsNot) {
  Client::Config both = config("http://no.such.host.invalid/v1");
  both.engine.attempt_timeout = 500 * kMillisecond;
  HttpOptions near;
  near.base_url = url();
  near.name = "near";
  both.providers.push_back(std::make_shared<LocalLlamaProvider>(std::move(near)));
  both.chain = {{"model", "m"}, {"near", "m"}};
  play(std::move(both));
  for (int i = 0; i < 5; ++i) {
    const Call& call = end_of(ask());
    EXPECT_TRUE(call.finished) << call.error;
    EXPECT_TRUE(call.fallback);
    EXPECT_EQ(call.provider, "near");
    EXPECT_EQ(call.text, kWords);
  }
  EXPECT_EQ(client_->stats().unhealthy, 1);
  expect_frames_unaffected();
}

TEST_F(ClientFaults, ThePortSpeaksNoTls) {
  const Certificate trusted("IP:127.0.0.1");
  model.mood = ModelServer::Mood::speaks_no_tls;
  play(config(url("https"), trusted.usable() ? trusted.file() : ""));
  expect_fallbacks(Eq(Outcome::connection));
  expect_frames_unaffected();
  if (trusted.usable()) {
    model.kill();
    tls = std::make_unique<TlsServer>(trusted, model.port());
    ASSERT_EQ(tls->port(), model.port());
    expect_recovery();
    expect_frames_unaffected();
    tls.reset();
    model.restart();
  }
  model.mood = ModelServer::Mood::speaks_no_tls;
  expect_error(config(url("https")), Outcome::connection, "TLS with 127.0.0.1:");
}

TEST_F(ClientFaults, NobodyTrustsTheCertificate) {
  const Certificate trusted("IP:127.0.0.1");
  const Certificate forged("IP:127.0.0.1");
  if (!trusted.usable() || !forged.usable()) GTEST_SKIP() << "openssl, which makes the certificates, is not installed";
  model.kill();
  tls = std::make_unique<TlsServer>(forged, model.port());
  ASSERT_EQ(tls->port(), model.port());
  play(config(url("https"), trusted.file()));
  expect_fallbacks(Eq(Outcome::connection));
  tls.reset();
  tls = std::make_unique<TlsServer>(trusted, model.port());
  ASSERT_EQ(tls->port(), model.port());
  expect_recovery();
  expect_frames_unaffected();

  expect_error(config(url("https")), Outcome::connection, "the certificate of 127.0.0.1:");
}

TEST_F(ClientFaults, TheCertificateIsOfAnotherName) {
  const Certificate elsewhere("DNS:elsewhere.example");
  if (!elsewhere.usable()) GTEST_SKIP() << "openssl, which makes the certificate, is not installed";
  tls = std::make_unique<TlsServer>(elsewhere);
  ASSERT_NE(tls->port(), 0);
  expect_error(config("https://127.0.0.1:" + std::to_string(tls->port()) + "/v1", elsewhere.file()),
               Outcome::connection, "the certificate of 127.0.0.1:");
}

TEST_F(ClientFaults, AnAttemptThatAKeptConnectionLostIsTheEnginesToRepeat) {
  Client::Config made = config(url());
  made.engine.recovery.max_attempts = 2;
  play(std::move(made));
  expect_model(end_of(ask()));
  model.mood = ModelServer::Mood::stalls;
  const CallId call = ask();
  until([&] { return model.asked() == 2; });
  model.kill();
  model.restart();
  expect_model(end_of(call));
  EXPECT_EQ(model.asked(), 3);
  EXPECT_THAT(outcomes(), ::testing::ElementsAre(Outcome::ok, Outcome::connection, Outcome::ok));
  expect_frames_unaffected();
}

}  // namespace
}  // namespace llmcore::net
