// Text without a model: deterministic, template-based, severity-aware. The last resort of a failover chain and the
// provider for demonstrations and tests. Makes no external call of any kind.
//
// Thread-safe: nothing changes but counters, and no text depends on them. O(length of the text). The same request gives
// the same text on every platform and from every language.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llmcore {

/// What the text is about. `general` answers anything.
enum class ProblemType : std::uint8_t { general, dialogue, decision, analysis, summary, conflict, shortage, danger };
inline constexpr std::size_t kProblemTypeCount = 8;

struct OfflineRequest {
  ProblemType problem = ProblemType::general;
  /// 0 (trifle) to 1000 (catastrophe), clamped. Scales length and tone: calm, tense from 250, severe from 600,
  /// catastrophic from 850.
  std::int64_t severity = 500;
  std::uint64_t seed = 0;  ///< chooses among the templates; callers derive it from the request's text
  /// The texts speak of {name}, {other}, {topic}, {place}, {goal} and {resource}: each becomes the first value of that
  /// name here, as it is (what is not UTF-8 in it becomes U+FFFD), or a neutral word. Other names are not used.
  std::vector<std::pair<std::string, std::string>> placeholders{};
  bool json = false;  ///< answer one valid JSON object: {"text", "problem", "severity"}
};

class OfflineGenerator {
 public:
  /// The text; valid UTF-8, never empty.
  [[nodiscard]] std::string generate(const OfflineRequest& request) const;

  struct Stats {
    std::int64_t generated = 0;
    std::int64_t json = 0;                                     ///< of these, as JSON
    std::array<std::int64_t, kProblemTypeCount> by_problem{};  ///< of these, by ProblemType
  };
  [[nodiscard]] Stats stats() const noexcept;

  /// The name as used in JSON and configuration: "dialogue", ...
  [[nodiscard]] static std::string_view name_of(ProblemType problem) noexcept;
  /// The problem type that a call type or a word of a prompt suggests, in upper or lower case; general if it suggests
  /// none.
  [[nodiscard]] static ProblemType problem_of(std::string_view call_type) noexcept;

 private:
  mutable std::array<std::atomic<std::int64_t>, kProblemTypeCount> by_problem_{};
  mutable std::atomic<std::int64_t> json_{0};
};

}  // namespace llmcore
