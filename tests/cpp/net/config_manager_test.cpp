// Where settings come from, which source wins, and what is said of those that are wrong.
#include "llmcore/net/config_manager.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

namespace llmcore::net {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Settings from(const ConfigManager::Environment& environment, std::string_view json = "") {
  ConfigManager config;
  if (!json.empty()) config.add_json(json, "game.json");
  config.add_environment(environment);
  EXPECT_THAT(config.problems(), IsEmpty());
  return config.settings();
}

std::vector<std::string> wrong(const ConfigManager::Environment& environment, std::string_view json = "") {
  ConfigManager config;
  if (!json.empty()) config.add_json(json, "game.json");
  config.add_environment(environment);
  return config.problems();
}

TEST(ConfigManager, WithoutAnythingItIsAGameOffline) {
  const Settings settings = from({});
  EXPECT_EQ(settings.provider, "offline");
  EXPECT_EQ(settings.engine.limits.requests_per_minute, 60);
  EXPECT_EQ(settings.engine.queue.total_capacity, 15);
  EXPECT_TRUE(settings.cache);
  EXPECT_FALSE(settings.temperature);
}

TEST(ConfigManager, TakesTheVariablesThatProvidersDocument) {
  const Settings settings = from({{"OPENAI_API_KEY", " sk-1 "},
                                  {"OPENAI_BASE_URL", "https://llm.example.com/v1"},
                                  {"ANTHROPIC_API_KEY", "ak-2"},
                                  {"LLAMA_SERVER_URL", "http://127.0.0.1:9000"},
                                  {"GROQ_API_KEY", "gsk_3"},
                                  {"LLM_MODEL", "gpt-4o"},
                                  {"MISTRAL_API_KEY", ""}});
  EXPECT_EQ(settings.provider, "openai") << "the first that can be reached";
  EXPECT_EQ(settings.model, "gpt-4o");
  EXPECT_EQ(settings.provider_settings("openai").api_key, "sk-1");
  EXPECT_EQ(settings.provider_settings("openai").base_url, "https://llm.example.com/v1");
  EXPECT_EQ(settings.provider_settings("anthropic").api_key, "ak-2");
  EXPECT_EQ(settings.provider_settings("llama").base_url, "http://127.0.0.1:9000");
  EXPECT_EQ(settings.provider_settings("groq").api_key, "gsk_3");
  EXPECT_EQ(settings.providers.count("mistral"), 0U) << "an empty variable is as if unset";
  EXPECT_EQ(from({{"LLAMA_SERVER_URL", "http://box:1"}}).provider, "llama");
  EXPECT_EQ(from({{"LLM_PROVIDER", "Anthropic"}, {"OPENAI_API_KEY", "k"}}).provider, "anthropic");
}

TEST(ConfigManager, ResponsesShareWhatOpenAIHasAndAzureHasAVersion) {
  const Settings settings = from({{"OPENAI_API_KEY", "sk-1"},
                                  {"AZURE_OPENAI_API_KEY", "az-1"},
                                  {"AZURE_OPENAI_ENDPOINT", "https://name.openai.azure.com"},
                                  {"AZURE_OPENAI_API_VERSION", "2025-01-01-preview"}},
                                 R"({"providers":{"openai":{"base_url":"https://llm.example.com/v1"}}})");
  EXPECT_EQ(settings.provider_settings("openai-responses").api_key, "sk-1");
  EXPECT_EQ(settings.provider_settings("openai-responses").base_url, "https://llm.example.com/v1");
  EXPECT_EQ(settings.provider_settings("azure").api_version, "2025-01-01-preview");
  EXPECT_EQ(from({{"LLMCORE_PROVIDERS__OPENAI__API_VERSION", "v1"}}).provider, "offline") << "a version reaches nobody";
  EXPECT_EQ(from({}, R"({"providers":{"openai-responses":{"api_key":"sk-2"},"openai":{"api_key":"sk-1"}}})")
                .provider_settings("openai-responses")
                .api_key,
            "sk-2");
  EXPECT_THAT(wrong({{"AZURE_OPENAI_API_VERSION", "2024/10"}}),
              ElementsAre(HasSubstr(R"(must be the version of an API, such as "2024-10-21")")));
}

TEST(ConfigManager, PutsTheEnvironmentOverTheFileOverDefaults) {
  const std::string_view file = R"({"provider": "anthropic", "model": "claude", "openai_api_key": "from-file",
    "limits": {"requests_per_minute": 30, "tokens_per_minute": 1000, "providers": {"open_router": {"max_in_flight": 2}}},
    "queue": {"high": 7}, "cache": {"enabled": false, "ttl_seconds": 0.5}, "retry": {"jitter": "full", "base_delay": 0.1},
    "defaults": {"temperature": 0.5, "deadline": 20}, "seed": 9})";
  const Settings settings = from({{"LLMCORE_LIMITS__REQUESTS_PER_MINUTE", "90"},
                                  {"LLMCORE_LIMITS__PROVIDERS__OPENAI__MAX_IN_FLIGHT", "8"},
                                  {"LLMCORE_RETRY__MAX_ATTEMPTS", "5"},
                                  {"OPENAI_API_KEY", "from-environment"}},
                                 file);
  EXPECT_EQ(settings.provider, "anthropic");
  EXPECT_EQ(settings.provider_settings("openai").api_key, "from-environment");
  EXPECT_EQ(settings.engine.limits.requests_per_minute, 90);
  EXPECT_EQ(settings.engine.limits.tokens_per_minute, 1000);
  EXPECT_EQ(settings.engine.provider_limits.at("openai").max_in_flight, 8);
  EXPECT_EQ(settings.engine.provider_limits.at("openai").requests_per_minute, 90) << "what it leaves out is as for all";
  EXPECT_EQ(settings.engine.provider_limits.at("open-router").max_in_flight, 2);
  EXPECT_EQ(settings.engine.queue.class_capacity[0], 7);
  EXPECT_EQ(settings.engine.queue.class_capacity[2], 10);
  EXPECT_FALSE(settings.cache);
  EXPECT_EQ(settings.engine.cache.ttl, 500 * kMillisecond);
  EXPECT_EQ(settings.engine.backoff.jitter, Jitter::full);
  EXPECT_EQ(settings.engine.backoff.base, 100 * kMillisecond);
  EXPECT_EQ(settings.engine.recovery.max_attempts, 5);
  EXPECT_EQ(settings.engine.deadline, 20 * kSecond);
  EXPECT_EQ(settings.temperature, 0.5);
  EXPECT_EQ(settings.engine.seed, 9U);
}

