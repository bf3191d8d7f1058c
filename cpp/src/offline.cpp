#include "llmcore/offline.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

#include "llmcore/rng.hpp"
#include "offline_templates.hpp"
#include "text.hpp"

namespace llmcore {
namespace {

constexpr std::int64_t kMostSevere = 1000;

constexpr std::array<std::string_view, kProblemTypeCount> kNames{
    "general", "dialogue", "decision", "analysis", "summary", "conflict", "shortage", "danger",
};

struct Hint {
  std::string_view word;
  ProblemType problem;
};
constexpr Hint kHints[] = {
    {"dialogue", ProblemType::dialogue},
    {"dialog", ProblemType::dialogue},
    {"chat", ProblemType::dialogue},
    {"chat_suggestion", ProblemType::dialogue},
    {"targeted_chat", ProblemType::dialogue},
    {"commentary", ProblemType::dialogue},
    {"conversation", ProblemType::dialogue},
    {"talk", ProblemType::dialogue},
    {"decision", ProblemType::decision},
    {"player_decision", ProblemType::decision},
    {"decide", ProblemType::decision},
    {"choice", ProblemType::decision},
    {"choose", ProblemType::decision},
    {"analysis", ProblemType::analysis},
    {"analyze", ProblemType::analysis},
    {"analyse", ProblemType::analysis},
    {"sentiment_analysis", ProblemType::analysis},
    {"classification", ProblemType::analysis},
    {"classify", ProblemType::analysis},
    {"extraction", ProblemType::analysis},
    {"extract", ProblemType::analysis},
    {"summary", ProblemType::summary},
    {"summarization", ProblemType::summary},
    {"summarisation", ProblemType::summary},
    {"summarize", ProblemType::summary},
    {"summarise", ProblemType::summary},
    {"conflict", ProblemType::conflict},
    {"quarrel", ProblemType::conflict},
    {"dispute", ProblemType::conflict},
    {"feud", ProblemType::conflict},
    {"fight", ProblemType::conflict},
    {"battle", ProblemType::conflict},
    {"war", ProblemType::conflict},
    {"shortage", ProblemType::shortage},
    {"scarcity", ProblemType::shortage},
    {"famine", ProblemType::shortage},
    {"hunger", ProblemType::shortage},
    {"drought", ProblemType::shortage},
    {"danger", ProblemType::danger},
    {"threat", ProblemType::danger},
    {"emergency", ProblemType::danger},
    {"disaster", ProblemType::danger},
    {"fire", ProblemType::danger},
    {"flood", ProblemType::danger},
    {"storm", ProblemType::danger},
    {"earthquake", ProblemType::danger},
};

// Which kind of text a severity calls for. The middle of the scale is tense: what nobody rated should not sound like a
// disaster.
std::size_t band_of(std::int64_t severity) noexcept {
  if (severity < 250) return 0;
  if (severity < 600) return 1;
  return severity < 850 ? 2 : 3;
}

std::size_t index_of(ProblemType problem) noexcept {
  const auto index = static_cast<std::size_t>(problem);
  return index < kNames.size() ? index : 0;
}

bool equal_ignoring_case(std::string_view text, std::string_view lower) noexcept {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b; });
}

std::string_view value_of(const OfflineRequest& request, std::string_view name) noexcept {
  for (const auto& [key, value] : request.placeholders) {
    if (key == name) return value;
  }
  return offline::default_for(name);
}

/// One pass over the template alone: braces in a value are text like any other.
std::string filled(std::string_view text, const OfflineRequest& request) {
  std::string out;
  for (;;) {
    const std::size_t open = text.find('{');
    out += text.substr(0, open);
    if (open == std::string_view::npos) return out;
    const std::size_t close = text.find('}', open);
    append_as_utf8(out, value_of(request, text.substr(open + 1, close - open - 1)));
    text.remove_prefix(close + 1);
  }
}

}  // namespace

std::string OfflineGenerator::generate(const OfflineRequest& request) const {
  const std::int64_t severity = std::clamp<std::int64_t>(request.severity, 0, kMostSevere);
  const offline::Choices& choices = (*offline::kTexts[index_of(request.problem)])[band_of(severity)];
  Rng rng(request.seed);
  std::string text = filled(choices[static_cast<std::size_t>(rng.below(choices.size()))], request);
  by_problem_[index_of(request.problem)].fetch_add(1, std::memory_order_relaxed);
  if (!request.json) return text;

  json_.fetch_add(1, std::memory_order_relaxed);
  std::string out = R"({"text":)";
  append_json_string(out, text);
  out += R"(,"problem":)";
  append_json_string(out, name_of(request.problem));
  out += R"(,"severity":)" + std::to_string(severity) + '}';
  return out;
}

OfflineGenerator::Stats OfflineGenerator::stats() const noexcept {
  Stats stats;
  stats.json = json_.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < by_problem_.size(); ++i) {
    stats.by_problem[i] = by_problem_[i].load(std::memory_order_relaxed);
    stats.generated += stats.by_problem[i];
  }
  return stats;
}

std::string_view OfflineGenerator::name_of(ProblemType problem) noexcept { return kNames[index_of(problem)]; }

ProblemType OfflineGenerator::problem_of(std::string_view call_type) noexcept {
  constexpr std::string_view kRetrieval = "rag_";
  if (equal_ignoring_case(call_type.substr(0, kRetrieval.size()), kRetrieval)) return ProblemType::analysis;
  for (const Hint& hint : kHints) {
    if (equal_ignoring_case(call_type, hint.word)) return hint.problem;
  }
  return ProblemType::general;
}

}  // namespace llmcore
