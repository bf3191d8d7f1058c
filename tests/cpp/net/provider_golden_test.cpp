// tests/data/providers through the C++ codecs: what goes out for a request, and what comes in, whole, streamed or
// refused. The same cases as tests/py/providers run.
#include <gtest/gtest.h>

#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "golden.hpp"

namespace llmcore::net {
namespace {

nlohmann::json unordered(const Value& value) { return nlohmann::json::parse(value.dump()); }

Value expected(const Value& test) {
  Value told = Value::object();
  for (const char* name : {"reply", "usage", "failure", "partial"}) {
    if (test.contains(name)) told[name] = test[name];
  }
  return told;
}

/// Words with blanks around them, sorted.
Value words(std::string_view list) {
  std::istringstream in{std::string(list)};
  std::set<std::string> found{std::istream_iterator<std::string>(in), {}};
  return found;
}

TEST(ProviderGolden, TheTableOfHostsIsTheSameInEveryLanguage) {
  constexpr const char* kProtocols[] = {"chat", "responses", "azure", "messages", "llama", "ollama", "offline"};
  Value told = Value::array();
  for (const Host& host : hosts()) {
    Value row = {{"name", host.name}, {"protocol", kProtocols[static_cast<std::size_t>(host.protocol)]}};
    const std::pair<const char*, std::string_view> texts[] = {{"base_url", host.base_url},
                                                              {"key_variable", host.key_variable},
                                                              {"url_variable", host.url_variable},
                                                              {"model", host.model}};
    for (const auto& [name, text] : texts) {
      if (!text.empty()) row[name] = text;
    }
    if (host.free) row["free"] = true;
    if (host.total_holds_reasoning) row["total_holds_reasoning"] = true;
    if (!host.asks_for_usage) row["asks_for_usage"] = false;
    for (const Value& pair : words(host.renamed)) {
      const std::string both = pair;
      row["renamed"][both.substr(0, both.find('='))] = both.substr(both.find('=') + 1);
    }
    if (!host.completion_limit_hosts.empty()) row["completion_limit_hosts"] = words(host.completion_limit_hosts);
    if (!host.unknown.empty()) row["unknown"] = words(host.unknown);
    if (!host.extra_name.empty()) row["extra"][std::string(host.extra_name)] = Value::parse(host.extra_json);
    told.push_back(std::move(row));
  }
  Value table = file("table");
  std::erase_if(table.get_ref<Value::array_t&>(), [](const Value& row) { return row["protocol"] == "searxng"; });
  EXPECT_EQ(unordered(told), unordered(table)) << "but for what is no model";
}

constexpr const char* kFiles[] = {"anthropic", "azure", "chat_streams", "hosts", "ollama", "responses"};

template <typename Check>
int each_case(const char* section, Check&& check) {
  int count = 0;
  for (const char* const name : kFiles) {
    const Value all = file(name);
    if (!all.contains(section)) continue;
    for (const Value& test : all[section]) {
      SCOPED_TRACE(std::string(name) + ": " + test["name"].get<std::string>());
      check(test);
      ++count;
    }
  }
  return count;
}

void expect_sent(const Value& test, const Provider& provider) {
  const auto encoded = provider.encode(request_of(test["request"]));
  const auto* sent = std::get_if<HttpRequest>(&encoded);
  ASSERT_NE(sent, nullptr) << std::get<Failure>(encoded).message;
  EXPECT_EQ(sent->body, test["body"].get<std::string>());
  if (test.contains("url")) {
    EXPECT_EQ(sent->url, test["url"].get<std::string>());
  }
  if (!test.contains("headers")) return;
  Value headers = Value::object();
  for (const auto& [name, value] : sent->headers) {
    if (name != "Accept" && name != "Content-Type" && name != "User-Agent") headers[name] = value;
  }
  EXPECT_EQ(unordered(headers), unordered(test["headers"]));
}

TEST(ProviderGolden, ARequestBecomesTheseBytes) {
  EXPECT_GE(each_case("requests", [](const Value& test) { expect_sent(test, *provider_of(test)); }), 48);
}

TEST(ProviderGolden, AChatRequestBecomesTheseBytes) {
  for (const Value& test : file("chat_requests")) {
    SCOPED_TRACE(test["name"].get<std::string>());
    expect_sent(test, *provider_of(test));
  }
}

TEST(ProviderGolden, AnAnswerReadsAsThis) {
  const auto check = [](const Value& test) {
    const Decoded said =
        provider_of(test)->decode(test.value("status", 200), headers_of(test), test["body"].get<std::string>());
    EXPECT_EQ(unordered(shown(said)), unordered(expected(test)));
    EXPECT_EQ(shown(said).dump().find(kKey), std::string::npos);
  };
  EXPECT_GE(each_case("answers", check) + each_case("refusals", check), 53);
}

/// Of a reply or a failure, only what the case names.
void expect_named(const Value& named, const Value& told) {
  for (const auto& [name, value] : named.items()) {
    if (value.is_null() || value == "") {
      EXPECT_TRUE(!told.contains(name) || told[name] == "") << name << ": " << told.dump();
    } else if (value == 0) {
      continue;
    } else {
      ASSERT_TRUE(told.contains(name)) << name << ": " << told.dump();
      EXPECT_EQ(unordered(told[name]), unordered(value)) << name;
    }
  }
}

TEST(ProviderGolden, AChatAnswerReadsAsThis) {
  for (const Value& test : file("chat_answers")) {
    SCOPED_TRACE(test["name"].get<std::string>());
    const Decoded said = provider_of(test)->decode(200, headers_of(test), test["body"].get<std::string>());
    ASSERT_TRUE(std::holds_alternative<Reply>(said)) << std::get<Failure>(said).message;
    const Value told = shown(said);
    expect_named(test["reply"], told["reply"]);
    EXPECT_EQ(unordered(told["usage"]), unordered(test["usage"]));
    if (test.contains("tool_calls")) {
      EXPECT_EQ(unordered(told["reply"].value("tool_calls", Value::array())), unordered(test["tool_calls"]));
    }
  }
}

TEST(ProviderGolden, AChatRefusalReadsAsThis) {
  const std::string key = std::string("sk-") + kKey;
  for (const Value& test : file("chat_refusals")) {
    SCOPED_TRACE(test["name"].get<std::string>());
    const Decoded said =
        provider_of(test, key)->decode(test["status"], headers_of(test), test["body"].get<std::string>());
    ASSERT_TRUE(std::holds_alternative<Failure>(said));
    EXPECT_EQ(std::get<Failure>(said).status, test["status"].get<int>());
    expect_named(test["failure"], shown(said)["failure"]);
    EXPECT_EQ(shown(said).dump().find(kKey), std::string::npos);
  }
}

TEST(ProviderGolden, AStreamReadsAsThisWhateverItsPieces) {
  const int count = each_case("streams", [](const Value& test) {
    const auto provider = provider_of(test);
    const std::string body = test["body"];
    for (const std::size_t size : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}, body.size() + 1}) {
      SCOPED_TRACE(size);
      const auto decoder = provider->stream_decoder(headers_of(test));
      std::vector<Chunk> chunks;
      for (std::size_t at = 0; at < body.size(); at += size)
        decoder->feed(std::string_view(body).substr(at, size), chunks);
      Value told = Value::array();
      for (const Chunk& chunk : chunks) told.push_back(shown(chunk));
      EXPECT_EQ(unordered(told), unordered(test["chunks"]));
      const Value said = shown(decoder->finish());
      EXPECT_EQ(unordered(said), unordered(expected(test)));
      EXPECT_EQ(shown(decoder->finish()), said) << "asked again, it says the same";
      EXPECT_EQ(said.dump().find(kKey), std::string::npos);
    }
  });
  EXPECT_GE(count, 49);
}

}  // namespace
}  // namespace llmcore::net
