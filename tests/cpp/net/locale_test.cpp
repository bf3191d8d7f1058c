// A host whose locale writes "0,5": what is sent, read, configured and recorded stays JSON and HTTP.
#include <gtest/gtest.h>

#include <clocale>
#include <locale>
#include <string>

#include "llmcore/net/config_manager.hpp"
#include "llmcore/net/providers.hpp"
#include "net/session_json.hpp"

namespace llmcore::net {
namespace {

/// A decimal comma and a point between thousands.
class Commas final : public std::numpunct<char> {
 protected:
  [[nodiscard]] char do_decimal_point() const override { return ','; }
  [[nodiscard]] char do_thousands_sep() const override { return '.'; }
  [[nodiscard]] std::string do_grouping() const override { return "\3"; }
};

void expect_numbers_of_json() {
  HttpOptions options;
  options.api_key = "k";
  options.now = [] { return WallTime{0}; };
  ChatRequest chat;
  chat.model = "m";
  chat.messages_json = R"([{"role":"user","content":"Hi"}])";
  chat.temperature = 0.25;
  chat.max_tokens = 100'000;
  const OpenAIProvider openai(options, *host_of("openrouter"));
  const auto sent = openai.encode(chat);
  EXPECT_EQ(std::get<HttpRequest>(sent).body,
            R"({"max_tokens":100000,"messages":[{"content":"Hi","role":"user"}],"model":"m","stream":false,)"
            R"("temperature":0.25,"usage":{"include":true}})");

  const auto said = openai.decode(
      200, {},
      R"({"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":1.5e3,"completion_tokens":1,"cost":0.0125}})");
  EXPECT_EQ(std::get<Reply>(said).reported_cost, NanoUsd{12'500'000});
  EXPECT_EQ(std::get<Reply>(said).usage.input_uncached, 1'500);
  const auto refused = openai.decode(429, {{"retry-after", "1.5"}}, "{}");
  EXPECT_EQ(std::get<Failure>(refused).retry_after, 1'500 * kMillisecond);

  ConfigManager config;
  config.add_json(R"({"defaults":{"temperature":0.7},"prices":{"m":{"input":0.15,"output":0.6}}})", "game.json");
  config.add_environment({{"LLMCORE_RETRY__BASE_DELAY", "0.5"}});
  EXPECT_TRUE(config.problems().empty());
  const Settings settings = config.settings();
  EXPECT_EQ(settings.temperature, 0.7);
  EXPECT_EQ(settings.engine.backoff.base, 500 * kMillisecond);
  EXPECT_EQ(settings.prices.at("m")->base.input, NanoUsd{150'000'000});
  EXPECT_NE(config.save().find(R"("temperature":0.7)"), std::string::npos);

  Client::Request request;
  request.temperature = 0.5;
  request.tag = 1'234'567;
  request.deadline = 2'500 * kMillisecond;
  const std::string recorded = session_submit(1'000, request);
  EXPECT_NE(recorded.find(R"("temperature":0.5,)"), std::string::npos) << recorded;
  EXPECT_NE(recorded.find(R"("tag":1234567,)"), std::string::npos) << recorded;
  EXPECT_EQ(session_call(recorded), CallId{1'000});
}

TEST(Locale, OfTheProgramChangesNoNumber) {
  const std::locale before = std::locale::global(std::locale(std::locale::classic(), new Commas));
  expect_numbers_of_json();
  std::locale::global(before);
}

TEST(Locale, OfTheHostChangesNoNumber) {
  const std::string before = std::setlocale(LC_ALL, nullptr);
  bool found = false;
  for (const char* const name :
       {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8", "es_ES.UTF-8", "pt_BR.UTF-8", "German"}) {
    found = found || (std::setlocale(LC_ALL, name) != nullptr && *std::localeconv()->decimal_point == ',');
  }
  if (found) expect_numbers_of_json();
  std::setlocale(LC_ALL, before.c_str());
  if (!found) GTEST_SKIP() << "no locale with a decimal comma is installed (localedef -i de_DE -f UTF-8 de_DE.UTF-8)";
}

}  // namespace
}  // namespace llmcore::net