TEST(ConfigManager, TakesTheSourcesInAnyOrder) {
  ConfigManager config;
  config.add_environment({{"LLM_MODEL", "of the environment"}});
  config.add_json(R"({"model": "of the file"})", "a.json");
  EXPECT_EQ(config.settings().model, "of the environment");
  config.set("model", "by hand");
  config.add_environment({{"LLM_MODEL", "again"}});
  EXPECT_EQ(config.settings().model, "by hand");
}

TEST(ConfigManager, TakesAWholeSectionOfTheEnvironment) {
  const Settings settings =
      from({{"LLMCORE_RETRY", R"({"base_delay": 2, "jitter": "none"})"}}, R"({"retry": {"max_delay": 9}})");
  EXPECT_EQ(settings.engine.backoff.base, 2 * kSecond);
  EXPECT_EQ(settings.engine.backoff.cap, 9 * kSecond);
  EXPECT_EQ(settings.engine.backoff.jitter, Jitter::none);
}

TEST(ConfigManager, TakesAServersPreset) {
  const Settings settings = from({{"LLMCORE_QUEUE__PRESET", "server"}, {"LLMCORE_QUEUE__TOTAL", "50"}});
  EXPECT_EQ(settings.engine.limits.requests_per_minute, 0);
  EXPECT_FALSE(settings.cache);
  EXPECT_THAT(settings.engine.queue.class_capacity, ElementsAre(50, 50, 50));
}

TEST(ConfigManager, TakesBudgetsAndPrices) {
  const Settings settings = from(
      {{"LLMCORE_BUDGETS", R"([{"scope": "player=*", "period": "day", "limit_usd": 0.05, "alerts": [90, 50]}])"}},
      R"({"prices": {"OpenAI/gpt-x": {"input": 0.12, "output": "0.48", "tiers": [{"above_input_tokens": 128000, "input": 1}]}},
          "budgets": [{"limit_usd": 1}]})");
  ASSERT_EQ(settings.engine.budgets.size(), 1U) << "a section is taken as a whole";
  EXPECT_EQ(settings.engine.budgets[0].scope, "player=*");
  EXPECT_EQ(settings.engine.budgets[0].period, Period::day);
  EXPECT_EQ(settings.engine.budgets[0].limit, 50'000'000);
  EXPECT_THAT(settings.engine.budgets[0].alert_percent, ElementsAre(50, 90));
  const PriceCard& card = *settings.prices.at("openai/gpt-x");
  EXPECT_EQ(card.base.input, 120'000'000);
  EXPECT_EQ(card.base.cache_read, 120'000'000);
  EXPECT_EQ(card.base.reasoning, 480'000'000);
  ASSERT_EQ(card.tiers.size(), 1U);
  EXPECT_EQ(card.tiers[0].rates.input, 1'000'000'000);
  EXPECT_EQ(card.tiers[0].rates.output, 480'000'000);
}

