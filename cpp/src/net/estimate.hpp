// How many tokens a prompt will be, before anybody has counted them, as Python's estimator expects before it has
// learned anything: text by its letters, spaces, digits, marks and bytes of other scripts, messages and tools by the
// piece, and what a family of models puts into its chat template. Integers; pure. O(bytes).
#pragma once

#include <cstdint>
#include <string_view>

#include "llmcore/net/provider.hpp"

namespace llmcore::net {

/// Tokens of an answer that came without usage.
[[nodiscard]] inline std::int64_t output_tokens_of(std::string_view text) noexcept {
  return static_cast<std::int64_t>((text.size() + 3) / 4);
}

}  // namespace llmcore::net
