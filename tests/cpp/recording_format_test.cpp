#include "llmcore/recording_format.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "llmcore/rng.hpp"
#include "recorded_samples.hpp"

namespace llmcore {
namespace {

std::string encoded(const RecordedEvent& event) {
  std::string bytes;
  const char* problem = encode_event(event, bytes);
  EXPECT_EQ(problem, nullptr) << problem;
  return bytes;
}

std::string refusal_of(const RecordedEvent& event) {
  std::string bytes = "before";
  const char* problem = encode_event(event, bytes);
  EXPECT_EQ(bytes, problem == nullptr ? bytes : "before");
  return problem == nullptr ? "" : problem;
}

std::string refusal_of(RecordKind kind, const std::string& bytes) {
  RecordedEvent event;
  const char* problem = decode_event(kind, bytes, event);
  return problem == nullptr ? "" : problem;
}

TEST(RecordingFormat, BringsEveryEventBackAsItWas) {
  std::set<std::size_t> kinds;
  for (const RecordedEvent& event : sample_events()) {
    kinds.insert(event.index());
    const std::string bytes = encoded(event);
    RecordedEvent back;
    ASSERT_EQ(decode_event(kind_of(event), bytes, back), nullptr);
    const FieldDifference difference = difference_of(event, back);
    EXPECT_EQ(difference.field, "") << difference.expected << " / " << difference.got;
    EXPECT_EQ(encoded(back), bytes);
  }
  EXPECT_EQ(kinds.size(), kEventKinds.size());
}

TEST(RecordingFormat, WritesAndReadsTheLayoutsBeforeItsOwn) {
  Replied replied{7, Usage{}, nullptr, nullptr};
  replied.usage.images = 3;
  const recorded::Fed plain{{5, 6}, replied, {9}};
  std::string first, second;
  ASSERT_EQ(encode_event(plain, first, 1), nullptr);
  ASSERT_EQ(encode_event(plain, second, 2), nullptr);
  EXPECT_EQ(second.size(), first.size() + 1) << "a field more";
  RecordedEvent back;
  ASSERT_EQ(decode_event(RecordKind::input, first, back, 1), nullptr);
  EXPECT_EQ(difference_of(plain, back).field, "");
  EXPECT_NE(decode_event(RecordKind::input, first, back, 2), nullptr);
  EXPECT_NE(decode_event(RecordKind::input, second, back, 1), nullptr);

  replied.usage.web_searches = 2;
  std::string bytes = "before";
  EXPECT_STREQ(encode_event(recorded::Fed{{5, 6}, replied, {9}}, bytes, 1),
               "a value in it has no place in the layout of this version");
  EXPECT_EQ(bytes, "before");
}

TEST(RecordingFormat, HasTheBytesThatItsDescriptionSays) {
  EXPECT_EQ(encoded(recorded::Begin{1, "me"}), std::string("\x01\x02me", 4));
  EXPECT_EQ(encoded(recorded::Frame{-1}), "\x01");
  EXPECT_EQ(encoded(recorded::Frame{300}), "\xd8\x04");
  EXPECT_EQ(encoded(recorded::Draw{"d6", 6, 4}),
            "\x02"
            "d6\x06\x04");
  EXPECT_EQ(encoded(recorded::Fed{{5, 6}, Cancel{7}, {0x0807060504030201U}}),
            "\x0a\x0c\x05\x07\x01\x02\x03\x04\x05\x06\x07\x08");
  EXPECT_EQ(kind_of(recorded::Start{}), RecordKind::config);
  EXPECT_EQ(kind_of(recorded::End{}), RecordKind::recording_end);
  EXPECT_EQ(refusal_of(RecordKind::open, ""), "an event of this kind is not known");
}

TEST(RecordingFormat, RefusesEveryBeginningOfAnEvent) {
  for (const RecordedEvent& event : sample_events()) {
    const std::string bytes = encoded(event);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_NE(refusal_of(kind_of(event), bytes.substr(0, size)), "")
          << to_string(kind_of(event)) << " cut after " << size << " of " << bytes.size();
    }
    EXPECT_NE(refusal_of(kind_of(event), bytes + '\0'), "");
  }
}

TEST(RecordingFormat, TakesNoOtherBytesForAnEventThanItWouldWrite) {
  Rng rng(5);
  std::size_t taken = 0;
  for (const RecordedEvent& event : sample_events()) {
    const std::string bytes = encoded(event);
    for (int round = 0; round < 3'000; ++round) {
      std::string broken = bytes;
      for (std::uint64_t changes = 1 + rng.below(3); changes > 0; --changes) {
        if (broken.empty()) break;
        const auto at = static_cast<std::size_t>(rng.below(broken.size()));
        switch (rng.below(4)) {
          case 0: broken[at] = static_cast<char>(rng.below(256)); break;
          case 1: broken[at] = static_cast<char>(static_cast<unsigned char>(broken[at]) ^ (1U << rng.below(8))); break;
          case 2: broken.insert(at, 1, static_cast<char>(rng.below(256))); break;
          default: broken.erase(at, 1); break;
        }
      }
      const RecordKind kind = rng.below(16) == 0 ? kEventKinds[rng.below(kEventKinds.size())] : kind_of(event);
      RecordedEvent found;
      if (decode_event(kind, broken, found) != nullptr) continue;
      ++taken;
      EXPECT_EQ(encoded(found), broken);
    }
  }
  EXPECT_GT(taken, 1'000U);  // otherwise the loop above has shown little
}

TEST(RecordingFormat, RefusesNumbersThatAreWrittenInAnotherWay) {
  EXPECT_EQ(refusal_of(RecordKind::frame, std::string("\x81\x00", 2)), "a number in it is malformed");
  EXPECT_EQ(refusal_of(RecordKind::recording_end, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "");
  EXPECT_EQ(refusal_of(RecordKind::recording_end, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
            "a number in it is malformed");
  EXPECT_EQ(refusal_of(RecordKind::recording_end, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x01"),
            "a number in it is malformed");
  EXPECT_EQ(refusal_of(RecordKind::recording_begin, std::string("\x80\x80\x80\x80\x10\x00", 6)),
            "a number in it is too large");
}

TEST(RecordingFormat, BelievesNoLength) {
  const std::string huge = "\xff\xff\xff\xff\x7f";  // 2^35 - 1
  EXPECT_EQ(refusal_of(RecordKind::recording_begin, "\x01" + huge + "me"), "it ends too early");
  EXPECT_EQ(refusal_of(recorded::Response{}), "it is an answer and an error, or neither");
  recorded::Response answer{1, 1, {}, 0, 200, {}, "", {}, ""};
  std::string bytes = encoded(answer);
  bytes.replace(1 + 1 + 32 + 1 + 2, 1, huge);
  EXPECT_EQ(refusal_of(RecordKind::response_body, bytes), "a list in it is longer than it can be");
}

TEST(RecordingFormat, RefusesToRecordWhatCouldNotBeReplayed) {
  EXPECT_EQ(refusal_of(recorded::Fed{{-1, 0}, Tick{}, {}}), "the monotonic time is negative");
  EXPECT_EQ(refusal_of(recorded::Fed{{0, 0}, Replied{1, Usage{-1}, nullptr, nullptr}, {}}),
            "a token count is negative or above 2^53");
  EXPECT_EQ(refusal_of(recorded::Fed{{0, 0}, Failed{1, Outcome::timeout, {}, -1, {}, nullptr}, {}}),
            "retry_after is negative");
  Submit call = sample_submit();
  call.priority = static_cast<Priority>(3);
  EXPECT_EQ(refusal_of(recorded::Fed{{0, 0}, call, {}}), "a value in it has no name");
  call = sample_submit();
  call.scopes.assign(kLongestList + 1, {"user", "a"});
  EXPECT_EQ(refusal_of(recorded::Fed{{0, 0}, call, {}}), "a list in it has more than 65,536 items");
  call = sample_submit();
  PriceCard wrong = *sample_card();
  wrong.base.input = -1;
  call.targets[0].price = std::make_shared<PriceCard>(wrong);
  EXPECT_EQ(refusal_of(recorded::Fed{{0, 0}, call, {}}), "a price card has a negative rate or tiers out of order");
  Config config;
  config.max_lanes = -1;
  ASSERT_FALSE(config.problems().empty());
  EXPECT_EQ(refusal_of(recorded::Start{config}), "the configuration is unusable");
  EXPECT_EQ(refusal_of(recorded::Begin{kRecordingVersion + 1, ""}), "it was written by a newer version of llmcore");
  EXPECT_EQ(refusal_of(recorded::Draw{"d6", 6, 6}), "the value is outside of its bound");
  EXPECT_EQ(refusal_of(recorded::Draw{"", 6, 5}), "the name is empty");
  EXPECT_EQ(refusal_of(recorded::Draw{std::string(kLongestName + 1, 'n'), 6, 5}), "the name has more than 4,096 bytes");
  EXPECT_EQ(refusal_of(recorded::Snapshot{1, "world", {1}, "orcs"}), "the hash is not that of the bytes");
  EXPECT_EQ(refusal_of(recorded::Request{1, 1, {}, 0, "p", "POST", "u", std::string(kLargestEvent, 'x')}),
            "it has more than 128 MiB");
}

TEST(RecordingFormat, NamesTheFirstFieldThatDiffers) {
  const auto told = [](const RecordedEvent& a, const RecordedEvent& b) {
    const FieldDifference difference = difference_of(a, b);
    return difference.field + ": " + difference.expected + " / " + difference.got;
  };
  EXPECT_EQ(told(recorded::Frame{1}, recorded::Frame{1}), ":  / ");
  EXPECT_EQ(told(recorded::Frame{1}, recorded::Frame{2}), "tick: 1 / 2");
  EXPECT_EQ(told(recorded::Frame{1}, recorded::End{1}), "kind: frame / recording_end");
  recorded::Fed one{{1, 2}, sample_submit(), {10}};
  recorded::Fed other = one;
  std::get<Submit>(other.input).targets[1].model = "p";
  EXPECT_EQ(told(one, other), "input.submit.targets[1].model: o / p");
  other = one;
  std::get<Submit>(other.input).targets[0].price = nullptr;
  EXPECT_EQ(told(one, other), "input.submit.targets[0].price.base.input: 1 / absent");
  other = one;
  std::get<Submit>(other.input).scopes.pop_back();
  EXPECT_EQ(told(one, other), "input.submit.scopes[1]: game: g7 / absent");
  other = one;
  other.input = Tick{};
  EXPECT_EQ(told(one, other), "input.submit.tenant: tenant / absent");
  other = one;
  other.state = {11};
  EXPECT_EQ(told(one, other), "state: 000000000000000a / 000000000000000b");
  recorded::Start before{sample_config()};
  recorded::Start after = before;
  after.config.provider_limits["openai"].max_in_flight = 5;
  EXPECT_EQ(told(before, after), "config.provider_limits.openai.max_in_flight: 0 / 5");
}

TEST(RecordingFormat, TellsApartWhatReadsAlike) {
  recorded::Response one{1, 1, {}, 0, 200, {{"a", "b: c"}}, "", {}, ""};
  recorded::Response other = one;
  other.headers = {{"a: b", "c"}};
  EXPECT_EQ(difference_of(one, other).field, "headers[0]");
  const std::string text = "absent";
  EXPECT_EQ(difference_of(recorded::Snapshot{1, "world", hash_of_state(text), std::nullopt},
                          recorded::Snapshot{1, "world", hash_of_state(text), text})
                .field,
            "bytes");
}

TEST(RecordingFormat, ShowsOfLongTextsTheStretchThatDiffers) {
  recorded::Request one{1, 1, {}, 0, "p", "POST", "u", std::string(5'000, 'x') + "cat" + std::string(5'000, 'y')};
  recorded::Request other = one;
  other.body[5'000] = 'r';
  const FieldDifference difference = difference_of(one, other);
  EXPECT_EQ(difference.field, "body");
  EXPECT_EQ(difference.expected.size(), 206U);
  EXPECT_NE(difference.expected.find("xcaty"), std::string::npos);
  EXPECT_NE(difference.got.find("xraty"), std::string::npos);
}

}  // namespace
}  // namespace llmcore
