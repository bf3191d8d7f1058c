// What a TokenTracker counted, for programs (JSON) and for people (text), with the accounts of a Budget if there is one.
//
// Pure functions: the same tracker gives the same bytes on every platform and from every language. O(rows log rows).
//
// The JSON is one object. Within schema "llmcore.usage.v1" names stay and keep their meaning; new ones may come.
//
//   schema    "llmcore.usage.v1"
//   totals    all calls: figures
//   all       over all time, by model, call_type and scope (null: all calls): figures
//   days      the same by day, with start, the day's first moment: "2024-02-29T00:00:00Z"
//   hours     the same by hour
//   budgets   scope, period (hour, day, month, total), limit_nano_usd, spent_nano_usd, reserved_nano_usd
//   tracker   keys, rows, other, shortened, unkept: what bounds did, see TokenTracker::Stats
//
//   figures   calls, errors, cache_hits, attempts, input_tokens, output_tokens, cached_tokens, cache_write_tokens,
//             reasoning_tokens, total_tokens, images, web_searches, cost_nano_usd, unpriced_calls,
//             latency: {p50_ns, p95_ns, p99_ns, max_ns}
//
// Rows are sorted by start, model, call type and scope, all calls before those of a scope.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "llmcore/budget.hpp"
#include "llmcore/token_tracker.hpp"

namespace llmcore {

[[nodiscard]] std::string usage_report_json(const TokenTracker& tracker,
                                            const std::vector<Budget::Account>& budgets = {});

/// Totals, then tables by model and call type, by scope and by day, then the budgets. Each table shows the `rows` that
/// cost most (days: the newest) and says how many it leaves out.
[[nodiscard]] std::string usage_report_text(const TokenTracker& tracker,
                                            const std::vector<Budget::Account>& budgets = {}, std::size_t rows = 20);

}  // namespace llmcore
