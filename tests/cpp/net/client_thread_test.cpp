// The client with its worker: what the game's thread and the worker do to each other.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "net/spsc.hpp"
#include "scripted.hpp"

namespace llmcore::net {
namespace {

using Kind = Client::Event::Kind;
using std::chrono::milliseconds;

constexpr auto kPatience = std::chrono::seconds(20);

Client::Config threaded(const std::shared_ptr<Transport>& transport) {
  Client::Config config;
  config.engine = llmcore::Config::server();
  config.transport = transport;
  config.providers = {std::make_shared<ScriptedProvider>("p1")};
  config.chain = {{"p1", "m1"}};
  return config;
}

void answer_at_once(ScriptedTransport& transport, const ScriptedTransport::Open& open) {
  transport.head(open.transfer, 200);
  transport.data(open.transfer, "2 3\nsome ");
  transport.data(open.transfer, "words[end]");
  transport.done(open.transfer);
}

TEST(ClientThreads, EveryCallEndsOnceWhateverTheFramesDo) {
  auto transport = std::make_shared<ScriptedTransport>();
  transport->answers = answer_at_once;
  Client client(threaded(transport));
  Client::Events events;
  std::map<CallId, int> ends;
  std::map<CallId, std::string> texts;
  constexpr int kCalls = 500;
  int sent = 0;
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (static_cast<int>(ends.size()) < kCalls && std::chrono::steady_clock::now() < until) {
    for (int i = 0; i < 3 && sent < kCalls; ++i, ++sent) {
      Client::Request request = Stage::say(std::to_string(sent), true);
      request.cache = sent % 2 == 0;
      const CallId call = client.submit(std::move(request));
      if (sent % 10 == 9) client.cancel(call);
    }
    client.poll(events, {.events = 7});
    for (const Client::Event& event : events) {
      if (event.kind == Kind::token) {
        texts[event.call] += event.text;
      } else {
        ++ends[event.call];
        if (event.kind == Kind::finished) {
          EXPECT_EQ(event.text, texts[event.call]);
        }
      }
    }
    std::this_thread::yield();
  }
  EXPECT_EQ(ends.size(), static_cast<std::size_t>(kCalls));
  for (const auto& [call, count] : ends) EXPECT_EQ(count, 1);
  EXPECT_EQ(client.stats().live, 0);
  EXPECT_TRUE(client.shutdown(kSecond));
}

TEST(ClientThreads, ShuttingDownWithManyCallsInFlightIsQuick) {
  auto transport = std::make_shared<ScriptedTransport>();
  Client client(threaded(transport));
  for (int i = 0; i < 100; ++i) client.submit(Stage::say(std::to_string(i)));
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (client.stats().in_flight < 100 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  ASSERT_EQ(client.stats().in_flight, 100);
  EXPECT_TRUE(client.shutdown(10 * kSecond));
  Client::Events events;
  int cancelled = 0;
  while (client.poll(events) != 0) {
    for (const Client::Event& event : events) cancelled += event.outcome == Outcome::cancelled ? 1 : 0;
  }
  EXPECT_EQ(cancelled, 100);
}

TEST(ClientThreads, WhatShuttingDownCancelledIsToldHoweverSmallTheRing) {
  for (const bool worker : {true, false}) {
    auto transport = std::make_shared<ScriptedTransport>();
    Client::Config config = threaded(transport);
    config.worker_thread = worker;
    config.max_calls = 1'000;
    config.event_bytes = 64 * 1024;
    config.engine.queue.class_capacity.fill(1'000);
    config.engine.queue.total_capacity = 1'000;
    Client client(std::move(config));
    for (int i = 0; i < 1'000; ++i) client.submit(Stage::say(std::to_string(i)));
    EXPECT_TRUE(client.shutdown(10 * kSecond));
    Client::Events events;
    std::size_t cancelled = 0;
    while (client.poll(events) != 0) cancelled += events.size();
    EXPECT_EQ(cancelled, 1'000U) << worker;
    EXPECT_EQ(client.stats().live, 0) << worker;
  }
}

/// Does not come back from poll() until it is let go, as one that waits for a name server.
class StuckTransport final : public Transport {
 public:
  void start(TransferId, HttpRequest, Duration, TransferSink&) override {}
  void abort(TransferId) override {}
  void poll(Duration) override {
    entered = true;
    while (!let_go) std::this_thread::sleep_for(milliseconds(1));
  }
  void wakeup() noexcept override {}

  std::atomic<bool> entered{false};
  std::atomic<bool> let_go{false};
};

TEST(ClientThreads, WhatHoldsTheWorkerUpDoesNotHoldUpTheGame) {
  auto transport = std::make_shared<StuckTransport>();
  auto client = std::make_unique<Client>(threaded(transport));
  client->submit(Stage::say("?"));
  while (!transport->entered) std::this_thread::yield();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(client->shutdown(20 * kMillisecond));
  client.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, kPatience / 2);
  EXPECT_GT(transport.use_count(), 1);  // the worker is still in there
  transport->let_go = true;
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (transport.use_count() > 1 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  EXPECT_EQ(transport.use_count(), 1);
}

TEST(ClientThreads, TheRingGivesWhatWasPutIntoItInOrder) {
  SpscBytes ring(4096);
  constexpr std::uint32_t kMessages = 20'000;
  std::thread writer([&] {
    for (std::uint32_t i = 0; i < kMessages; ++i) {
      const std::size_t size = sizeof i + i % 200;
      char* to = nullptr;
      while ((to = ring.reserve(size)) == nullptr) std::this_thread::yield();
      std::memset(to, static_cast<int>(i % 251), size);
      std::memcpy(to, &i, sizeof i);
      ring.commit();
    }
  });
  for (std::uint32_t i = 0; i < kMessages;) {
    const char* from = ring.next();
    if (from == nullptr) {
      ring.release();
      std::this_thread::yield();
      continue;
    }
    std::uint32_t number = 0;
    std::memcpy(&number, from, sizeof number);
    ASSERT_EQ(number, i);
    const std::string expected(i % 200, static_cast<char>(i % 251));
    ASSERT_EQ(std::string_view(from + sizeof number, i % 200), expected);
    ++i;
  }
  writer.join();
}

TEST(ClientThreads, ATextThatIsLongerThanTheRingComesWhole) {
  auto transport = std::make_shared<ScriptedTransport>();
  const std::string story(3'000'000, 'z');
  transport->answers = [&](ScriptedTransport& self, const ScriptedTransport::Open& open) {
    self.answer(open.transfer, "1 1\n" + story);
  };
  Client::Config config = threaded(transport);
  config.event_bytes = 64 * 1024;
  Client client(std::move(config));
  client.submit(Stage::say("?"));
  Client::Events events;
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (client.poll(events) == 0 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].text, story);
}

}  // namespace
}  // namespace llmcore::net
