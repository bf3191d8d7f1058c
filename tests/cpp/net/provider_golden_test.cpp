// tests/data/providers through the C++ codecs: what goes out for a request, and what comes in, whole, streamed or
// refused. The same cases as tests/py/test_provider_golden.py and test_provider_openai.py run.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "llmcore/net/providers.hpp"

namespace llmcore::net {
namespace {

using Value = nlohmann::ordered_json;

constexpr const char* kKey = "golden-key-000111222333";

Value file(const std::string& name) {
  std::ifstream in(std::string(LLMCORE_TEST_DATA) + "/providers/" + name + ".json", std::ios::binary);
  return Value::parse(std::string(std::istreambuf_iterator<char>(in), {}));
}

std::unique_ptr<Provider> provider_of(const Value& test, const std::string& key = kKey) {
  const Host* const host = host_of(test.value("provider", "openai"));
  if (host == nullptr) return nullptr;
  HttpOptions options;
  options.api_key = key;
  options.base_url = test.value("base_url", "");
  options.now = [] { return WallTime{1'780'315'200} * kSecond; };
  switch (host->protocol) {
    case Protocol::messages: return std::make_unique<AnthropicProvider>(std::move(options));
    case Protocol::llama: return std::make_unique<LocalLlamaProvider>(std::move(options), *host);
    case Protocol::offline: return std::make_unique<OfflineProvider>();
    case Protocol::chat: break;
  }
  return std::make_unique<OpenAIProvider>(std::move(options), *host);
}

Headers headers_of(const Value& test) {
  Headers headers;
  const Value given = test.value("headers", Value::object());
  for (const auto& [name, value] : given.items()) headers.emplace_back(name, value);
  return headers;
}

ChatRequest request_of(const Value& given) {
  ChatRequest request;
  for (const auto& [name, value] : given.items()) {
    if (name == "model") request.model = value;
    if (name == "messages") request.messages_json = value.dump();
    if (name == "json_format") request.json_format = value;
    if (name == "temperature") request.temperature = value.get<double>();
    if (name == "max_tokens") request.max_tokens = value.get<std::int64_t>();
    if (name == "tools") request.tools = value.dump();
    if (name == "response_format") request.response_format = value.dump();
    if (name == "stream") request.stream = value;
    if (name == "params") request.params = value.dump();
  }
  return request;
}

Value buckets(const Usage& usage) {
  Value told = Value::object();
  const auto put = [&told](const char* name, std::int64_t count) {
    if (count != 0) told[name] = count;
  };
  put("input_uncached", usage.input_uncached);
  put("cache_read", usage.cache_read);
  put("cache_write_5m", usage.cache_write_5m);
  put("cache_write_1h", usage.cache_write_1h);
  put("output_text", usage.output_text);
  put("reasoning", usage.reasoning);
  put("audio_input", usage.audio_input);
  put("audio_cache_read", usage.audio_cache_read);
  put("audio_output", usage.audio_output);
  put("image_input", usage.image_input);
  put("image_output", usage.image_output);
  put("images", usage.images);
  if (usage.estimated) told["estimated"] = true;
  return told;
}

Value shown(const Reply& said) {
  Value told = {{"content", said.content}, {"model", said.model}, {"finish_reason", said.finish_reason}};
  if (!said.reasoning.empty()) told["reasoning"] = said.reasoning;
  if (!said.refusal.empty()) told["refusal"] = said.refusal;
  if (said.created) told["created"] = *said.created;
  if (!said.request_id.empty()) told["request_id"] = said.request_id;
  if (said.reported_cost && *said.reported_cost != 0) told["reported_cost"] = *said.reported_cost;
  for (const ToolCall& call : said.tool_calls) {
    told["tool_calls"].push_back(Value::array({call.id, call.name, call.arguments, call.type}));
  }
  for (const Citation& page : said.citations)
    told["citations"].push_back(Value::array({page.url, page.title, page.snippet}));
  return {{"reply", told}, {"usage", buckets(said.usage)}};
}

Value shown(const Failure& said) {
  Value told = {{"outcome", std::string(to_string(said.outcome))}, {"message", said.message}};
  if (said.retry_after != 0) told["retry_after"] = static_cast<double>(said.retry_after) / 1e9;
  if (said.should_retry) told["should_retry"] = *said.should_retry;
  if (!said.request_id.empty()) told["request_id"] = said.request_id;
  if (!said.code.empty()) told["code"] = said.code;
  Value whole = {{"failure", told}};
  if (said.partial) whole["partial"] = shown(*said.partial);
  return whole;
}

Value shown(const Decoded& said) {
  if (const auto* reply = std::get_if<Reply>(&said)) return shown(*reply);
  return shown(std::get<Failure>(said));
}

Value shown(const Chunk& chunk) {
  Value told = Value::object();
  if (!chunk.text.empty()) told["text"] = chunk.text;
  if (!chunk.reasoning.empty()) told["reasoning"] = chunk.reasoning;
  if (!chunk.refusal.empty()) told["refusal"] = chunk.refusal;
  if (!chunk.finish_reason.empty()) told["finish_reason"] = chunk.finish_reason;
  for (const ToolCallDelta& call : chunk.tool_calls) {
    told["tool_calls"].push_back(Value::array({call.index, call.id, call.name, call.arguments, call.type}));
  }
  return told;
}

nlohmann::json unordered(const Value& value) { return nlohmann::json::parse(value.dump()); }

Value expected(const Value& test) {
  Value told = Value::object();
  for (const char* name : {"reply", "usage", "failure", "partial"}) {
    if (test.contains(name)) told[name] = test[name];
  }
  return told;
}

constexpr const char* kFiles[] = {"anthropic", "chat_streams", "hosts"};

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
  EXPECT_GE(each_case("requests", [](const Value& test) { expect_sent(test, *provider_of(test)); }), 25);
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
  EXPECT_GE(each_case("answers", check) + each_case("refusals", check), 30);
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
  EXPECT_GE(count, 30);
}

TEST(ProviderGolden, MessagesAsValuesAreTheSameBytesAsMessagesAsText) {
  using Message = ChatRequest::Message;
  using Role = ConversationMemory::Role;
  ChatRequest values;
  values.model = "m";
  values.messages = {
      Message{Role::system, "Be \"brief\".", {}, {}}, Message{Role::user, "Gr\xC3\xBC\xC3\x9F\n", {}, {}},
      Message{Role::assistant, "", {{"c1", "look_up", R"({"a": 1})"}}, {}}, Message{Role::tool, "nothing", {}, "c1"}};
  ChatRequest text;
  text.model = "m";
  text.messages_json = R"([{"role":"system","content":"Be \"brief\"."},{"role":"user","content":"Gr\u00fc\u00df\n"},
    {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"look_up",
    "arguments":"{\"a\": 1}"}}]},{"role":"tool","tool_call_id":"c1","content":"nothing"}])";
  for (const char* const name : {"openai", "anthropic", "llama", "offline"}) {
    const auto provider = provider_of({{"provider", name}});
    const auto a = provider->encode(values);
    const auto b = provider->encode(text);
    ASSERT_TRUE(std::holds_alternative<HttpRequest>(a)) << std::get<Failure>(a).message;
    EXPECT_EQ(std::get<HttpRequest>(a).body, std::get<HttpRequest>(b).body) << name;
  }
}

