// How many tokens an answer was that nobody counted, as Python's estimator takes it: a token for four bytes. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "llmcore/net/provider.hpp"

namespace llmcore::net {

/// Tokens of an answer that came without usage.
[[nodiscard]] inline std::int64_t output_tokens_of(std::string_view text) noexcept {
  return static_cast<std::int64_t>((text.size() + 3) / 4);
}
[[nodiscard]] inline std::int64_t output_tokens_of(const Reply& reply) noexcept {
  std::int64_t tokens = output_tokens_of(reply.content) + output_tokens_of(reply.reasoning);
  tokens += output_tokens_of(reply.refusal);
  for (const ToolCall& call : reply.tool_calls) tokens += output_tokens_of(call.arguments);
  return tokens;
}

}  // namespace llmcore::net
