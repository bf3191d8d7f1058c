// What a session writes of its calls: JSON that everybody reads, whatever a host's strings and numbers are.
#include "net/session_json.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>

namespace llmcore::net {
namespace {

constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();

TEST(SessionJson, ACallIsJsonWhateverItsStringsAre) {
  Client::Request request;
  request.messages = {{Client::Role::user, "Gr\xFC\xDF dich\x01 \"du\"", {}, {}},
                      {Client::Role::assistant, "", {{"c1", "look_up", R"({"a":1})"}}, {}},
                      {Client::Role::tool, "nothing", {}, "c1"}};
  request.placeholders = {{"who\xFF", "Ada"}, {"where", "\xE2\x82"}};
  request.chain = {{"openai", "m"}, {"offline", ""}};
  request.context.player_name = "ann\x80";
  request.temperature = 0.5;
  request.cache = false;
  request.tag = kMost;
  const std::string text = session_submit(kMost - 1, request);
  const auto read = nlohmann::json::parse(text);
  EXPECT_EQ(read.dump(), text) << "compact, and its names sorted";
  EXPECT_EQ(read["messages"][0]["content"], "Gr\xEF\xBF\xBD\xEF\xBF\xBD dich\x01 \"du\"");
  EXPECT_EQ(read["messages"][1]["tool_calls"][0]["arguments"], R"({"a":1})");
  EXPECT_EQ(read["messages"][2]["tool_call_id"], "c1");
  EXPECT_EQ(read["placeholders"]["who\xEF\xBF\xBD"], "Ada");
  EXPECT_EQ(read["chain"], nlohmann::json::array({"openai/m", "offline/"}));
  EXPECT_EQ(read["context"]["player"], "ann\xEF\xBF\xBD");
  EXPECT_EQ(read["tag"], kMost);
  EXPECT_EQ(session_call(text), kMost - 1);
  EXPECT_EQ(session_call("[7]"), 0U);
  EXPECT_EQ(session_call(R"({"call":7.5})"), 0U);
  EXPECT_EQ(session_call("no JSON"), 0U);
}

TEST(SessionJson, EventsComeBackAsTheyWere) {
  const std::string words = "Hel\"lo\n";
  Client::Event event;
  event.kind = Client::Event::Kind::finished;
  event.call = kMost;
  event.tag = kMost - 1;
  event.outcome = Outcome::timeout;
  event.source = Source::cache;
  event.fallback = true;
  event.attempts = 3;
  event.text = words;
  event.provider = "openai";
  event.latency = 5 * kSecond;
  event.cost = -1;
  SessionEvents back;
  ASSERT_TRUE(back.read(session_events({event, Client::Event{}})));
  ASSERT_EQ(back.events.size(), 2U);
  const Client::Event& first = back.events.front();
  EXPECT_EQ(first.kind, event.kind);
  EXPECT_EQ(first.call, event.call);
  EXPECT_EQ(first.tag, event.tag);
  EXPECT_EQ(first.outcome, event.outcome);
  EXPECT_EQ(first.source, event.source);
  EXPECT_TRUE(first.fallback);
  EXPECT_EQ(first.attempts, 3U);
  EXPECT_EQ(first.text, words);
  EXPECT_EQ(first.provider, "openai");
  EXPECT_EQ(first.latency, event.latency);
  EXPECT_EQ(first.cost, event.cost);
  EXPECT_FALSE(back.events.back().cost);
  EXPECT_EQ(back.events.back().text, "");
  for (const char* const none : {"", "{}", "[1]", "[{]"}) EXPECT_FALSE(back.read(none)) << none;
  ASSERT_TRUE(back.read(R"([{"kind":99,"source":-3,"attempts":-1,"outcome":"unheard of","text":7}])"));
  EXPECT_EQ(back.events[0].kind, static_cast<Client::Event::Kind>(4));
  EXPECT_EQ(back.events[0].outcome, Outcome::server_error);
  EXPECT_EQ(back.events[0].attempts, 0U);
}

TEST(SessionJson, TheFirstDifferenceHasAFieldAndBothValues) {
  const auto told = [](std::string_view expected, std::string_view got) {
    const JsonDifference found = json_difference("submit", expected, got);
    return found.field.empty() ? std::string() : found.field + ": " + found.expected + ", " + found.got;
  };
  EXPECT_EQ(told(R"({"a":[1,{"b":"x"}],"c":2})", R"({"a":[1,{"b":"y"}],"c":3})"), "submit.a[1].b: x, y");
  EXPECT_EQ(told(R"({"a":1})", R"({"a":1,"b":null})"), "submit.b: absent, null");
  EXPECT_EQ(told(R"({"a":1,"b":{"d":1,"c":2}})", R"({"a":1})"), R"(submit.b: {"c":2,"d":1}, absent)");
  EXPECT_EQ(told("[1]", "[1,2]"), "submit[1]: absent, 2");
  EXPECT_EQ(told(R"([1])", R"({"a":1})"), R"(submit: [1], {"a":1})");
  EXPECT_EQ(told(R"({"a":1,"b":2})", R"({"b":2,"a":1})"), "") << "the order of names says nothing";
  EXPECT_EQ(told("{", "[1]"), "") << "what is no JSON has no field";
  const std::string longer(300, 'x');
  EXPECT_EQ(told("1", "\"" + longer + "\""), "submit: 1, " + longer.substr(0, 200) + "...");
}

}  // namespace
}  // namespace llmcore::net
