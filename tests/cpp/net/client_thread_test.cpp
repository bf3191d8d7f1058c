// The client with its worker: what the game's thread and the worker do to each other.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <variant>

#include "llmcore/io/replay.hpp"
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

TEST(ClientThreads, APieceThatIsLongerThanTheRingComesWhole) {
  auto transport = std::make_shared<ScriptedTransport>();
  const std::string story(300'000, 'z');
  transport->answers = [&](ScriptedTransport& self, const ScriptedTransport::Open& open) {
    self.answer(open.transfer, "1 1\n" + story + "[end]");
  };
  Client::Config config = threaded(transport);
  config.event_bytes = 64 * 1024;
  Client client(std::move(config));
  Client::Request request = Stage::say("?", true);
  request.tag = 7;
  client.submit(std::move(request));
  Client::Events events;
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (client.poll(events) == 0 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events[0].kind, Kind::token);
  EXPECT_EQ(events[0].tag, 7U);
  EXPECT_EQ(events[0].text, story);
}

/// Has a piece of every stream whenever it is asked, and counts how often it is asked and how often it is woken.
class EagerTransport final : public Transport {
 public:
  void start(TransferId transfer, HttpRequest, Duration, TransferSink& sink) override {
    sink_ = &sink;
    open_.insert(transfer);
    begun_.insert(transfer);
  }
  void abort(TransferId transfer) override { open_.erase(transfer); }
  void poll(Duration wait) override {
    ++polls;
    if (open_.empty()) {
      std::unique_lock hold(mutex_);
      changed_.wait_for(hold, std::chrono::nanoseconds(wait), [&] { return woken_; });
      woken_ = false;
      return;
    }
    const std::set<TransferId> open = open_;
    for (const TransferId transfer : open) {
      if (begun_.erase(transfer) != 0) {
        sink_->on_head(transfer, 200, {});
        sink_->on_data(transfer, "1 1\n");
      }
      ++pieces;
      sink_->on_data(transfer, "word ");
    }
  }
  void wakeup() noexcept override {
    const std::lock_guard hold(mutex_);
    ++wakeups;
    woken_ = true;
    changed_.notify_one();
  }

  std::atomic<int> polls{0};
  std::atomic<int> pieces{0};
  std::atomic<int> wakeups{0};

 private:
  TransferSink* sink_ = nullptr;
  std::set<TransferId> open_;
  std::set<TransferId> begun_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
};

TEST(ClientThreads, WhatStreamsIsReadInBatches) {
  auto transport = std::make_shared<EagerTransport>();
  Client client(threaded(transport));
  client.submit(Stage::say("?", true));
  const auto wait_for = [&](int pieces) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (transport->pieces < pieces && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  };
  wait_for(1);
  const auto start = std::chrono::steady_clock::now();
  wait_for(10);
  // Between them the worker rests, for four milliseconds each time.
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(30));
  EXPECT_TRUE(client.shutdown(kSecond));
}

class ClientRecordings : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("llmcore_recordings_" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
    io::ReplayLoggerConfig logging;
    logging.directory = folder_.string();
    auto log = io::ReplayLogger::open(std::move(logging));
    ASSERT_TRUE(log) << log.error().message();
    log_ = std::move(*log);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
  std::shared_ptr<io::ReplayLogger> log_;
};

TEST_F(ClientRecordings, WhatIsRecordedIsWrittenSoonAndWakesNobody) {
  auto transport = std::make_shared<EagerTransport>();
  Client::Config config = threaded(transport);
  config.recorder = log_;
  Client client(std::move(config));
  constexpr std::uint64_t kFrames = 8;
  const auto until = std::chrono::steady_clock::now() + kPatience;
  for (std::uint64_t tick = 0; tick < kFrames; ++tick) {
    const int polls = transport->polls;  // so that the worker sleeps, as often as not
    while (transport->polls == polls && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    client.set_frame(static_cast<std::int64_t>(tick));
  }
  client.record_snapshot(kFrames, "world", "gold: 3", false);
  // The game does nothing more: a process that is killed now has all of it in its recording.
  const auto count = [&](RecordedEvent kind) { return log_->stats().events[kind.index()]; };
  while (count(recorded::Snapshot{}) == 0 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  EXPECT_EQ(count(recorded::Frame{}), kFrames);
  EXPECT_EQ(transport->wakeups, 0);
  EXPECT_TRUE(client.shutdown(kSecond));

  auto reader = io::RecordingReader::open(folder_.string());
  ASSERT_TRUE(reader);
  const recorded::Snapshot* snapshot = nullptr;
  while (const RecordedEvent* event = (*reader)->next()) {
    if ((snapshot = std::get_if<recorded::Snapshot>(event)) != nullptr) break;
  }
  ASSERT_NE(snapshot, nullptr);
  EXPECT_EQ(snapshot->tick, static_cast<std::int64_t>(kFrames));
  EXPECT_EQ(snapshot->state, hash_of_state("gold: 3"));
  EXPECT_FALSE(snapshot->bytes);
}

TEST_F(ClientRecordings, ACallBehindMoreThanTheRingHoldsIsMadeAndInItsPlace) {
  Client::Config config;
  config.max_calls = 1;  // the ring holds a little more than its calls
  config.recorder = log_;
  Stage stage(std::move(config));
  constexpr std::uint64_t kDraws = 500;
  for (std::uint64_t i = 0; i < kDraws; ++i) stage.client->record(recorded::Draw{"dice", 6, i % 6});
  const CallId call = stage.client->submit(Stage::say("?"));
  stage.client->cancel(call);
  std::vector<Seen> seen;
  for (int frame = 0; frame < 20 && seen.empty(); ++frame) seen = stage.look();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.call, call);
  EXPECT_EQ(seen[0].event.outcome, Outcome::cancelled);
  EXPECT_TRUE(stage.client->shutdown(kSecond));
  ASSERT_EQ(log_->close(), nullptr);

  auto reader = io::RecordingReader::open(folder_.string());
  ASSERT_TRUE(reader);
  std::uint64_t draws = 0;
  while (const RecordedEvent* event = (*reader)->next()) {
    if (const auto* draw = std::get_if<recorded::Draw>(event)) {
      EXPECT_EQ(draw->value, draws++ % 6);
    } else if (std::holds_alternative<recorded::Fed>(*event)) {
      EXPECT_EQ(draws, kDraws);
    }
  }
  EXPECT_EQ(draws, kDraws);
}

}  // namespace
}  // namespace llmcore::net
