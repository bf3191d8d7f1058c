// What things cost in memory, byte by byte: an executable of its own, because it replaces operator new by one that counts.
#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "llmcore/engine.hpp"
#include "llmcore/io/journal.hpp"
#include "llmcore/request_queue.hpp"
#include "llmcore/response_cache.hpp"

namespace {

std::atomic<std::int64_t> bytes_in_use{0};

void* counted(void* block) {
  if (block == nullptr) throw std::bad_alloc();
  bytes_in_use += static_cast<std::int64_t>(malloc_usable_size(block));
  return block;
}

void uncount(void* block) noexcept {
  bytes_in_use -= static_cast<std::int64_t>(malloc_usable_size(block));
  std::free(block);
}

}  // namespace

void* operator new(std::size_t size) { return counted(std::malloc(size)); }
void* operator new(std::size_t size, std::align_val_t align) {
  const auto step = static_cast<std::size_t>(align);
  return counted(std::aligned_alloc(step, (size + step - 1) / step * step));
}
void operator delete(void* block) noexcept { uncount(block); }
void operator delete(void* block, std::size_t /*size*/) noexcept { uncount(block); }
void operator delete(void* block, std::align_val_t /*align*/) noexcept { uncount(block); }
void operator delete(void* block, std::size_t /*size*/, std::align_val_t /*align*/) noexcept { uncount(block); }

namespace llmcore {
namespace {

constexpr std::int64_t kMegabyte = 1'000'000;
constexpr std::size_t kAnswerBytes = 2000;

/// An engine and the host that performs what it asks for, at once and without fail.
class World {
 public:
  explicit World(const Config& config) : engine_(config) {}

  /// One call from arrival to end, which takes a millisecond; what it was answered with.
  Finish call(std::optional<Fingerprint> key, std::size_t answer_bytes) {
    Submit submit;
    submit.call_type = "chat";
    submit.key = key;
    submit.targets.push_back(Target{"openai", "gpt-4o-mini", 100, 50, 0, nullptr, false});
    submit.scopes = {{"user", "u1"}};
    engine_.submit(std::move(submit), now_);
    Finish finish;
    while (std::optional<Action> action = engine_.poll()) {
      if (const auto* send = std::get_if<Send>(&*action)) {
        now_.mono += kMillisecond;
        now_.wall += kMillisecond;
        Usage usage;
        usage.input_uncached = 90;
        usage.output_text = 40;
        const auto answer = std::make_shared<const StringPayload>(std::string(answer_bytes, 'x'));
        engine_.handle(Replied{send->attempt, usage, nullptr, answer}, now_);
      } else if (auto* done = std::get_if<Finish>(&*action)) {
        finish = std::move(*done);
      }
    }
    return finish;
  }

  [[nodiscard]] const Engine& engine() const { return engine_; }

 private:
  Engine engine_;
  Now now_{0, 1'700'000'000 * kSecond};
};

Fingerprint key_of(std::int64_t number) { return fingerprint("default", "", "", std::to_string(number)); }

TEST(Memory, ACachedEntryCostsAtMost128BytesBesidesItsKeyAndValue) {
  for (const std::int64_t count : {1'000, 9'200, 10'000, 100'000}) {
    const std::int64_t before = bytes_in_use;
    ResponseCache<std::shared_ptr<const std::string>> cache({count, std::numeric_limits<std::int64_t>::max(), kHour});
    for (std::int64_t i = 0; i < 3 * count; ++i) cache.put(key_of(i), nullptr, 0, 0);  // all there is of ghosts too
    ASSERT_EQ(cache.stats().entries, count);
    ASSERT_EQ(cache.stats().ghosts, count - count / 10);
    const std::int64_t each = (bytes_in_use - before) / count;
    EXPECT_LE(each - static_cast<std::int64_t>(sizeof(Fingerprint)), 128) << count << " entries";
    cache.clear();
    EXPECT_EQ(bytes_in_use, before) << "clear() gives everything back";
    RecordProperty("bytes_per_entry_of_" + std::to_string(count), std::to_string(each));
  }
}

TEST(Memory, AWaitingCallCostsAtMost128Bytes) {
  constexpr std::int64_t kCalls = 10'000;
  const std::int64_t before = bytes_in_use;
  RequestQueue queue(RequestQueueConfig::server());
  for (std::int64_t i = 0; i < kCalls; ++i) {
    queue.push(static_cast<RequestQueue::Id>(i), Priority::medium, kMinute + i, i);
  }
  ASSERT_EQ(queue.size(), kCalls);
  const std::int64_t full = bytes_in_use - before;
  EXPECT_LE(full / kCalls, 128 + 32) << "a table that has just doubled included";
  for (std::int64_t round = 0; round < 5; ++round) {
    while (queue.pop()) {
    }
    for (std::int64_t i = 0; i < kCalls; ++i) {
      queue.push(static_cast<RequestQueue::Id>(round * kCalls + i), Priority::medium, kMinute + i, i);
    }
  }
  EXPECT_EQ(bytes_in_use - before, full) << "and what went is used again";
}

TEST(Memory, AThousandAnswersAndTheirLogTakeLessThanFourMegabytes) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("llmcore_memory_" + std::to_string(getpid()));
  const std::int64_t before = bytes_in_use;
  {
    io::JournalConfig config;
    config.directory = folder.string();
    config.ack = io::Ack::memory;  // with all that may gather before it is written
    auto journal = io::JournalWriter::open(config);
    ASSERT_TRUE(journal) << journal.error().message();
    World world(Config::server());
    for (std::int64_t i = 0; i < 1000; ++i) {
      const Finish finish = world.call(key_of(i), kAnswerBytes);
      ASSERT_EQ(finish.outcome, Outcome::ok);
      const auto* answer = dynamic_cast<const StringPayload*>(finish.payload.get());
      ASSERT_NE(answer, nullptr);
      ASSERT_TRUE((*journal)->append(std::uint16_t{1}, answer->bytes()));
    }
    ASSERT_EQ(world.engine().stats().cache.entries, 1000);
    EXPECT_EQ(world.call(key_of(0), 0).source, Source::cache);
    EXPECT_LT(bytes_in_use - before, 4 * kMegabyte);
    RecordProperty("bytes", std::to_string(bytes_in_use - before));
  }
  std::filesystem::remove_all(folder);
}

// Everything that a call leaves behind is bounded: lanes, cached answers, counts by hour, latency sketches.
TEST(Memory, AMillionCallsThroughAnEngineLeaveItsMemoryFlat) {
  Config config = Config::server();
  config.cache.max_entries = 100;
  config.limits = {1'000'000'000, 0, 8, true};
  config.recovery = {};
  World world(config);
  const auto calls = [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t i = from; i < to; ++i) {
      ASSERT_EQ(world.call(i % 2 == 0 ? std::optional(key_of(i)) : std::nullopt, 16).outcome, Outcome::ok);
    }
  };
  calls(0, 100'000);
  const std::int64_t early = bytes_in_use;
  calls(100'000, 1'000'000);
  EXPECT_LE(bytes_in_use - early, 10'000);
  EXPECT_EQ(world.engine().stats().finished, 1'000'000);
  EXPECT_EQ(world.engine().stats().in_flight, 0);
}

}  // namespace
}  // namespace llmcore
