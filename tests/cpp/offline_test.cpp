#include "llmcore/offline.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llmcore/hash.hpp"

namespace llmcore {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr ProblemType kProblems[] = {ProblemType::general,  ProblemType::dialogue, ProblemType::decision,
                                     ProblemType::analysis, ProblemType::summary,  ProblemType::conflict,
                                     ProblemType::shortage, ProblemType::danger};
constexpr std::int64_t kSeverities[] = {0, 300, 700, 1000};  // one of each band
constexpr std::uint64_t kSeeds = 40;                         // enough to meet every text of a band

const OfflineGenerator kOffline;

std::string text_of(ProblemType problem, std::int64_t severity, std::uint64_t seed,
                    std::vector<std::pair<std::string, std::string>> placeholders = {}) {
  return kOffline.generate(
      {.problem = problem, .severity = severity, .seed = seed, .placeholders = std::move(placeholders)});
}

std::set<std::string> texts_of(ProblemType problem, std::int64_t severity) {
  std::set<std::string> texts;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) texts.insert(text_of(problem, severity, seed));
  return texts;
}

/// The whole text of the value that stands where a template has {topic}.
std::string with_topic(const std::string& value) { return text_of(ProblemType::summary, 0, 2, {{"topic", value}}); }

nlohmann::json parsed(const OfflineRequest& request) {
  OfflineRequest with_json = request;
  with_json.json = true;
  return nlohmann::json::parse(kOffline.generate(with_json));
}

// --- the texts
// -------------------------------------------------------------------------------------------------------------

TEST(Offline, SaysTheSameOnEveryPlatform) {
  EXPECT_EQ(
      text_of(ProblemType::general, 500, 0),
      "This is a prepared reply, because no model was reachable. What can be said about the matter at hand is that it "
      "should not be left alone for long.");
  EXPECT_EQ(text_of(ProblemType::dialogue, 100, 1, {{"name", "Mira"}, {"place", "Oakford"}, {"topic", "the harvest"}}),
            "I have been thinking about the harvest, and I would like to hear what you make of it.");
  EXPECT_EQ(
      text_of(ProblemType::shortage, 1000, 3, {{"resource", "grain"}, {"place", "Oakford"}}),
      "Want has many names, and here it is called grain. It has emptied the houses of Oakford, then the streets, then "
      "the hearts of those who stayed. Order holds wherever someone is still strong enough to hold it. Unless relief "
      "comes from beyond the border at once, there will be no one left to receive it.");
  EXPECT_EQ(
      kOffline.generate({.problem = ProblemType::danger, .severity = 610, .seed = 7, .json = true}),
      R"({"text":"Every warning about the matter at hand has come true at once. The ground in the area is not safe to )"
      R"(stand on, and the dark makes it worse. Move now, move quietly, and let the common goal go for as long as it )"
      R"(takes.","problem":"danger","severity":610})");
}

// The table that test_core_accounts.py reads too.
TEST(Offline, SaysWhatTheTableOfBothLanguagesSays) {
  std::ifstream table("tests/data/offline/texts.jsonl");
  int rows = 0;
  for (std::string line; std::getline(table, line); ++rows) {
    const auto row = nlohmann::json::parse(line);
    OfflineRequest request;
    request.problem = OfflineGenerator::problem_of(row["problem"].get<std::string>());
    request.severity = row["severity"];
    request.seed = row["seed"];
    request.json = row["json"];
    for (const auto& [name, value] : row["placeholders"].items()) request.placeholders.emplace_back(name, value);
    EXPECT_EQ(kOffline.generate(request), row["text"]) << line;
  }
  EXPECT_EQ(rows, 96);
}

