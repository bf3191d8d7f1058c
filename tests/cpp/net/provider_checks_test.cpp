// What every provider refuses before it sends, what it says of keys and addresses, and what answers without HTTP.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "golden.hpp"

namespace llmcore::net {
namespace {

TEST(ProviderChecks, MessagesAsValuesAreTheSameBytesAsMessagesAsText) {
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
  for (const char* const name : {"openai", "openai-responses", "azure", "anthropic", "llama", "ollama", "offline"}) {
    const auto provider = provider_of({{"provider", name}});
    const auto a = provider->encode(values);
    const auto b = provider->encode(text);
    ASSERT_TRUE(std::holds_alternative<HttpRequest>(a)) << std::get<Failure>(a).message;
    EXPECT_EQ(std::get<HttpRequest>(a).body, std::get<HttpRequest>(b).body) << name;
  }
}

TEST(ProviderChecks, WhatCannotBeSentIsRefusedByItsPlace) {
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
      {"openai-responses", R"([{"role":"user","content":"x"}])", R"({"stop":"x","seed":1,"n":null})",
       "the Responses API has no seed and no stop: leave it out, or ask another provider"},
      {"openai-responses", R"([{"role":"critic","content":"x"}])", "",
       "messages[0] has the role critic, which the Responses API does not have"},
      {"openai-responses", R"([{"role":"user","content":"x","name":"Ada"}])", "",
       "messages[0] has a name, which the Responses API has no place for"},
      {"openai-responses", R"([{"role":"user","content":[{"type":"text","text":"x"},{"type":"video"}]}])", "",
       R"(messages[0]["content"][1]: the Responses API has no video in messages)"},
      {"openai-responses", R"([{"role":"user","content":"x"},{"role":"user","content":""}])", "",
       "messages[1] is empty"},
      {"openai-responses", R"([{"role":"tool","content":"x"}])", "", "messages[0] has no tool_call_id"},
      {"openai-responses", R"([{"role":"assistant","tool_calls":[{"type":"custom"}]}])", "",
       R"(messages[0]["tool_calls"][0] does not say what it is of)"},
      {"openai-responses", R"([{"role":"user","content":"x"}])", R"({"response_format":"json"})",
       "response_format is an object"},
      {"openai-responses", R"([{"role":"user","content":"x"}])", R"({"tools":[7]})", "tools[0] is an object"},
      {"openai-responses", R"([{"role":"user","content":"x"}])", R"({"stream":true})",
       "stream is not a param of a request: its field `stream` asks for one"},
      {"ollama", R"([{"role":"user","content":"x"}])", R"({"tool_choice":"auto"})",
       "Ollama's own API has no tool_choice: leave it out, or ask another provider"},
      {"ollama", R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y"}}]}])", "",
       R"(messages[0]["content"][0]: Ollama takes the bytes of a picture, not its URL)"},
      {"ollama", R"([{"role":"user","content":[{"type":"file"}]}])", "",
       R"(messages[0]["content"][0]: Ollama has no file in messages)"},
      {"ollama", R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{"}}]}])", "",
       R"(messages[0]["tool_calls"]: the arguments of f are no JSON)"},
      {"ollama", R"([{"role":"user","content":"x"}])", R"({"options":[1]})", "options is an object"},
      {"ollama", R"([{"role":"user","content":"x"}])", R"({"stream":true})",
       "stream is not a param of a request: its field `stream` asks for one"},
      {"offline", R"([{"role":"user","content":"x"}])", R"({"severity":"high"})",
       "severity is a whole number from 0 to 1000"},
  };
  for (const Case& each : cases) {
    ChatRequest request;
    request.model = "m";
    request.messages_json = each.messages;
    request.params = each.params;
    Value test = {{"provider", each.provider}};
    if (test["provider"] == "ollama") test["base_url"] = "http://127.0.0.1:11434/api";
    const auto encoded = provider_of(test)->encode(request);
    ASSERT_TRUE(std::holds_alternative<Failure>(encoded)) << each.told;
    EXPECT_EQ(std::get<Failure>(encoded).message, each.told);
    EXPECT_EQ(std::get<Failure>(encoded).outcome, Outcome::bad_request);
  }
}

TEST(ProviderChecks, KeysAndAddressesAreCheckedBeforeAnythingIsSent) {
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

TEST(ProviderChecks, ALocalServerSaysWhetherItIsThere) {
  const LocalLlamaProvider llama;
  EXPECT_EQ(std::get<HttpRequest>(llama.health()).url, "http://127.0.0.1:8080/health");
  EXPECT_EQ(std::get<HttpRequest>(llama.models()).url, "http://127.0.0.1:8080/v1/models");
  EXPECT_EQ(std::get<HttpRequest>(llama.models()).method, "GET");
  EXPECT_TRUE(std::get<bool>(llama.is_healthy(200, {}, "{}")));
  EXPECT_FALSE(std::get<bool>(llama.is_healthy(503, {}, "")));
  EXPECT_EQ(std::get<Failure>(llama.is_healthy(404, {}, "")).outcome, Outcome::not_found);
  EXPECT_EQ(std::get<HttpRequest>(OllamaProvider().health()).url, "http://127.0.0.1:11434/v1/models");
  HttpOptions own;
  own.base_url = "http://127.0.0.1:11434/api/";
  EXPECT_EQ(std::get<HttpRequest>(OllamaProvider(own).models()).url, "http://127.0.0.1:11434/api/tags");
  const auto names = llama.model_names(200, {}, R"({"data":[{"id":"a"},{"model":"b"},{"name":"c"},7]})");
  EXPECT_EQ(std::get<std::vector<std::string>>(names), (std::vector<std::string>{"a", "b", "c"}));
}

TEST(ProviderChecks, OfflineAnswersTheSameRequestAlike) {
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