TEST(ProviderGolden, WhatCannotBeSentIsRefusedByItsPlace) {
  struct Case {
    const char* provider;
    const char* messages;
    const char* params;
    const char* told;
  };
  const Case cases[] = {
      {"openai", "[]", "", "messages is empty; the model needs at least one"},
      {"openai", "{}", "", "messages is a list, not an object"},
      {"openai", "[1]", "", "messages[0] is an object, not a number"},
      {"openai", R"([{"content":"x"}])", "", R"(messages[0]["role"] is missing or not a string)"},
      {"openai", R"([{"role":"user","content":7}])", "",
       R"(messages[0]["content"] is a string or a list of parts, not a number)"},
      {"openai", R"([{"role":"user","content":"\ud800"}])", "", "messages hold what is no JSON, or no UTF-8"},
      {"openai", R"([{"role":"user","content":"x"}])", "[1]", "params is an object, not a list"},
      {"openai", R"([{"role":"user","content":"x"}])", R"({"stream":true})",
       "stream is not a param of a request: its field `stream` asks for one"},
      {"groq", R"([{"role":"user","content":"x"}])", R"({"logprobs":true,"logit_bias":{}})",
       "groq has no logit_bias and no logprobs: leave it out, or ask another provider"},
      {"anthropic", R"([{"role":"user","content":"x"}])", R"({"n":2})",
       "Anthropic has no n: leave it out, or ask another provider"},
      {"anthropic", R"([{"role":"system","content":"x"}])", "",
       "messages hold nothing but a system prompt; Anthropic needs a message of the user"},
      {"anthropic", R"([{"role":"user","content":"x"}])", R"({"temperature":1.5})",
       "temperature is from 0 to 1 at Anthropic, not 1.5"},
      {"anthropic", R"([{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}])", "",
       R"(messages[0]["content"][0]: Anthropic has no input_audio in messages)"},
      {"offline", R"([{"role":"user","content":"x"}])", R"({"severity":"high"})",
       "severity is a whole number from 0 to 1000"},
  };
  for (const Case& each : cases) {
    ChatRequest request;
    request.model = "m";
    request.messages_json = each.messages;
    request.params = each.params;
    const auto encoded = provider_of({{"provider", each.provider}})->encode(request);
    ASSERT_TRUE(std::holds_alternative<Failure>(encoded)) << each.told;
    EXPECT_EQ(std::get<Failure>(encoded).message, each.told);
    EXPECT_EQ(std::get<Failure>(encoded).outcome, Outcome::bad_request);
  }
}