TEST(ConfigManager, NamesEveryProblemAtOnce) {
  const auto problems = wrong({{"LLMCORE_RETRY__JITTER", "wild"},
                               {"LLMCORE_CACHE__ENABLED", "perhaps"},
                               {"LLMCORE_DEFAULTS__DEADLINE", "0"},
                               {"LLMCORE_HEALTH__BREAKER_ERROR", "3"},
                               {"LLMCORE_BUDGETS", "[{]"},
                               {"LLMCORE_BUDGET", "1"},
                               {"LLMCORE_HOME", "/somebody/elses"},
                               {"LLMCORE_TRACES", "/somebody/elses"}},
                              R"({"limits": {"requests_per_minut": 5}, "queue": {"high": 1.5}, "colour": "blue",
                                  "prices": {"m": {"input": 1}}, "budgets": [{"period": "week"}]})");
  EXPECT_THAT(
      problems,
      ::testing::UnorderedElementsAre(
          HasSubstr("LLMCORE_RETRY__JITTER is 'wild': must be the part of the delay that is random"),
          "LLMCORE_CACHE__ENABLED is 'perhaps': must be true or false",
          "LLMCORE_DEFAULTS__DEADLINE is '0': must be a time in seconds, a number from 0.000001 to 1,000,000,000",
          "LLMCORE_HEALTH__BREAKER_ERROR: no such setting; did you mean health.breaker_errors?",
          "LLMCORE_BUDGETS is not valid JSON", HasSubstr("LLMCORE_BUDGET: no such setting; did you mean budgets?"),
          "game.json: limits.requests_per_minut: no such setting; did you mean limits.requests_per_minute?",
          "game.json: queue.high is 1.5: must be a number of waiting calls, a whole number from 0 to 1,000,000,000",
          "game.json: colour: no such setting", HasSubstr("game.json: prices.m: must name input and output"),
          HasSubstr("game.json: budgets[0].period: must be"), "game.json: budgets[0].limit_usd: must be given"));
}

TEST(ConfigManager, ShowsNoSecretInAProblem) {
  const auto problems = wrong({{"OPENAI_API_KEY", "sk secret key"},
                               {"ANTHROPIC_BASE_URL", "https://user:hidden@x"},
                               {"LLMCORE_LIMITS__REQUESTS_PER_MINUTE", "sk-abcdefghijkl"},
                               {"LLMCORE_RETRY__JITTER", "0123456789abcdef0123456789abcdef"}});
  ASSERT_EQ(problems.size(), 4U);
  for (const std::string& problem : problems) {
    EXPECT_THAT(problem, HasSubstr("(not shown, it may be a secret)"));
    for (const char* const secret : {"secret key", "hidden", "abcdefg", "0123456789"})
      EXPECT_THAT(problem, Not(HasSubstr(secret)));
  }
}

TEST(ConfigManager, KeepsWhatIsRightWhereSomethingIsWrong) {
  ConfigManager config;
  config.add_json("{oops", "game.json");
  config.add_environment({{"LLMCORE_SEED", "-4"}, {"LLM_MODEL", "m"}});
  EXPECT_EQ(config.problems().size(), 2U);
  EXPECT_EQ(config.settings().model, "m");
}

TEST(ConfigManager, MergesOneOverAnother) {
  ConfigManager base, over;
  base.add_json(R"({"model": "a", "seed": 1, "limits": {"max_in_flight": 3}})", "base.json");
  over.add_json(R"({"model": "b", "limits": {"tokens_per_minute": 9}})", "over.json");
  base.merge(over);
  const Settings settings = base.settings();
  EXPECT_EQ(settings.model, "b");
  EXPECT_EQ(settings.engine.seed, 1U);
  EXPECT_EQ(settings.engine.limits.max_in_flight, 3);
  EXPECT_EQ(settings.engine.limits.tokens_per_minute, 9);
}

