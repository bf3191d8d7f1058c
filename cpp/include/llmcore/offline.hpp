// Text without a model: deterministic, template-based, severity-aware. The last resort of a failover chain and the provider for
// demonstrations and tests. Makes no external call of any kind.
//
// Immutable after construction, thread-safe. O(length of the text). The same request gives the same text on every platform and from
// every language.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llmcore {

/// What the text is about. `general` answers anything.
enum class ProblemType : std::uint8_t { general, dialogue, decision, analysis, summary, conflict, shortage, danger };

struct OfflineRequest {
  ProblemType problem = ProblemType::general;
  std::int64_t severity = 500;  ///< 0 (trifle) to 1000 (catastrophe): scales length and tone; clamped
  std::uint64_t seed = 0;       ///< chooses among the templates; callers derive it from the request's text
  std::vector<std::pair<std::string, std::string>> placeholders;  ///< {name} in a template becomes its value
  bool json = false;  ///< answer one valid JSON object: {"text", "problem", "severity"}
};

class OfflineGenerator {
 public:
  /// The text; valid UTF-8, never empty.
  [[nodiscard]] std::string generate(const OfflineRequest& request) const;

  /// The name as used in JSON and configuration: "dialogue", ...
  [[nodiscard]] static std::string_view name_of(ProblemType problem) noexcept;
  /// The problem type that a call type or a word in a prompt suggests; general if none does.
  [[nodiscard]] static ProblemType problem_of(std::string_view call_type) noexcept;
};

}  // namespace llmcore
