// Token counts in disjoint buckets, whatever a provider's figures overlap in.
//
// OpenAI's cached, audio and image tokens are inside prompt_tokens, its reasoning, audio and image tokens inside
// completion_tokens; the servers that copied the format kept that. Anthropic's cached tokens stand beside input_tokens.
// Parts that contradict the totals are cut to fit them. Without usable figures all is zero and `estimated`. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "json.hpp"
#include "llmcore/types.hpp"

namespace llmcore::net {

/// The `usage` of Chat Completions. `total_holds_reasoning`: Gemini's thoughts are counted in the total alone.
[[nodiscard]] Usage usage_of_chat(Json usage, bool total_holds_reasoning);
/// The `usage` of Anthropic's Messages; `end`, where there is one, stands over what a stream began with.
[[nodiscard]] Usage usage_of_messages(Json begun, Json end = {});
/// The `usage` of OpenAI's Responses, whose details are inside the totals.
[[nodiscard]] Usage usage_of_responses(Json usage);
/// What the provider says that the call cost (OpenRouter); nothing: it does not say.
[[nodiscard]] std::optional<NanoUsd> reported_cost(Json usage);
/// What a stream without token counts used at least: what it delivered, and never nothing.
[[nodiscard]] Usage delivered_usage(std::int64_t tokens) noexcept;

}  // namespace llmcore::net
