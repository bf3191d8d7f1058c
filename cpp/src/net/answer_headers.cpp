#include "answer_headers.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include "../text.hpp"
#include "json.hpp"

namespace llmcore::net {
namespace {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// A number that is not negative, times 10^decimals.
std::optional<std::int64_t> number_in(std::string_view text, int decimals, bool* exact = nullptr) noexcept {
  text = trimmed(text);
  if (text.empty() || text.front() == '-' || text.size() > 400) return std::nullopt;
  return scaled_decimal(text, decimals, exact);
}

std::optional<std::int64_t> count_in(const Headers& headers, std::string_view name) noexcept {
  constexpr std::int64_t kMost = std::int64_t{1} << 53;
  const std::string_view text = trimmed(header(headers, name));
  if (!number_in(text, 0)) return std::nullopt;
  // A fraction counts down.
  const std::size_t point = text.find_first_of("eE") == std::string_view::npos ? text.find('.') : text.size();
  const auto whole = number_in(text.substr(0, point), 0);
  return whole && *whole < kMost ? whole : std::nullopt;
}

/// "6m0s", "1.5s", "120ms" in nanoseconds.
std::optional<Duration> duration_in(std::string_view text) noexcept {
  struct Unit {
    std::string_view name;
    Duration of;
  };
  constexpr std::array kUnits{Unit{"ms", kMillisecond}, Unit{"us", kMicrosecond}, Unit{"ns", 1},
                              Unit{"h", kHour},         Unit{"m", kMinute},       Unit{"s", kSecond},
                              Unit{"d", 24 * kHour}};
  if (text.empty() || text.size() >= 100) return std::nullopt;
  Duration sum = 0;
  while (!text.empty()) {
    std::size_t end = 0;
    while (end < text.size() && (is_digit(text[end]) || text[end] == '.')) ++end;
    const auto thousandths = number_in(text.substr(0, end), 3);
    text.remove_prefix(end);
    const auto* unit =
        std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return text.starts_with(u.name); });
    if (!thousandths || unit == kUnits.end()) return std::nullopt;
    text.remove_prefix(unit->name.size());
    const std::int64_t most = kLongestWait / unit->of;
    if (*thousandths / 1000 >= most) {
      sum = kLongestWait;
    } else {
      sum = std::min(kLongestWait, sum + *thousandths / 1000 * unit->of + *thousandths % 1000 * unit->of / 1000);
    }
  }
  return sum;
}

/// Nanoseconds; 0: unknown. A plain number is seconds, at Azure (which sends its period too) milliseconds.
Duration reset_of(const Headers& headers, std::string_view of) {
  const std::string_view text = trimmed(header(headers, "x-ratelimit-reset-" + std::string(of)));
  const bool in_ms = !header(headers, "x-ratelimit-renewalperiod-" + std::string(of)).empty();
  if (const auto plain = number_in(text, in_ms ? 6 : 9)) return std::min(*plain, kLongestWait);
  return duration_in(text).value_or(0);
}

/// Nanoseconds since the epoch of a date and a time of day in UTC; nothing if there is no such moment.
std::optional<WallTime> moment(std::int64_t year, std::int64_t month, std::int64_t day, std::int64_t second_of_day) {
  if (year < 1700 || year > 2200 || month < 1 || month > 12 || day < 1 || day > 31) return std::nullopt;
  const std::int64_t shifted = month <= 2 ? year - 1 : year;
  const std::int64_t era = shifted / 400;
  const std::int64_t year_of_era = shifted % 400;
  const std::int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const std::int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return ((era * 146'097 + day_of_era - 719'468) * 86'400 + second_of_day) * kSecond;
}

/// Digits at the front, taken off; nothing if there are none or too many.
std::optional<std::int64_t> take_digits(std::string_view& text) noexcept {
  std::int64_t value = 0;
  std::size_t count = 0;
  while (count < text.size() && is_digit(text[count]) && count < 9) value = value * 10 + (text[count++] - '0');
  text.remove_prefix(count);
  return count == 0 ? std::nullopt : std::optional(value);
}

void skip(std::string_view& text, std::string_view any) noexcept {
  text.remove_prefix(std::min(text.find_first_not_of(any), text.size()));
}

/// "12:00:30", taken off, in seconds.
std::optional<std::int64_t> take_time(std::string_view& text) noexcept {
  std::array<std::int64_t, 3> parts{};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i != 0) {
      if (!text.starts_with(':')) return i == 2 ? std::optional(parts[0] * 3600 + parts[1] * 60) : std::nullopt;
      text.remove_prefix(1);
    }
    const auto part = take_digits(text);
    if (!part || *part > (i == 0 ? 23 : 60)) return std::nullopt;
    parts[i] = *part;
  }
  return parts[0] * 3600 + parts[1] * 60 + parts[2];
}

