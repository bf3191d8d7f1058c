#include "usage.hpp"

#include <algorithm>

namespace llmcore::net {
namespace {

using Kind = Json::Kind;

constexpr std::int64_t kMost = std::int64_t{1} << 53;  // a count above this is no count

std::optional<std::int64_t> count(Json value) {
  const auto whole = value.whole();
  return whole && *whole >= 0 && *whole < kMost ? whole : std::nullopt;
}

std::int64_t part(Json of, std::string_view name, std::int64_t most) {
  return std::min(count(of[name]).value_or(0), most);
}

Usage unknown() {
  Usage usage;
  usage.estimated = true;
  return usage;
}

}  // namespace

Usage usage_of_chat(Json raw, bool total_holds_reasoning) {
  const std::int64_t prompt = count(raw["prompt_tokens"]).value_or(0);
  std::int64_t completion = count(raw["completion_tokens"]).value_or(0);
  if (prompt == 0 && completion == 0) return unknown();  // of nothing there is no answer
  const auto total = count(raw["total_tokens"]);
  const std::int64_t hidden =
      total_holds_reasoning ? std::max<std::int64_t>(total.value_or(0) - prompt - completion, 0) : 0;

  Usage usage;
  if (const Json inside = raw["prompt_tokens_details"]; inside.is(Kind::object)) {
    usage.cache_read = part(inside, "cached_tokens", prompt);
    usage.cache_write_5m = part(inside, "cache_write_tokens", prompt - usage.cache_read);
    usage.audio_input = part(inside, "audio_tokens", prompt - usage.cache_read - usage.cache_write_5m);
    usage.image_input =
        part(inside, "image_tokens", prompt - usage.cache_read - usage.cache_write_5m - usage.audio_input);
  } else {
    // DeepSeek, and servers that have no details. Mistral's num_cached_tokens is no discount, so it is left alone.
    const bool deepseek = !raw["prompt_cache_hit_tokens"].absent();
    usage.cache_read = part(raw, deepseek ? "prompt_cache_hit_tokens" : "cached_tokens", prompt);
  }
  usage.input_uncached = prompt - usage.cache_read - usage.cache_write_5m - usage.audio_input - usage.image_input;

  if (const Json inside = raw["completion_tokens_details"]; inside.is(Kind::object)) {
    std::int64_t reasoning = part(inside, "reasoning_tokens", kMost);
    if (reasoning != 0 && total == prompt + completion + reasoning) {
      completion += reasoning;  // xAI counts it beside its completion tokens
    } else if (hidden != 0) {
      completion += hidden;
      reasoning = std::max(reasoning, hidden);
    }
    usage.reasoning = std::min(reasoning, completion);
    usage.audio_output = part(inside, "audio_tokens", completion - usage.reasoning);
    usage.image_output = part(inside, "image_tokens", completion - usage.reasoning - usage.audio_output);
  } else {
    usage.reasoning = hidden;
    completion += hidden;
  }
  usage.output_text = completion - usage.reasoning - usage.audio_output - usage.image_output;
  return usage;
}

Usage usage_of_messages(Json begun, Json end) {
  const auto newest = [&](std::string_view name) {
    const Json later = end[name];
    return later.absent() || later.is(Kind::null) ? begun[name] : later;
  };
  const std::int64_t prompt = count(newest("input_tokens")).value_or(0);
  const std::int64_t completion = count(newest("output_tokens")).value_or(0);
  const std::int64_t written = count(newest("cache_creation_input_tokens")).value_or(0);
  const std::int64_t cached = count(newest("cache_read_input_tokens")).value_or(0);
  if (prompt == 0 && completion == 0 && written == 0 && cached == 0) return unknown();
  Usage usage;
  usage.cache_write_1h = part(newest("cache_creation"), "ephemeral_1h_input_tokens", written);
  usage.cache_write_5m = written - usage.cache_write_1h;
  usage.cache_read = cached;
  usage.input_uncached = prompt;
  usage.reasoning = part(newest("output_tokens_details"), "thinking_tokens", completion);
  usage.output_text = completion - usage.reasoning;
  usage.web_searches = part(newest("server_tool_use"), "web_search_requests", kMost);
  return usage;
}

Usage usage_of_responses(Json raw) {
  Usage usage;
  usage.input_uncached = count(raw["input_tokens"]).value_or(0);
  usage.output_text = count(raw["output_tokens"]).value_or(0);
  if (usage.input_uncached == 0 && usage.output_text == 0) return unknown();
  const auto take = [](Json from, std::string_view name, std::int64_t& whole, std::int64_t& bucket) {
    bucket = part(from, name, whole);
    whole -= bucket;
  };
  const Json inside = raw["input_tokens_details"];
  take(inside, "cached_tokens", usage.input_uncached, usage.cache_read);
  take(inside, "cache_write_tokens", usage.input_uncached, usage.cache_write_5m);
  take(inside, "audio_tokens", usage.input_uncached, usage.audio_input);
  take(inside, "image_tokens", usage.input_uncached, usage.image_input);
  const Json outside = raw["output_tokens_details"];
  take(outside, "reasoning_tokens", usage.output_text, usage.reasoning);
  take(outside, "audio_tokens", usage.output_text, usage.audio_output);
  take(outside, "image_tokens", usage.output_text, usage.image_output);
  return usage;
}

std::optional<NanoUsd> reported_cost(Json usage) {
  constexpr NanoUsd kMostNanoUsd = NanoUsd{1} << 62;
  const auto cost = usage["cost"].scaled(9);
  return cost && *cost >= 0 && *cost < kMostNanoUsd ? cost : std::nullopt;
}

Usage delivered_usage(std::int64_t tokens) noexcept {
  Usage usage;
  usage.output_text = std::max<std::int64_t>(tokens, 1);
  usage.estimated = true;
  return usage;
}

}  // namespace llmcore::net