TEST(Offline, CountsWhatItGenerated) {
  const OfflineGenerator generator;
  const auto generate = [&](ProblemType problem, bool json) {
    return generator.generate({.problem = problem, .json = json});
  };
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(generate(ProblemType::danger, i == 0).empty());
  EXPECT_FALSE(generate(ProblemType::general, false).empty());
  EXPECT_EQ(generator.stats().generated, 4);
  EXPECT_EQ(generator.stats().json, 1);
  EXPECT_EQ(generator.stats().by_problem[static_cast<std::size_t>(ProblemType::danger)], 3);
  EXPECT_EQ(generator.stats().by_problem[static_cast<std::size_t>(ProblemType::general)], 1);
}

TEST(Offline, EveryTextIsTheOneThatRecordingsKnow) {
  std::uint64_t hash = 0;
  for (const ProblemType problem : kProblems) {
    for (const std::int64_t severity : kSeverities) {
      for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        hash = mix64(hash, std::string_view(text_of(problem, severity, seed)));
      }
    }
  }
  EXPECT_EQ(hash, 2'327'534'321'011'605'484U)
      << "a text or the choice of one changed: old recordings no longer replay to the same bytes";
}

TEST(Offline, TheSeedChoosesAmongSeveralTextsOfEachKind) {
  std::set<std::string> all;
  for (const ProblemType problem : kProblems) {
    for (const std::int64_t severity : kSeverities) {
      const auto texts = texts_of(problem, severity);
      EXPECT_EQ(texts.size(), 3U) << OfflineGenerator::name_of(problem) << " at " << severity;
      all.insert(texts.begin(), texts.end());
      EXPECT_EQ(text_of(problem, severity, 12), text_of(problem, severity, 12));
    }
  }
  EXPECT_EQ(all.size(), 96U) << "two kinds share a text";
}

TEST(Offline, TextsGrowWithSeverity) {
  for (const ProblemType problem : kProblems) {
    std::size_t longest_so_far = 0;
    std::size_t sentences_so_far = 0;
    for (const std::int64_t severity : kSeverities) {
      std::size_t longest = 0;
      for (const std::string& text : texts_of(problem, severity)) {
        const auto sentences = static_cast<std::size_t>(
            std::count_if(text.begin(), text.end(), [](char c) { return c == '.' || c == '!' || c == '?'; }));
        EXPECT_GT(text.size(), longest_so_far) << text;
        EXPECT_GT(sentences, sentences_so_far) << text;
        longest = std::max(longest, text.size());
      }
      longest_so_far = longest;
      ++sentences_so_far;
    }
  }
}

TEST(Offline, BandsBeginAtTheirSeverities) {
  const auto texts_at = [](std::int64_t severity) { return texts_of(ProblemType::danger, severity); };
  EXPECT_EQ(texts_at(0), texts_at(249));
  EXPECT_NE(texts_at(249), texts_at(250));
  EXPECT_EQ(texts_at(250), texts_at(599));
  EXPECT_NE(texts_at(599), texts_at(600));
  EXPECT_EQ(texts_at(600), texts_at(849));
  EXPECT_NE(texts_at(849), texts_at(850));
  EXPECT_EQ(texts_at(850), texts_at(1000));
}

TEST(Offline, ClampsSeverity) {
  EXPECT_EQ(text_of(ProblemType::danger, std::numeric_limits<std::int64_t>::min(), 4),
            text_of(ProblemType::danger, 0, 4));
  EXPECT_EQ(text_of(ProblemType::danger, std::numeric_limits<std::int64_t>::max(), 4),
            text_of(ProblemType::danger, 1000, 4));
  EXPECT_EQ(parsed({.severity = 5000})["severity"], 1000);
  EXPECT_EQ(parsed({.severity = -1})["severity"], 0);
}

TEST(Offline, AnUnknownProblemIsAGeneralOne) {
  const auto unknown = static_cast<ProblemType>(200);
  EXPECT_EQ(OfflineGenerator::name_of(unknown), "general");
  EXPECT_EQ(text_of(unknown, 500, 1), text_of(ProblemType::general, 500, 1));
}