/// Seconds east of Greenwich of "+0200", "-05:30", "Z", "GMT" or nothing.
std::int64_t take_zone(std::string_view& text) noexcept {
  skip(text, " ");
  if (text.empty() || (text.front() != '+' && text.front() != '-')) return 0;
  const bool west = text.front() == '-';
  text.remove_prefix(1);
  std::int64_t offset = 0;
  const auto given = take_digits(text);
  if (text.starts_with(':')) {
    text.remove_prefix(1);
    offset = given.value_or(0) * 3600 + take_digits(text).value_or(0) * 60;
  } else {
    offset = given.value_or(0) / 100 * 3600 + given.value_or(0) % 100 * 60;
  }
  return offset > 86'400 ? 0 : west ? -offset : offset;
}

std::int64_t take_month(std::string_view& text) noexcept {
  constexpr std::string_view kMonths = "janfebmaraprmayjunjulaugsepoctnovdec";
  if (text.size() < 3) return 0;
  const std::array<char, 3> name{lower(text[0]), lower(text[1]), lower(text[2])};
  text.remove_prefix(3);
  while (!text.empty() && lower(text.front()) >= 'a' && lower(text.front()) <= 'z') text.remove_prefix(1);
  const std::size_t at = kMonths.find(std::string_view(name.data(), name.size()));
  return at == std::string_view::npos || at % 3 != 0 ? 0 : static_cast<std::int64_t>(at / 3) + 1;
}

/// A date as HTTP writes it, in any of its three forms.
std::optional<WallTime> http_date(std::string_view text) {
  text = trimmed(text);
  if (text.size() < 10 || text.size() > 100) return std::nullopt;
  if (!is_digit(text.front())) {
    const std::size_t comma = text.find(',');
    if (comma == std::string_view::npos) {  // "Mon Jun  1 12:00:30 2026"
      text.remove_prefix(std::min(text.find(' '), text.size()));
      skip(text, " ");
      const std::int64_t month = take_month(text);
      skip(text, " ");
      const auto day = take_digits(text);
      skip(text, " ");
      const auto time = take_time(text);
      skip(text, " ");
      const auto year = take_digits(text);
      return day && time && year ? moment(*year, month, *day, *time) : std::nullopt;
    }
    text.remove_prefix(comma + 1);
    skip(text, " ");
  }
  const auto day = take_digits(text);
  skip(text, " -");
  const std::int64_t month = take_month(text);
  skip(text, " -");
  auto year = take_digits(text);
  skip(text, " ");
  const auto time = take_time(text);
  const std::int64_t zone = take_zone(text);
  if (!day || !year || !time) return std::nullopt;
  if (*year < 100) *year += *year < 69 ? 2000 : 1900;
  return moment(*year, month, *day, *time - zone);
}

Duration until(const Headers& headers, std::string_view name, WallTime now) {
  const auto at = moment_of(header(headers, name));
  return at ? std::clamp<Duration>(add_saturated(*at, -now), 0, kLongestWait) : 0;
}

}  // namespace

std::string_view trimmed(std::string_view text) noexcept {
  constexpr std::string_view kBlanks = " \t\n\r\f\v";
  const std::size_t start = text.find_first_not_of(kBlanks);
  if (start == std::string_view::npos) return {};
  return text.substr(start, text.find_last_not_of(kBlanks) - start + 1);
}

bool is_printable(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte < 0x7F;
  });
}

