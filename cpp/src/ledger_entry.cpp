#include "llmcore/ledger_entry.hpp"

#include <algorithm>

#include "llmcore/msgpack.hpp"
#include "text.hpp"

namespace llmcore {
namespace {

constexpr std::int64_t kNanoseconds = 1'000'000'000;
constexpr std::size_t kMessageCharacters = 2000;

constexpr std::array<std::string_view, 10> kStatuses{"pending", "success",      "cached",  "fallback",  "error",
                                                     "timeout", "rate_limited", "refused", "cancelled", "lost"};

/// The fields of an array, one after the other; those beyond its end are missing.
class Fields {
 public:
  explicit Fields(MsgpackReader& reader) noexcept : reader_(reader), left_(reader.array()) {}
  Fields(const Fields&) = delete;
  Fields& operator=(const Fields&) = delete;
  /// Skips what only a newer version knows.
  ~Fields() {
    for (; left_ != 0 && reader_.ok(); --left_) reader_.skip();
  }
  [[nodiscard]] bool next() noexcept {
    if (left_ == 0) return false;
    --left_;
    return true;
  }
  void need() noexcept {
    if (!next()) reader_.fail();
  }

 private:
  MsgpackReader& reader_;
  std::size_t left_;
};

template <class Enum>
Enum member(MsgpackReader& reader, std::int64_t count) {
  const std::int64_t value = reader.integer();
  if (value < 0 || value >= count) reader.fail();
  return reader.ok() ? static_cast<Enum>(value) : Enum{};
}

Usage read_usage(MsgpackReader& reader) {
  Usage usage;
  const std::size_t size = reader.array();  // its counts, fewer of an older version, and whether they are an estimate
  if (size == 0 || size > kUsageBuckets.size() + 1) reader.fail();
  for (std::size_t i = 0; i + 1 < size && reader.ok(); ++i) usage.*kUsageBuckets[i] = reader.integer();
  usage.estimated = reader.boolean();
  if (!usage.valid()) reader.fail();
  return usage;
}

LedgerAttempt read_attempt(MsgpackReader& reader) {
  LedgerAttempt attempt;
  Fields fields(reader);
  const auto number = [&] {
    fields.need();
    return reader.integer();
  };
  attempt.call = static_cast<std::uint64_t>(number());
  attempt.attempt = static_cast<std::uint64_t>(number());
  attempt.number = number();
  attempt.target = number();
  fields.need();
  attempt.provider = reader.text();
  fields.need();
  attempt.model = reader.text();
  fields.need();
  attempt.outcome = member<Outcome>(reader, kOutcomeCount);
  fields.need();
  attempt.usage = read_usage(reader);
  fields.need();
  attempt.cost = reader.optional_integer();
  attempt.started = number();
  attempt.latency = number();
  attempt.retry_after = number();
  return attempt;
}

void read_context(MsgpackReader& reader, LedgerEntry& entry) {
  for (std::size_t left = reader.map(); left != 0 && reader.ok(); --left) {
    const std::string_view name = reader.text();
    const auto* const found = std::find(kContextFields.begin(), kContextFields.end(), name);
    if (found != kContextFields.end()) {
      entry.context[static_cast<std::size_t>(found - kContextFields.begin())] = reader.optional_text();
    } else if (name == "hand_number") {
      entry.hand_number = reader.optional_integer();
    } else if (name == "tags") {
      for (std::size_t tags = reader.array(); tags != 0 && reader.ok(); --tags) entry.tags.push_back(reader.text());
    } else {
      reader.skip();
    }
  }
}

LedgerPayload read_payload(MsgpackReader& reader) {
  LedgerPayload payload;
  Fields fields(reader);
  fields.need();
  payload.policy = reader.text();
  if (payload.policy != "full" && payload.policy != "hash") reader.fail();
  for (auto& text : payload.texts) {
    if (fields.next()) text = reader.optional_text();
  }
  return payload;
}

void read_call(MsgpackReader& reader, LedgerEntry& entry) {
  Fields fields(reader);
  const auto text = [&](std::optional<std::string_view>& into) {
    if (fields.next()) into = reader.optional_text();
  };
  const auto integer = [&](std::int64_t& into) {
    if (fields.next()) into = reader.integer();
  };
  const auto optional = [&](std::optional<std::int64_t>& into) {
    if (fields.next()) into = reader.optional_integer();
  };
  const auto flag = [&](bool& into) {
    if (fields.next()) into = reader.boolean();
  };

  fields.need();
  entry.id = reader.text();
  fields.need();
  entry.call_type = reader.optional_text();
  fields.need();
  entry.status = reader.text();
  if (std::find(kStatuses.begin(), kStatuses.end(), entry.status) == kStatuses.end()) reader.fail();
  fields.need();
  entry.outcome = member<Outcome>(reader, kOutcomeCount);
  fields.need();
  entry.source = member<Source>(reader, 4);
  fields.need();
  entry.provider = reader.text();
  fields.need();
  entry.model = reader.text();
  fields.need();
  read_context(reader, entry);
  text(entry.response_model);
  if (fields.next() && !reader.nil()) entry.usage = read_usage(reader);
  optional(entry.cost);
  integer(entry.saved);
  text(entry.price_source);
  integer(entry.latency);
  integer(entry.queued);
  integer(entry.first_token);
  if (fields.next()) {
    for (std::size_t left = reader.array(); left != 0 && reader.ok(); --left) {
      entry.attempts.push_back(read_attempt(reader));
    }
  }
  text(entry.finish_reason);
  text(entry.error_code);
  text(entry.error_message);
  if (entry.error_message) entry.error_message = first_characters(*entry.error_message, kMessageCharacters);
  flag(entry.fallback_used);
  flag(entry.cache_hit);
  if (fields.next()) entry.temperature = reader.optional_real();
  optional(entry.max_tokens);
  integer(entry.image_count);
  text(entry.image_size);
  integer(entry.created_at);
  integer(entry.started_at);
  integer(entry.completed_at);
  text(entry.request_id);
  if (fields.next()) entry.tenant = reader.text();
  optional(entry.reserved);
  optional(entry.reported_cost);
}

/// Writes `digits` digits before `end`.
char* write_digits(char* end, std::int64_t value, int digits) noexcept {
  for (; digits != 0; --digits) {
    *--end = static_cast<char>('0' + value % 10);
    value /= 10;
  }
  return end;
}

}  // namespace

bool LedgerEntry::read(std::string_view bytes) {
  auto kept_tags = std::move(tags);
  auto kept_attempts = std::move(attempts);
  kept_tags.clear();
  kept_attempts.clear();
  *this = LedgerEntry{};
  tags = std::move(kept_tags);
  attempts = std::move(kept_attempts);

  MsgpackReader reader(bytes);
  {
    Fields fields(reader);
    fields.need();
    read_call(reader, *this);
    if (fields.next()) metadata = reader.optional_text();
    if (fields.next() && !reader.nil()) payload = read_payload(reader);
  }
  return reader.ok() && reader.at_end();
}

std::string ledger_tags(const std::vector<std::string_view>& tags) {
  std::string json = "[";
  for (const std::string_view tag : tags) {
    if (json.size() > 1) json += ',';
    append_json_string(json, tag);
  }
  json += ']';
  return json;
}

// From days to a date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
std::array<char, 26> ledger_time(WallTime wall) noexcept {
  std::int64_t seconds = wall / kNanoseconds;
  std::int64_t rest = wall % kNanoseconds;
  if (rest < 0) {
    rest += kNanoseconds;
    --seconds;
  }
  std::int64_t days = seconds / 86'400;
  std::int64_t of_day = seconds % 86'400;
  if (of_day < 0) {
    of_day += 86'400;
    --days;
  }
  days += 719'468;                          // from 1 March of the year 0
  const std::int64_t era = days / 146'097;  // of 400 years; days since 1677 are positive
  const std::int64_t day_of_era = days % 146'097;
  const std::int64_t year_of_era = (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const std::int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t shifted = (5 * day_of_year + 2) / 153;  // months since March
  const std::int64_t day = day_of_year - (153 * shifted + 2) / 5 + 1;
  const std::int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
  const std::int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);

  std::array<char, 26> text{};
  char* at = text.data() + text.size();
  const auto put = [&at](char mark) { *--at = mark; };
  at = write_digits(at, rest / 1'000, 6);
  put('.');
  at = write_digits(at, of_day % 60, 2);
  put(':');
  at = write_digits(at, of_day / 60 % 60, 2);
  put(':');
  at = write_digits(at, of_day / 3'600, 2);
  put(' ');
  at = write_digits(at, day, 2);
  put('-');
  at = write_digits(at, month, 2);
  put('-');
  write_digits(at, year, 4);
  return text;
}

}  // namespace llmcore