TEST(Offline, TextsReadWellWithAndWithoutValues) {
  const std::vector<std::pair<std::string, std::string>> values{{"name", "v"},  {"other", "v"}, {"topic", "v"},
                                                                {"place", "v"}, {"goal", "v"},  {"resource", "v"}};
  for (const ProblemType problem : kProblems) {
    for (const std::int64_t severity : kSeverities) {
      for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
        for (const std::string& text : {text_of(problem, severity, seed), text_of(problem, severity, seed, values)}) {
          ASSERT_THAT(text, Not(HasSubstr("{")));
          ASSERT_THAT(text, Not(HasSubstr("}")));
          ASSERT_THAT(text, Not(HasSubstr("  ")));
          ASSERT_TRUE(text.back() == '.' || text.back() == '!') << text;
          bool begins = true;  // a sentence
          for (const char c : text) {
            ASSERT_TRUE(c >= ' ' && c <= '~') << text;
            if (begins && c != ' ') {
              ASSERT_TRUE(c >= 'A' && c <= 'Z') << text;
              begins = false;
            }
            begins = begins || c == '.' || c == '!';
          }
        }
      }
    }
  }
}

// --- placeholders
// ----------------------------------------------------------------------------------------------------------

TEST(Offline, PutsValuesInPlaceOfTheirNames) {
  EXPECT_EQ(with_topic("the bridge"), "In short: the bridge went as expected, and nothing remains to be done.");
}

TEST(Offline, APlaceholderThatIsNotNamedGetsANeutralWord) {
  EXPECT_EQ(text_of(ProblemType::summary, 0, 2), with_topic("the matter at hand"));
  EXPECT_EQ(text_of(ProblemType::summary, 0, 2, {{"unheard_of", "x"}}), with_topic("the matter at hand"));
}

TEST(Offline, TheFirstValueOfANameCounts) {
  EXPECT_EQ(text_of(ProblemType::summary, 0, 2, {{"topic", "one"}, {"topic", "two"}}), with_topic("one"));
}

TEST(Offline, ValuesAreInsertedAsTheyAre) {
  EXPECT_THAT(text_of(ProblemType::summary, 0, 2, {{"topic", "{name} and {topic} {"}, {"name", "Mira"}}),
              HasSubstr("{name} and {topic} {"));
  EXPECT_THAT(with_topic("a \"b\" \\ \n \t c"), HasSubstr("a \"b\" \\ \n \t c"));
  EXPECT_THAT(with_topic("Br\xC3\xBC"
                         "cke \xE2\x82\xAC \xF0\x9F\x8C\x8A"),
              HasSubstr("Br\xC3\xBC"
                        "cke \xE2\x82\xAC \xF0\x9F\x8C\x8A"));
  EXPECT_THAT(with_topic(std::string("a\0b", 3)), HasSubstr(std::string("a\0b", 3)));
  EXPECT_THAT(with_topic(""), Not(HasSubstr("the matter at hand")));
}