TEST(ConfigManager, SavesEverythingButKeysAndReadsItAgain) {
  ConfigManager config;
  config.add_json(R"({"budgets": [{"limit_usd": 0.5}], "prices": {"m": {"input": 1, "output": 2}}, "model": "a\"b"})",
                  "g.json");
  config.add_environment({{"OPENAI_API_KEY", "sk-very-secret"},
                          {"OPENAI_BASE_URL", "https://x.example/v1?key=hidden"},
                          {"LLMCORE_LIMITS__PROVIDERS__OPENAI__MAX_IN_FLIGHT", "8"},
                          {"LLMCORE_RETRY__BASE_DELAY", "0.25"}});
  const std::string path = ::testing::TempDir() + "llmcore_config_test.json";
  EXPECT_EQ(config.save_file(path), "");
  ConfigManager again;
  again.add_file(path);
  std::remove(path.c_str());
  EXPECT_THAT(again.problems(), IsEmpty());
  EXPECT_THAT(config.save(), Not(HasSubstr("secret")));
  EXPECT_THAT(config.save(), Not(HasSubstr("hidden")));
  EXPECT_EQ(again.save(), config.save());
  const Settings settings = again.settings();
  EXPECT_EQ(settings.model, "a\"b");
  EXPECT_EQ(settings.provider, "openai");
  EXPECT_EQ(settings.provider_settings("openai").base_url, "https://x.example/v1");
  EXPECT_EQ(settings.provider_settings("openai").api_key, "");
  EXPECT_EQ(settings.engine.provider_limits.at("openai").max_in_flight, 8);
  EXPECT_EQ(settings.engine.backoff.base, 250 * kMillisecond);
  EXPECT_EQ(settings.engine.budgets.at(0).limit, 500'000'000);
  EXPECT_EQ(settings.prices.at("m")->base.output, 2'000'000'000);
  EXPECT_THAT(config.save_file("/no/such/folder/x.json"), HasSubstr("cannot be written"));
}

TEST(ConfigManager, SavesNoKeyWhereverItWasWritten) {
  ConfigManager config;
  config.add_json(R"({"providers": {"openai": {"API_KEY": "hidden-1", "key": "hidden-2"}, "anthropic": "hidden-3",
                                    "groq": {"base_url": "https://me:hidden-4@groq.example/v1"}},
                      "provider": "hidden 5", "model": "sk-hidden6abcdefghijklmnopqrstu", "openai_api_key": "hidden-7",
                      "budgets": [{"scope": "user=sk-hidden8abcdefghijklmnop", "limit_usd": 1}],
                      "limits": {"max_in_flight": "hidden-9"}, "seed": 4})",
                  "game.json");
  config.add_environment({{"LLMCORE_PROVIDERS__XAI__TOKEN", "hidden-10"}, {"GROQ_API_KEY", "hidden-11"}});
  EXPECT_EQ(config.save(), "{\"seed\":4}\n");
}

TEST(ConfigManager, SaysWhatIsNoSectionAndWhatIsNoName) {
  const auto problems = wrong({{"AZURE_OPENAI_ENDPOINT", "https://x.example/?api-key=hidden#f"}},
                              R"({"limits": 5, "cache": [1], "prices": [], "queue": "game", "model": ["x"]})");
  EXPECT_THAT(problems,
              ::testing::UnorderedElementsAre(
                  "game.json: limits: must be an object of settings", "game.json: cache: must be an object of settings",
                  "game.json: prices: must be an object of settings", "game.json: queue: must be an object of settings",
                  HasSubstr("game.json: model: must be the name of a model"),
                  ::testing::AllOf(HasSubstr("AZURE_OPENAI_ENDPOINT (not shown"), Not(HasSubstr("hidden")))));
  EXPECT_EQ(wrong({}, R"({"model": "a\u0000b"})").size(), 1U);
}

TEST(ConfigManager, LoadsTheFileThatTheEnvironmentNames) {
  const std::string path = ::testing::TempDir() + "llmcore_config_named.json";
  ConfigManager config;
  config.set("model", "of the file");
  ASSERT_EQ(config.save_file(path), "");
  EXPECT_EQ(ConfigManager::load({{"LLMCORE_CONFIG", path}}).settings().model, "of the file");
  EXPECT_EQ(ConfigManager::load({{"LLMCORE_CONFIG", "/no/such.json"}}, path).settings().model, "of the file");
  std::remove(path.c_str());
  EXPECT_THAT(ConfigManager::load({{"LLMCORE_CONFIG", path}}).problems(), ElementsAre(path + " cannot be read"));
  EXPECT_THAT(ConfigManager::load({{"LLMCORE_CONFIG", "a.toml"}}).problems(),
              ElementsAre(HasSubstr("a.toml is no .json file")));
  EXPECT_FALSE(ConfigManager::process_environment().empty());
}

}  // namespace
}  // namespace llmcore::net
