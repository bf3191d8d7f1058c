// The words of tests/data/providers: the providers that its cases are of, and decoded answers as it says them.
#pragma once

#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "llmcore/net/providers.hpp"

namespace llmcore::net {

using Value = nlohmann::ordered_json;

constexpr const char* kKey = "golden-key-000111222333";

inline Value file(const std::string& name) {
  std::ifstream in(std::string(LLMCORE_TEST_DATA) + "/providers/" + name + ".json", std::ios::binary);
  return Value::parse(std::string(std::istreambuf_iterator<char>(in), {}));
}

inline std::unique_ptr<Provider> provider_of(const Value& test, const std::string& key = kKey) {
  const Host* const host = host_of(test.value("provider", "openai"));
  if (host == nullptr) return nullptr;
  HttpOptions options;
  options.api_key = key;
  options.base_url = test.value("base_url", "");
  options.now = [] { return WallTime{1'780'315'200} * kSecond; };
  switch (host->protocol) {
    case Protocol::responses: return std::make_unique<OpenAIResponsesProvider>(std::move(options));
    case Protocol::azure:
      if (options.base_url.empty()) options.base_url = "https://name.openai.azure.com";
      return std::make_unique<AzureOpenAIProvider>(std::move(options));
    case Protocol::messages: return std::make_unique<AnthropicProvider>(std::move(options));
    case Protocol::ollama: return std::make_unique<OllamaProvider>(std::move(options));
    case Protocol::llama: return std::make_unique<LocalLlamaProvider>(std::move(options), *host);
    case Protocol::offline: return std::make_unique<OfflineProvider>();
    case Protocol::chat: break;
  }
  return std::make_unique<OpenAIProvider>(std::move(options), *host);
}

inline Headers headers_of(const Value& test) {
  Headers headers;
  const Value given = test.value("headers", Value::object());
  for (const auto& [name, value] : given.items()) headers.emplace_back(name, value);
  return headers;
}

inline ChatRequest request_of(const Value& given) {
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

inline Value buckets(const Usage& usage) {
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
  put("web_searches", usage.web_searches);
  if (usage.estimated) told["estimated"] = true;
  return told;
}

inline Value shown(const Reply& said) {
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

inline Value shown(const Failure& said) {
  Value told = {{"outcome", std::string(to_string(said.outcome))}, {"message", said.message}};
  if (said.retry_after != 0) told["retry_after"] = static_cast<double>(said.retry_after) / 1e9;
  if (said.should_retry) told["should_retry"] = *said.should_retry;
  if (!said.request_id.empty()) told["request_id"] = said.request_id;
  if (!said.code.empty()) told["code"] = said.code;
  Value whole = {{"failure", told}};
  if (said.partial) whole["partial"] = shown(*said.partial);
  return whole;
}

inline Value shown(const Decoded& said) {
  if (const auto* reply = std::get_if<Reply>(&said)) return shown(*reply);
  return shown(std::get<Failure>(said));
}

inline Value shown(const Chunk& chunk) {
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

}  // namespace llmcore::net