TEST(Offline, WhatIsNotUtf8BecomesTheReplacementCharacter) {
  const std::string r = "\xEF\xBF\xBD";
  // As Python's bytes.decode("utf-8", "replace") answers.
  const std::vector<std::pair<std::string, std::string>> cases{
      {"\x80", r},
      {"\xFF\xFE", r + r},
      {"a\xC3", "a" + r},                                // broken off at the end
      {"\xC3(", r + "("},                                // broken off by another character
      {"\xC0\xAF", r + r},                               // overlong
      {"\xC1\xBF", r + r},                               // overlong
      {"\xE0\x80\xAF", r + r + r},                       // overlong
      {"\xF0\x80\x80\xAF", r + r + r + r},               // overlong
      {"\xED\xA0\x80", r + r + r},                       // a surrogate
      {"\xF4\x90\x80\x80", r + r + r + r},               // beyond U+10FFFF
      {"\xF5\x80\x80\x80", r + r + r + r},               // beyond U+10FFFF
      {"\xE2\x82", r},                                   // two of three
      {"\xE2\x82x", r + "x"},                            //
      {"\xF0\x9F\x8C", r},                               // three of four
      {"\xF0\x9F\x8C\xE2\x82\xAC", r + "\xE2\x82\xAC"},  // and then a whole one
      {"\xF1\x80\x41", r + "A"},                         //
      {"\xC2\x80", "\xC2\x80"},                          // the least and the greatest of each length are fine
      {"\xDF\xBF", "\xDF\xBF"},
      {"\xE0\xA0\x80", "\xE0\xA0\x80"},
      {"\xED\x9F\xBF", "\xED\x9F\xBF"},
      {"\xEE\x80\x80", "\xEE\x80\x80"},
      {"\xEF\xBF\xBF", "\xEF\xBF\xBF"},
      {"\xF0\x90\x80\x80", "\xF0\x90\x80\x80"},
      {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
  };
  for (const auto& [value, expected] : cases) EXPECT_EQ(with_topic(value), with_topic(expected));
}

// --- JSON
// ------------------------------------------------------------------------------------------------------------------

TEST(Offline, JsonHoldsTheTextTheProblemAndTheSeverity) {
  for (const ProblemType problem : kProblems) {
    for (const std::int64_t severity : kSeverities) {
      const auto json = parsed({.problem = problem, .severity = severity, .seed = 9});
      ASSERT_TRUE(json.is_object());
      EXPECT_EQ(json.size(), 3U);
      EXPECT_EQ(json["text"], text_of(problem, severity, 9));
      EXPECT_EQ(json["problem"], OfflineGenerator::name_of(problem));
      EXPECT_EQ(json["severity"], severity);
    }
  }
}

TEST(Offline, JsonEscapesWhateverAValueHolds) {
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  for (const std::string& value :
       {std::string("\"},{\"text\":\""), std::string("\\"), std::string("\\u0041"), std::string("\x7F"),
        std::string("\xE2\x80\xA8"), std::string("\xF0\x9F"), every_byte}) {
    const OfflineRequest request{
        .problem = ProblemType::summary, .severity = 0, .seed = 2, .placeholders = {{"topic", value}}};
    EXPECT_EQ(parsed(request)["text"], with_topic(value));
  }
  const OfflineRequest request{.problem = ProblemType::summary,
                               .severity = 0,
                               .seed = 2,
                               .placeholders = {{"topic", std::string("\"\\/\b\f\n\r\t\x01\x1F\0", 11)}},
                               .json = true};
  EXPECT_THAT(kOffline.generate(request), HasSubstr(R"(\"\\/\b\f\n\r\t\u0001\u001f\u0000)"));
}

// --- the problem of a call
// -------------------------------------------------------------------------------------------------

TEST(Offline, KnowsTheProblemOfACallType) {
  const std::vector<std::pair<std::string_view, std::string_view>> cases{
      {"player_decision", "decision"},
      {"commentary", "dialogue"},
      {"chat", "dialogue"},
      {"chat_suggestion", "dialogue"},
      {"targeted_chat", "dialogue"},
      {"summarization", "summary"},
      {"sentiment_analysis", "analysis"},
      {"classification", "analysis"},
      {"extraction", "analysis"},
      {"rag_query", "analysis"},
      {"rag_synthesis", "analysis"},
      {"embedding", "general"},
      {"system", "general"},
      {"other", "general"},
      {"personality_generation", "general"},
      {"image_description", "general"},
      {"", "general"},
      {"rag", "general"},
      {"War", "conflict"},
      {"FAMINE", "shortage"},
      {"Fire", "danger"},
      {"warm", "general"},
  };
  for (const auto& [call_type, problem] : cases) {
    EXPECT_EQ(OfflineGenerator::name_of(OfflineGenerator::problem_of(call_type)), problem) << call_type;
  }
}

TEST(Offline, EveryProblemIsKnownByItsName) {
  for (const ProblemType problem : kProblems) {
    EXPECT_EQ(OfflineGenerator::problem_of(OfflineGenerator::name_of(problem)), problem);
  }
}

}  // namespace
}  // namespace llmcore
