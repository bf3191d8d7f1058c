// What a ledger's spool holds: a call that was begun, one that is over, or a note on one; read where it lies.
//
// An entry is MessagePack, fields by position. A newer version may append fields, which an older one leaves out; a field
// that is missing at the end has its default. What is not as a driver writes it is refused, and nothing else happens.
// Pure, thread-safe, O(bytes).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llmcore/engine.hpp"
#include "llmcore/money.hpp"
#include "llmcore/outcome.hpp"
#include "llmcore/types.hpp"

namespace llmcore {

/// Kinds of a spool's records. A call's end has the higher number, and the last word.
enum class LedgerEntryKind : std::uint16_t { open = 1, close = 2, note = 4 };

/// The texts that describe whose call it is, in the order of the ledger's columns.
inline constexpr std::array<std::string_view, 13> kContextFields{
    "user_id",     "owner_id",        "session_id", "task_id",        "company_id",     "review_id",   "game_id",
    "player_name", "prompt_template", "trace_id",   "parent_call_id", "trackable_type", "trackable_id"};
enum ContextField : std::size_t { kUserId = 0, kCompanyId = 4, kTrackableType = 11, kTrackableId = 12 };

struct LedgerAttempt {
  std::uint64_t call = 0;  ///< what the engine calls them
  std::uint64_t attempt = 0;
  std::int64_t number = 0;
  std::int64_t target = 0;
  std::string_view provider;
  std::string_view model;
  Outcome outcome = Outcome::ok;
  Usage usage;
  std::optional<NanoUsd> cost;
  WallTime started = 0;
  Duration latency = 0;
  Duration retry_after = 0;
};

/// What was said, as far as it may be kept.
struct LedgerPayload {
  std::string_view policy;
  /// system_prompt, prompt, messages, response, tool_calls, request_sha256, response_sha256
  std::array<std::optional<std::string_view>, 7> texts;
};

/// Views into the bytes it was read from.
struct LedgerEntry {
  std::string_view id;
  std::optional<std::string_view> call_type;
  std::string_view status;
  Outcome outcome = Outcome::ok;
  Source source = Source::none;
  std::string_view provider;
  std::string_view model;
  std::array<std::optional<std::string_view>, kContextFields.size()> context;
  std::optional<std::int64_t> hand_number;
  std::vector<std::string_view> tags;
  std::optional<std::string_view> response_model;
  Usage usage;
  std::optional<NanoUsd> cost;
  NanoUsd saved = 0;
  std::optional<std::string_view> price_source;
  Duration latency = 0;
  Duration queued = 0;
  Duration first_token = 0;
  std::vector<LedgerAttempt> attempts;
  std::optional<std::string_view> finish_reason;
  std::optional<std::string_view> error_code;
  std::optional<std::string_view> error_message;  ///< its first 2,000 characters
  bool fallback_used = false;
  bool cache_hit = false;
  std::optional<double> temperature;
  std::optional<std::int64_t> max_tokens;
  std::int64_t image_count = 0;
  std::optional<std::string_view> image_size;
  WallTime created_at = 0;
  WallTime started_at = 0;    ///< 0: never
  WallTime completed_at = 0;  ///< 0: not yet
  std::optional<std::string_view> request_id;
  std::string_view tenant = "default";
  std::optional<NanoUsd> reserved;
  std::optional<NanoUsd> reported_cost;
  std::optional<std::string_view> metadata;  ///< JSON
  std::optional<LedgerPayload> payload;

  /// Appends the bytes that read() reads: for drivers in C++. What is not said is left out; texts must be UTF-8.
  void append_to(std::string& bytes) const;
  /// Reads an entry; what was in it before is forgotten, its memory used again. False: the bytes are none.
  [[nodiscard]] bool read(std::string_view bytes);
};

/// Tags as the ledger has them: a JSON array.
[[nodiscard]] std::string ledger_tags(const std::vector<std::string_view>& tags);

/// "2026-03-01 12:00:00.000000": a time as the ledger writes it, in UTC, cut to microseconds. Years 1 to 9999.
[[nodiscard]] std::array<char, 26> ledger_time(WallTime wall) noexcept;

}  // namespace llmcore
