#include "llmcore/saved_cache.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "llmcore/crc32c.hpp"
#include "llmcore/engine.hpp"

namespace llmcore {
namespace {

using Answers = std::vector<std::pair<Fingerprint, std::string>>;

Fingerprint key(int number) { return fingerprint("default", "p", "m", std::to_string(number)); }

std::string saved(int count) {
  SavedCacheWriter writer;
  for (int i = 0; i < count; ++i) writer.add(key(i), std::string(static_cast<std::size_t>(i) * 7, 'a'));
  return writer.finish();
}

std::pair<const char*, Answers> read(std::string_view bytes) {
  Answers answers;
  const char* const problem = read_saved_cache(
      bytes, [&](const Fingerprint& one, std::string_view answer) { answers.emplace_back(one, answer); });
  return {problem, answers};
}

std::string with_checksum(std::string bytes) {
  bytes.resize(bytes.size() - 4);
  const std::uint32_t crc = crc32c(bytes);
  for (unsigned i = 0; i < 4; ++i) bytes.push_back(static_cast<char>((crc >> (8 * i)) & 0xFFU));
  return bytes;
}

TEST(SavedCache, GivesBackWhatWasSavedInItsOrder) {
  const auto [problem, answers] = read(saved(5));
  ASSERT_EQ(problem, nullptr);
  ASSERT_EQ(answers.size(), 5U);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(answers[static_cast<std::size_t>(i)].first, key(i));
    EXPECT_EQ(answers[static_cast<std::size_t>(i)].second.size(), static_cast<std::size_t>(i) * 7);
  }
  EXPECT_TRUE(read(saved(0)).second.empty());
}

TEST(SavedCache, EveryCutAndEveryChangedByteIsRefusedAsAWhole) {
  const std::string whole = saved(4);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto [problem, answers] = read(whole.substr(0, size));
    EXPECT_NE(problem, nullptr) << size;
    EXPECT_TRUE(answers.empty());
  }
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x40);
    const auto [problem, answers] = read(changed);
    EXPECT_NE(problem, nullptr) << at;
    EXPECT_TRUE(answers.empty());
  }
}

TEST(SavedCache, LengthsAndCountsThatLieAreRefusedDespiteTheirChecksum) {
  const std::string whole = saved(3);
  for (std::size_t at = 12; at < whole.size() - 4; ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(0xFF);
    const auto [problem, answers] = read(with_checksum(changed));
    EXPECT_TRUE(problem != nullptr ? answers.empty() : answers.size() == 3U) << at;
  }
  EXPECT_STREQ(read(with_checksum(whole.substr(0, whole.size() - 4) + "x0000")).first,
               "there is something behind the saved answers");
}

TEST(SavedCache, KeepsItsBound) {
  SavedCacheWriter writer(200);
  EXPECT_TRUE(writer.add(key(1), std::string(100, 'a')));
  EXPECT_FALSE(writer.add(key(2), std::string(100, 'b')));
  EXPECT_TRUE(writer.add(key(3), "c"));
  EXPECT_EQ(writer.left_out(), 1U);
  const std::string bytes = writer.finish();
  EXPECT_LE(bytes.size(), 200U);
  EXPECT_EQ(read(bytes).second.size(), 2U);
}

TEST(SavedCache, AnEngineShowsWhatItWouldAnswer) {
  Config config = Config::server();
  config.cache.ttl = 10 * kSecond;
  Engine engine(config);
  const auto ask = [&](int number, Now now) {
    Submit submit;
    submit.key = key(number);
    submit.targets.resize(1);
    submit.targets[0].provider = "p";
    engine.submit(std::move(submit), now);
    while (auto action = engine.poll()) {
      if (const auto* send = std::get_if<Send>(&*action)) {
        engine.handle(Replied{send->attempt, {}, nullptr, std::make_shared<StringPayload>(std::to_string(number))},
                      now);
      }
    }
  };
  const auto shown = [&] {
    std::vector<std::string> texts;
    engine.for_each_cached([&](const Fingerprint& one, const Blob& blob) {
      texts.push_back(static_cast<const StringPayload&>(*blob).bytes());
      EXPECT_EQ(one, key(std::stoi(texts.back())));
    });
    return texts;
  };
  ask(1, Now{0, 0});
  ask(2, Now{5 * kSecond, 0});
  const std::uint64_t before = engine.state_hash();
  EXPECT_EQ(shown(), (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(engine.state_hash(), before);
  engine.handle(Tick{}, Now{11 * kSecond, 0});
  EXPECT_EQ(shown(), (std::vector<std::string>{"2"}));
}

}  // namespace
}  // namespace llmcore