std::optional<WallTime> moment_of(std::string_view text) {
  text = trimmed(text);
  if (text.size() < 10 || text.size() > 40) return std::nullopt;
  const auto year = take_digits(text);
  skip(text, "-");
  const auto month = take_digits(text);
  skip(text, "-");
  const auto day = take_digits(text);
  skip(text, "Tt ");
  const auto time = take_time(text);
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    skip(text, "0123456789");
  }
  const std::int64_t zone = take_zone(text);
  if (!year || !month || !day || !time) return std::nullopt;
  return moment(*year, *month, *day, *time - zone);
}

std::string request_id_of(const Headers& headers, std::string_view key) {
  for (const std::string_view name : {"x-request-id", "request-id", "apim-request-id"}) {
    const std::string_view found = header(headers, name);
    if (found.empty()) continue;
    const bool usable = is_printable(found) && (key.empty() || found.find(key) == std::string_view::npos);
    return usable ? std::string(found.substr(0, 200)) : std::string();
  }
  return {};
}

std::optional<bool> should_retry_of(const Headers& headers) {
  std::string said(trimmed(header(headers, "x-should-retry")));
  std::transform(said.begin(), said.end(), said.begin(), lower);
  return said == "true" ? std::optional(true) : said == "false" ? std::optional(false) : std::nullopt;
}

Duration retry_after_of(const Headers& headers, WallTime now) {
  if (const auto exact = number_in(header(headers, "retry-after-ms"), 6)) return std::min(*exact, kLongestWait);
  const std::string_view text = header(headers, "retry-after");
  if (const auto seconds = number_in(text, 9)) return std::min(*seconds, kLongestWait);
  if (const auto at = http_date(text)) {
    const WallTime sent = http_date(header(headers, "date")).value_or(now);
    return std::clamp<Duration>(add_saturated(*at, -sent), 0, kLongestWait);
  }
  // Sent twice, and joined on the way.
  return std::min(number_in(text.substr(0, text.find(',')), 9).value_or(0), kLongestWait);
}

std::optional<RateObservation> observation_of(const Headers& headers) {
  RateObservation seen;
  seen.remaining_requests = count_in(headers, "x-ratelimit-remaining-requests");
  seen.remaining_tokens = count_in(headers, "x-ratelimit-remaining-tokens");
  std::string_view tokens_limit = "x-ratelimit-limit-tokens";
  if (!seen.remaining_tokens) {  // Mistral's; its requests are counted by spans that are no minute
    seen.remaining_tokens = count_in(headers, "x-ratelimit-remaining-tokens-minute");
    tokens_limit = "x-ratelimit-limit-tokens-minute";
  }
  if (!seen.remaining_requests && !seen.remaining_tokens) return std::nullopt;
  if (seen.remaining_requests) {
    seen.requests_reset = reset_of(headers, "requests");
    seen.requests_limit = count_in(headers, "x-ratelimit-limit-requests");
  }
  if (seen.remaining_tokens) {
    seen.tokens_reset = reset_of(headers, "tokens");
    seen.tokens_limit = count_in(headers, tokens_limit);
  }
  return seen;
}

std::optional<RateObservation> anthropic_observation_of(const Headers& headers, WallTime now) {
  const std::string prefix = "anthropic-ratelimit-";
  RateObservation seen;
  seen.remaining_requests = count_in(headers, prefix + "requests-remaining");
  std::string tightest;
  for (const std::string_view of : {"tokens", "input-tokens", "output-tokens"}) {
    const auto left = count_in(headers, prefix + std::string(of) + "-remaining");
    if (left && (!seen.remaining_tokens || *left < *seen.remaining_tokens)) {
      seen.remaining_tokens = left;
      tightest = of;
    }
  }
  if (!seen.remaining_requests && !seen.remaining_tokens) return std::nullopt;
  if (seen.remaining_requests) {
    seen.requests_reset = until(headers, prefix + "requests-reset", now);
    seen.requests_limit = count_in(headers, prefix + "requests-limit");
  }
  if (seen.remaining_tokens) {
    seen.tokens_reset = until(headers, prefix + tightest + "-reset", now);
    seen.tokens_limit = count_in(headers, prefix + tightest + "-limit");
  }
  return seen;
}

}  // namespace llmcore::net
