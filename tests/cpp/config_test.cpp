#include "llmcore/config.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "llmcore/engine.hpp"

namespace llmcore {
namespace {

/// Whether exactly one problem was found, and it is that part's.
bool only_about(const Config& config, const std::string& part) {
  const std::vector<std::string> found = config.problems();
  return found.size() == 1 && found.front().starts_with(part + ": ");
}

TEST(Config, BothPresetsAreUsableAndTheDefaultIsTheGames) {
  EXPECT_TRUE(Config::game().problems().empty());
  EXPECT_TRUE(Config::server().problems().empty());
  EXPECT_EQ(Config{}.limits.requests_per_minute, Config::game().limits.requests_per_minute);
}

TEST(Config, GameAllowsAMinutesBurstOfSixtyAndServerNoLimitUntilToldOne) {
  EXPECT_EQ(Config::game().limits.requests_per_minute, 60);
  EXPECT_TRUE(Config::game().limits.minute_burst);
  EXPECT_EQ(Config::server().limits.requests_per_minute, 0);
  EXPECT_FALSE(Config::server().limits.minute_burst);
}

TEST(Config, NamesThePartThatEachProblemIsIn) {
  Config config;
  config.limits.requests_per_minute = -1;
  EXPECT_TRUE(only_about(config, "limits"));

  config = {};
  config.provider_limits["openai"].max_in_flight = -1;
  EXPECT_TRUE(only_about(config, "limits.providers.openai"));

  config = {};
  config.queue.total_capacity = -1;
  EXPECT_TRUE(only_about(config, "queue"));

  config = {};
  config.cache.ttl = -1;
  EXPECT_TRUE(only_about(config, "cache"));

  config = {};
  config.backoff.base = -1;
  EXPECT_TRUE(only_about(config, "retry"));

  config = {};
  config.recovery.max_attempts = 0;
  EXPECT_TRUE(only_about(config, "recovery"));

  config = {};
  config.deadline = 0;
  EXPECT_TRUE(only_about(config, "deadline"));

  config = {};
  config.attempt_timeout = 0;
  EXPECT_TRUE(only_about(config, "attempt_timeout"));

  config = {};
  config.max_lanes = 0;
  EXPECT_TRUE(only_about(config, "max_lanes"));
}

TEST(Config, NumbersTheBudgetThatIsWrong) {
  Config config;
  config.budgets.resize(2);
  config.budgets[0].limit = 1;
  config.budgets[1].limit = 1;
  config.budgets[1].scope = "neither";
  EXPECT_TRUE(only_about(config, "budgets[1]"));
}

TEST(Config, BoundsTheAttemptsThatAnAttemptsIdHasRoomFor) {
  Config config;
  config.recovery.max_attempts = 60;
  EXPECT_TRUE(config.problems().empty());
  config.recovery.max_attempts = 61;
  EXPECT_TRUE(only_about(config, "recovery"));
}

TEST(Config, TheEngineRefusesWithEverySentence) {
  Config config;
  config.deadline = 0;
  config.max_lanes = 0;
  try {
    const Engine engine(config);
    FAIL() << "an engine was made of an unusable config";
  } catch (const std::invalid_argument& error) {
    const std::string text = error.what();
    for (const std::string& problem : config.problems()) EXPECT_NE(text.find(problem), std::string::npos) << text;
  }
}

TEST(Config, TellsEveryProblemInOneLineWhateverTheNames) {
  Config config;
  config.provider_limits[std::string("a\0b\n", 4)].requests_per_minute = -1;
  config.budgets = {BudgetRule{std::string("user\0\x7f", 6), Period::total, 1, {}}};
  config.max_lanes = 0;
  const std::vector<std::string> problems = config.problems();
  ASSERT_EQ(problems.size(), 3U);
  EXPECT_NE(problems[0].find("a\\x00b\\x0a"), std::string::npos) << problems[0];
  EXPECT_NE(problems[1].find("user\\x00\\x7f"), std::string::npos) << problems[1];
  try {
    const Engine engine(config);
    FAIL() << "it was taken";
  } catch (const std::invalid_argument& error) {
    for (const std::string& problem : problems)
      EXPECT_NE(std::string_view(error.what()).find(problem), std::string::npos);
  }
}

}  // namespace
}  // namespace llmcore