TEST(ProviderGolden, KeysAndAddressesAreCheckedBeforeAnythingIsSent) {
  const Host& host = *host_of("openai");
  EXPECT_EQ(HttpProvider::problem(host, {"sk-1", "https://api.openai.com/v1", "", {}}), "");
  for (const char* const url :
       {"ftp://x/v1", "https://user:secret@x/v1", "https://x/v1#a", "x.example", "https://x:0/", "https://x:99999/",
        "https://[::1/v1", "https:///v1", "https://a b/v1", "https://x\r\n/v1"}) {
    const std::string told = HttpProvider::problem(host, {"sk-1", url, "", {}});
    EXPECT_NE(told.find("the base_url of openai"), std::string::npos) << url;
    EXPECT_EQ(told.find("secret"), std::string::npos);
  }
  EXPECT_NE(HttpProvider::problem(host, {"sk-1\r\nX: y", "", "", {}}), "");
  ChatRequest request;
  request.model = "m";
  request.messages = {ChatRequest::Message{ConversationMemory::Role::user, "Hi", {}, {}}};
  const auto keyless = OpenAIProvider({}).encode(request);
  ASSERT_TRUE(std::holds_alternative<Failure>(keyless));
  EXPECT_EQ(std::get<Failure>(keyless).outcome, Outcome::auth);
  EXPECT_EQ(std::get<Failure>(keyless).message, "openai has no key: set OPENAI_API_KEY, or its api_key");
  for (const char* const near : {"http://127.0.0.1:8000/v1", "http://[::1]:1/v1", "http://box/v1",
                                 "http://192.168.0.9/v1", "http://llm.internal/v1"}) {
    EXPECT_TRUE(std::holds_alternative<HttpRequest>(OpenAIProvider({"", near, "", {}}).encode(request))) << near;
  }
  EXPECT_TRUE(std::holds_alternative<Failure>(OpenAIProvider({"", "https://8.8.8.8/v1", "", {}}).encode(request)));
}

TEST(ProviderGolden, ALocalServerSaysWhetherItIsThere) {
  const LocalLlamaProvider llama;
  EXPECT_EQ(std::get<HttpRequest>(llama.health()).url, "http://127.0.0.1:8080/health");
  EXPECT_EQ(std::get<HttpRequest>(llama.models()).url, "http://127.0.0.1:8080/v1/models");
  EXPECT_EQ(std::get<HttpRequest>(llama.models()).method, "GET");
  EXPECT_TRUE(std::get<bool>(llama.is_healthy(200, {}, "{}")));
  EXPECT_FALSE(std::get<bool>(llama.is_healthy(503, {}, "")));
  EXPECT_EQ(std::get<Failure>(llama.is_healthy(404, {}, "")).outcome, Outcome::not_found);
  const auto names = llama.model_names(200, {}, R"({"data":[{"id":"a"},{"model":"b"},{"name":"c"},7]})");
  EXPECT_EQ(std::get<std::vector<std::string>>(names), (std::vector<std::string>{"a", "b", "c"}));
}

TEST(ProviderGolden, OfflineAnswersTheSameRequestAlike) {
  const OfflineProvider offline;
  ChatRequest request;
  request.model = "offline";
  request.messages_json = R"([{"role":"user","content":"Is the harbour safe?"}])";
  request.params = R"({"problem":"danger","severity":900,"placeholders":{}})";
  const auto sent = std::get<HttpRequest>(offline.encode(request));
  EXPECT_EQ(sent.body, R"({"messages":[{"content":"Is the harbour safe?","role":"user"}],"model":"offline",)"
                       R"("placeholders":{},"problem":"danger","severity":900,"stream":false})");
  const auto reply = std::get<Reply>(offline.answer(request, "chat"));
  EXPECT_EQ(reply.content, std::get<Reply>(OfflineProvider().answer(request, "chat")).content);
  EXPECT_EQ(reply.finish_reason, "stop");
  EXPECT_GT(reply.usage.output_text, 0);
  request.json_format = true;
  const auto parsed = nlohmann::json::parse(std::get<Reply>(offline.answer(request, "chat")).content);
  EXPECT_EQ(parsed["problem"], "danger");
}

}  // namespace
}  // namespace llmcore::net
