// The reader of JSON: what it takes and what it refuses, against nlohmann-json as the judge.
#include "net/json.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace llmcore::net {
namespace {

using Kind = Json::Kind;

TEST(JsonReader, TakesWhatIsJsonAndNothingElse) {
  const std::vector<std::string> texts = {"{}",
                                          "[]",
                                          "\"\"",
                                          "0",
                                          "-0",
                                          "1.5e-7",
                                          "1E+9",
                                          "true",
                                          "false",
                                          "null",
                                          " [ 1 , 2 ] \n",
                                          R"({"a":{"b":[{}]}})",
                                          R"("\ud83d\ude00")",
                                          "\"\xC3\xBC\"",
                                          "",
                                          " ",
                                          "{",
                                          "[1,]",
                                          "{\"a\":1,}",
                                          "{a:1}",
                                          "01",
                                          "1.",
                                          ".5",
                                          "+1",
                                          "1e",
                                          "-",
                                          "tru",
                                          "nul",
                                          "\"",
                                          "\"\\x\"",
                                          "\"\\u12\"",
                                          R"("\ud83d")",
                                          R"("\ude00")",
                                          R"("\ud83dx")",
                                          "\"\xFF\"",
                                          "\"\xC3\"",
                                          "\"\xED\xA0\x80\"",
                                          "\"\xF5\x80\x80\x80\"",
                                          "\"a\nb\"",
                                          "1 2",
                                          "[1 2]",
                                          "{\"a\" 1}",
                                          "NaN",
                                          "[}",
                                          "{\"a\":}",
                                          "{1:2}"};
  for (const std::string& text : texts) {
    EXPECT_EQ(Json::parse(text).has_value(), nlohmann::json::accept(text)) << text;
  }
}

TEST(JsonReader, IsNeverLedTooDeep) {
  const std::string deep(1'000'000, '[');
  EXPECT_FALSE(Json::parse(deep));
  EXPECT_FALSE(Json::parse(std::string(300, '[') + std::string(300, ']')));
  EXPECT_TRUE(Json::parse(std::string(200, '[') + std::string(200, ']')));
}

TEST(JsonReader, LooksUpWhatIsThere) {
  const std::string text = R"( {"a" : [1, {"b\n":"x\u00fc\ud83d\ude00"}], "c":{"d":null}, "a":[true] , "e":"]},{\""} )";
  const Json json = *Json::parse(text);
  EXPECT_EQ(json["a"].first().boolean(), true) << "the last of a name counts";
  EXPECT_TRUE(json["c"]["d"].is(Kind::null));
  EXPECT_TRUE(json["c"]["none"]["below"].absent());
  EXPECT_EQ(json["e"].text(), "]},{\"");
  std::vector<std::string> names;
  json.each_member([&](std::string_view name, Json value) {
    names.emplace_back(name);
    if (names.size() == 1) {
      int at = 0;
      value.each([&](Json element) {
        if (at++ == 1) {
          EXPECT_EQ(element["b\n"].text(), "x\xC3\xBC\xF0\x9F\x98\x80");
        }
        return true;
      });
    }
    return true;
  });
  EXPECT_EQ(names, (std::vector<std::string>{"a", "c", "a", "e"}));
  EXPECT_EQ(json.members().size(), 3U);
}

TEST(JsonReader, KnowsWhatSaysNothing) {
  for (const char* const text : {"null", "false", "0", "0.0", "-0e5", "\"\"", "[]", "[ ]", "{ }"}) {
    EXPECT_FALSE(Json::parse(text)->says_something()) << text;
  }
  for (const char* const text : {"true", "1", "0.3", "1e-9", "\" \"", "[0]", "{\"a\":0}"}) {
    EXPECT_TRUE(Json::parse(text)->says_something()) << text;
  }
}

TEST(JsonReader, NumbersAreExactAndRoundHalfToEven) {
  EXPECT_EQ(scaled_decimal("0.00042175", 9), 421'750);
  EXPECT_EQ(scaled_decimal("2.5", 0), 2);
  EXPECT_EQ(scaled_decimal("3.5", 0), 4);
  EXPECT_EQ(scaled_decimal("2.50001", 0), 3);
  EXPECT_EQ(scaled_decimal("-2.5", 0), -2);
  EXPECT_EQ(scaled_decimal("0.05", 0), 0);
  EXPECT_EQ(scaled_decimal("1e3", 0), 1000);
  EXPECT_EQ(scaled_decimal("12e-1", 1), 12);
  EXPECT_EQ(scaled_decimal("1e300", 9), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(scaled_decimal("-1e999999999999", 0), -std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(scaled_decimal("1e-999999999999", 0), 0);
  EXPECT_EQ(scaled_decimal("0.5", 0), 0);
  EXPECT_EQ(scaled_decimal("0.51", 0), 1);
  EXPECT_EQ(Json::parse("20.0")->whole(), 20);
  EXPECT_EQ(Json::parse("20.5")->whole(), std::nullopt);
  EXPECT_EQ(Json::parse("99999999999999999999")->whole(), std::nullopt);
  EXPECT_EQ(scaled_decimal("abc", 0), std::nullopt);
  EXPECT_EQ(scaled_decimal("1e", 0), std::nullopt);
  EXPECT_EQ(scaled_decimal("", 0), std::nullopt);
}

TEST(JsonReader, PutsRightWhatProvidersSend) {
  std::string repaired;
  EXPECT_EQ((*parse_leniently("\xEF\xBB\xBF{\"a\":\"x\\ud83d.\"}", repaired))["a"].text(), "x\xEF\xBF\xBD.");
  EXPECT_TRUE((*parse_leniently(R"({"a":NaN,"b":[-Infinity]})", repaired))["a"].is(Kind::null));
  EXPECT_EQ((*parse_leniently("{\"a\":\"\xFF NaN\"}", repaired))["a"].text(), "\xEF\xBF\xBD NaN");
  EXPECT_EQ((*parse_leniently("[\"\\\\ud800\xFF\"]", repaired)).first().text(), "\\ud800\xEF\xBF\xBD");
  EXPECT_FALSE(parse_leniently("{\"a\":", repaired));
}

TEST(JsonWriter, WritesCompactAndSorted) {
  const std::string text = R"( { "b" : [ 1.50 , "\u00e9\n" ] , "a" : { "d" : {} , "c" : null }, "b": 2 } )";
  std::string sorted, compact;
  append_sorted(sorted, *Json::parse(text));
  EXPECT_EQ(sorted, R"({"a":{"c":null,"d":{}},"b":2})");
  append_compact(compact, *Json::parse(R"({ "b" : [ 1.50 , "\u00e9\n" ], "a":1 })"));
  EXPECT_EQ(compact, "{\"b\":[1.50,\"\xC3\xA9\\n\"],\"a\":1}");
}

}  // namespace
}  // namespace llmcore::net
