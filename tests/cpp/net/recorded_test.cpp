// Recorded exchanges of many vendors through the C++ codecs: text, tool calls, finish reason, usage, refusals and limits
// against an independent reader, which is nlohmann-json and what the APIs' documentation says of their fields.
//
// The recordings are not part of the project; LLMCORE_RECORDED names the folder that holds them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "llmcore/net/providers.hpp"
#include "recorded_lines.hpp"

namespace llmcore::net {
namespace {

using namespace recorded_lines;

constexpr const char* kKinds[] = {"chat", "messages", "responses", "ollama"};
constexpr std::size_t kWhole = std::size_t{1} << 40;

/// The provider that a line is of; what spoke the same under a name of its own is read as OpenAI's.
std::unique_ptr<Provider> provider_of(const Row& row, HttpOptions options = {}) {
  options.now = [] { return WallTime{1'780'315'200} * kSecond; };
  if (row.kind == "responses") return std::make_unique<OpenAIResponsesProvider>(std::move(options));
  const Host* const host = host_of(row.provider);
  if (host == nullptr) return std::make_unique<OpenAIProvider>(std::move(options));
  switch (host->protocol) {
    case Protocol::azure: return std::make_unique<AzureOpenAIProvider>(std::move(options));
    case Protocol::messages: return std::make_unique<AnthropicProvider>(std::move(options));
    case Protocol::ollama: return std::make_unique<OllamaProvider>(std::move(options));
    default: return std::make_unique<OpenAIProvider>(std::move(options), *host);
  }
}

/// A tool's arguments, whose blanks and order say nothing.
std::string normal(const std::string& arguments) {
  const Value parsed = Value::parse(arguments, nullptr, false);
  return parsed.is_discarded() ? arguments : parsed.dump();
}

Told told_of(const Decoded& said) {
  Told told;
  const Reply* reply = std::get_if<Reply>(&said);
  if (reply == nullptr) {
    told.broken = true;
    reply = std::get<Failure>(said).partial.get();
  }
  if (reply == nullptr) return told;
  told.text = reply->content;
  told.reasoning = reply->reasoning;
  told.finish = reply->finish_reason;
  for (const ToolCall& call : reply->tool_calls) told.calls.push_back({call.id, call.name, normal(call.arguments)});
  told.counted = !reply->usage.estimated;
  if (!told.counted) return told;
  told.input = reply->usage.input_tokens();
  told.output = reply->usage.output_tokens();
  told.cached = reply->usage.cached_tokens();
  told.written = reply->usage.cache_write_tokens();
  told.reasoned = reply->usage.reasoning;
  return told;
}

/// Feeds a stream in pieces of `size` bytes; adds the text and the calls of its chunks to `chunks`.
Decoded decoded(const Provider& provider, const Row& row, std::size_t size, Told& chunks) {
  if (!row.stream || row.status != 200) return provider.decode(row.status, row.headers, row.body);
  const auto decoder = provider.stream_decoder(row.headers);
  std::vector<Chunk> found;
  for (std::size_t from = 0; from < row.body.size(); from += size) {
    decoder->feed(std::string_view(row.body).substr(from, size), found);
  }
  for (const Chunk& chunk : found) {
    chunks.text += chunk.text;
    for (const ToolCallDelta& call : chunk.tool_calls) {
      const auto place = static_cast<std::size_t>(call.index);
      while (chunks.calls.size() <= place) chunks.calls.push_back({"", "", ""});
      chunks.calls[place][0] += call.id;
      chunks.calls[place][1] += call.name;
      chunks.calls[place][2] += call.arguments;
    }
  }
  return decoder->finish();
}

class Recorded : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::getenv("LLMCORE_RECORDED") == nullptr) {
      GTEST_SKIP() << "LLMCORE_RECORDED does not name a folder of recordings";
    }
    all_ = rows(GetParam());
    ASSERT_FALSE(all_.empty()) << "no " << GetParam() << ".jsonl there";
  }
  std::vector<Row> all_;
};

TEST_P(Recorded, EveryAnswerIsReadAsItWasGivenHoweverItIsCut) {
  for (const Row& row : all_) {
    if (row.status != 200) continue;
    SCOPED_TRACE(row.provider + " " + row.id);
    Told expected = read_independently(row);
    for (auto& call : expected.calls) call[2] = normal(call[2].empty() && row.kind == "messages" ? "{}" : call[2]);
    const auto provider = provider_of(row);
    for (const std::size_t size : {std::size_t{1}, std::size_t{61}, std::size_t{4096}, kWhole}) {
      Told chunks;
      const Decoded said = decoded(*provider, row, size, chunks);
      EXPECT_EQ(told_of(said), expected) << "in pieces of " << size;
      if (!row.stream) break;
      EXPECT_EQ(chunks.text, expected.text) << "in pieces of " << size;
      for (auto& call : chunks.calls) call[2] = normal(call[2].empty() && row.kind == "messages" ? "{}" : call[2]);
      EXPECT_EQ(chunks.calls, expected.calls) << "in pieces of " << size;
    }
  }
}

TEST_P(Recorded, AStreamThatBreaksOffBillsWhatItDelivered) {
  for (const Row& row : all_) {
    if (!row.stream || row.status != 200 || read_independently(row).broken) continue;
    SCOPED_TRACE(row.provider + " " + row.id);
    const auto provider = provider_of(row);
    for (std::size_t part = 1; part < 8; ++part) {
      Row cut = row;
      cut.body.resize(row.body.size() * part / 8);
      Told chunks;
      const Decoded said = decoded(*provider, cut, kWhole, chunks);
      const auto* failure = std::get_if<Failure>(&said);
      const Reply* reply = failure != nullptr ? failure->partial.get() : &std::get<Reply>(said);
      if (failure != nullptr) {
        EXPECT_EQ(failure->outcome, Outcome::connection) << failure->message;
      }
      ASSERT_TRUE(reply != nullptr || chunks.text.empty());
      if (reply == nullptr) continue;
      EXPECT_EQ(reply->content, chunks.text);
      EXPECT_GE(reply->usage.output_tokens(),
                reply->usage.estimated ? static_cast<std::int64_t>((chunks.text.size() + 3) / 4) : 1);
    }
  }
}

TEST_P(Recorded, EveryRefusalIsAFailureThatItsStatusExplains) {
  for (const Row& row : all_) {
    if (row.status == 200) continue;
    SCOPED_TRACE(row.provider + " " + row.id);
    Told chunks;
    const Decoded said = decoded(*provider_of(row), row, kWhole, chunks);
    ASSERT_TRUE(std::holds_alternative<Failure>(said));
    const auto& failure = std::get<Failure>(said);
    const Value error = Value::parse(row.body)["error"];
    EXPECT_EQ(failure.message, text_at(error, "message").substr(0, 500));
    const std::string code = text_at(error, "code");
    EXPECT_EQ(failure.code, code.empty() ? text_at(error, "type") : code);
    EXPECT_EQ(failure.outcome, outcome_of_status(row.status));
    EXPECT_EQ(failure.status, row.status);
    EXPECT_FALSE(failure.request_id.empty() && row.kind == "messages");
  }
}

/// Anthropic's messages as its API reads them: every content a list, and turns of one role in a row as one.
Value blocks(const Value& messages) {
  Value found = Value::array();
  for (const Value& message : messages) {
    Value parts = message["content"].is_string() ? Value::array({message["content"]}) : message["content"];
    for (Value& part : parts) {
      if (part.is_string()) part = {{"type", "text"}, {"text", part}};
    }
    if (!found.empty() && found.back()["role"] == message["role"]) {
      for (const Value& part : parts) found.back()["content"].push_back(part);
    } else {
      found.push_back({{"role", message["role"]}, {"content", parts}});
    }
  }
  return found;
}

TEST_P(Recorded, WhatWasAskedGoesOutTheSame) {
  for (const Row& row : all_) {
    const Host* const host = host_of(row.provider);
    if (host == nullptr || !at(row.request, "messages").is_array()) continue;
    SCOPED_TRACE(row.provider + " " + row.id);
    HttpOptions reached;
    reached.api_key = "key-0123456789";
    if (host->protocol == Protocol::azure) reached.base_url = "https://name.openai.azure.com";
    if (row.kind == "ollama") reached.base_url = "http://127.0.0.1:1/api";
    ChatRequest chat;
    Value params = row.request;
    chat.model = params.value("model", "deployment");
    chat.messages_json = params["messages"].dump();
    chat.stream = params.contains("stream") && params["stream"] == true;
    for (const char* const name : {"model", "messages", "stream"}) params.erase(name);
    chat.params = params.dump();
    const auto encoded = provider_of(row, reached)->encode(chat);
    ASSERT_TRUE(std::holds_alternative<HttpRequest>(encoded)) << std::get<Failure>(encoded).message;
    Value sent = Value::parse(std::get<HttpRequest>(encoded).body);
    Value asked = row.request;
    asked["model"] = chat.model;
    asked["stream"] = chat.stream;
    if (row.kind == "chat" && chat.stream && host->asks_for_usage) {
      Value& options = asked["stream_options"];
      if (!options.is_object()) options = Value::object();
      if (!options.contains("include_usage")) options["include_usage"] = true;
    }
    if (row.provider == "openrouter" && !asked.contains("usage")) asked["usage"] = {{"include", true}};
    if (row.kind == "messages") {
      sent["messages"] = blocks(sent["messages"]);
      asked["messages"] = blocks(asked["messages"]);
      if (at(asked, "system").is_array() && sent["system"].is_string()) {
        std::string system;
        for (const Value& part : asked["system"]) system += (system.empty() ? "" : "\n\n") + text_at(part, "text");
        asked["system"] = system;
      }
    }
    if (row.kind == "ollama" && at(asked, "options").empty()) asked.erase("options");
    EXPECT_EQ(sent, asked);
  }
}

TEST_P(Recorded, LimitsAreObservedWhereverAVendorTellsThem) {
  for (const Row& row : all_) {
    SCOPED_TRACE(row.provider + " " + row.id);
    const auto observed = provider_of(row)->observe(row.headers);
    const char* const name = row.kind == "messages"      ? "anthropic-ratelimit-tokens-remaining"
                             : row.provider == "mistral" ? "x-ratelimit-remaining-tokens-minute"
                                                         : "x-ratelimit-remaining-tokens";
    const std::string left(header(row.headers, name));
    const bool requests = !header(row.headers, "anthropic-ratelimit-requests-remaining").empty();
    EXPECT_EQ(observed.has_value(), !left.empty() || requests);
    if (!observed || left.empty()) continue;
    if (row.kind == "messages") {
      EXPECT_LE(observed->remaining_tokens.value_or(0), std::stoll(left)) << "the tightest of its limits counts";
    } else {
      EXPECT_EQ(observed->remaining_tokens, std::stoll(left));
    }
    EXPECT_GE(observed->requests_reset, 0);
    EXPECT_LT(observed->requests_reset, kHour);
  }
}

INSTANTIATE_TEST_SUITE_P(Lines, Recorded, testing::ValuesIn(kKinds),
                         [](const auto& each) { return std::string(each.param); });

}  // namespace
}  // namespace llmcore::net
