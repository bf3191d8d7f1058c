#include "failures.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "../text.hpp"
#include "answer_headers.hpp"
#include "phrases.hpp"

namespace llmcore::net {
namespace {

constexpr std::size_t kLongestMessage = 500;
constexpr std::size_t kLongestLookedAt = 20'000;

/// Codes and types, in lower case, wherever in an error they stand.
constexpr std::array<std::pair<Outcome, std::string_view>, 8> kCodes{{
    {Outcome::quota_exhausted,
     " insufficient_quota billing_hard_limit_reached billing_not_active insufficient_balance insufficient_credits"
     " insufficient_funds payment_required billing_error "},
    {Outcome::context_length,
     " context_length_exceeded context_window_exceeded exceed_context_size_error prompt_too_long"
     " model_max_prompt_tokens_exceeded tokens_limit_reached request_too_large "},
    {Outcome::content_filter,
     " content_filter content_policy_violation responsibleaipolicyviolation moderation_blocked data_inspection_failed"
     " invalid_prompt "},
    {Outcome::not_found,
     " model_not_found deploymentnotfound model_decommissioned model_not_available unknown_model invalid_model"
     " not_found_error "},
    {Outcome::auth,
     " invalid_api_key invalid_authentication authentication_error permission_denied unauthorized account_deactivated"
     " permission_error "},
    {Outcome::overloaded, " overloaded_error server_overloaded engine_overloaded slow_down no_capacity "},
    {Outcome::rate_limited, " rate_limit_exceeded rate_limit_error too_many_requests "},
    {Outcome::bad_request, " not_supported_error "},  // llama.cpp, with status 501: it was started without this feature
}};

std::optional<Outcome> outcome_of_code(std::string_view code) {
  if (code.empty() || code.find(' ') != std::string_view::npos) return std::nullopt;
  const std::string padded = " " + lowered(code) + " ";
  for (const auto& [outcome, codes] : kCodes) {
    if (codes.find(padded) != std::string_view::npos) return outcome;
  }
  return std::nullopt;
}

Outcome outcome_of(int status, const std::vector<std::string>& codes, std::string_view said) {
  const std::string text = lowered(said.substr(0, kLongestLookedAt));
  std::optional<Outcome> outcome;
  for (const std::string& code : codes) {
    if (!outcome) outcome = outcome_of_code(code);
  }
  if (!outcome) {
    outcome = outcome_of_status(status);
    if (*outcome != Outcome::rate_limited) {
      if (speaks_of_length(text)) return Outcome::context_length;
      if (status < 500) {
        if (const auto meant = meaning_of(text)) return *meant;
      }
      return status >= 500 && speaks_of_load(text) ? Outcome::overloaded : *outcome;
    }
  }
  if (*outcome == Outcome::rate_limited) {
    // Larger than the limit of a whole minute: waiting does not help.
    if (text.find("request too large") != std::string::npos) return Outcome::context_length;
    if (speaks_of_load(text)) return Outcome::overloaded;
  }
  return *outcome;
}

/// Every code and type in an error, outermost first, and its message.
struct Read {
  std::vector<std::string> codes;
  std::string said;
};

void take_codes(Json part, std::vector<std::string>& codes) {
  const auto take = [&codes](Json code) {
    std::string told;
    if (code.is(Json::Kind::string)) told = code.text();
    if (code.is(Json::Kind::number) && code.whole()) told = std::string(code.raw());
    if (!told.empty() && told != "error") codes.push_back(told.substr(0, 200));
  };
  for (const std::string_view name : {"code", "type", "status", "status_code"}) take(part[name]);
  for (const std::string_view name : {"innererror", "inner_error"}) take(part[name]["code"]);
  if (const Json error = part["error"];
      error.is(Json::Kind::string) && error.raw().find(' ') == std::string_view::npos) {
    take(error);
  }
}

/// The message, where it is not under one name.
std::string told_by_parts(Json part) {
  const Json raw = part["metadata"]["raw"];
  if (raw.is(Json::Kind::string)) {  // OpenRouter, of the provider behind it
    const Json message = part["message"];
    return (message.is(Json::Kind::string) ? message.text() : std::string(message.raw())) + ": " + raw.text();
  }
  if (part["loc"].is(Json::Kind::list) && part["msg"].is(Json::Kind::string)) {  // FastAPI
    std::string where;
    part["loc"].each([&where](Json step) {
      if (!where.empty()) where += '.';
      where += step.is(Json::Kind::string) ? step.text() : std::string(step.raw());
      return where.size() < kLongestMessage;
    });
    return where + ": " + part["msg"].text();
  }
  return {};
}

Read read(Json error) {
  Read found;
  std::vector<Json> looked_at{error};
  constexpr int kLevels = 8;  // nothing is deeper
  for (int level = 0; level < kLevels && !looked_at.empty(); ++level) {
    std::vector<Json> deeper;
    for (const Json part : looked_at) {
      if (part.is(Json::Kind::string)) {
        if (found.said.empty()) found.said = part.text();
      } else if (part.is(Json::Kind::list)) {
        std::size_t taken = 0;
        part.each([&](Json each) {
          deeper.push_back(each);
          return ++taken < 4;
        });
      } else if (part.is(Json::Kind::object)) {
        take_codes(part, found.codes);
        for (const std::string_view name : {"message", "msg", "detail", "error", "errors"}) {
          if (const Json inner = part[name]; inner.says_something()) deeper.push_back(inner);
        }
        if (found.said.empty()) found.said = told_by_parts(part);
      }
    }
    constexpr std::size_t kMostParts = 50;
    deeper.resize(std::min(deeper.size(), kMostParts));
    looked_at = std::move(deeper);
  }
  return found;
}

std::string message_of_text(std::string_view body, int status) {
  std::string text;
  append_as_utf8(text, body.substr(0, kLongestLookedAt));
  const std::string_view said = trimmed(text);
  if (said.starts_with('<')) {
    const std::string title = title_of(said);
    return title.empty() ? "an HTML page, not JSON" : "an HTML page, not JSON: " + title;
  }
  if (status < 400 && !said.empty())
    return "the answer is not JSON, or was cut";  // what a model said is not ours to show
  return std::string(said);
}

std::string nothing_said(int status) {
  std::string name = "HTTP " + std::to_string(status);
  const std::string_view phrase = reason_phrase(status);
  if (!phrase.empty()) name += " " + std::string(phrase);
  if (status >= 300 && status < 400) return name + ": redirects are not followed; set base_url to where it leads";
  return name + ", and no reason given";
}

bool is_number(std::string_view code) {
  return !code.empty() && std::all_of(code.begin(), code.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

Failure failure(Outcome outcome, std::string message, int status) {
  Failure made;
  made.outcome = outcome;
  made.message = std::move(message);
  made.status = status;
  return made;
}

Failure failure_of(int status, const Reading& reading, std::string_view body) {
  std::string repaired;
  if (const auto error = parse_leniently(body, repaired)) return failure_of_error(status, reading, *error, {});
  return failure_of_error(status, reading, {}, message_of_text(body, status));
}

Failure failure_of_error(int status, const Reading& reading, Json error, std::string_view text) {
  const Read told = read(error);
  const std::vector<std::string>& codes = told.codes;
  const std::string_view said = told.said.empty() ? text : std::string_view(told.said);
  int meant = status;
  if (status < 400) {  // an error in the clothes of an answer; OpenRouter puts the status into the code
    const auto has = [&codes](std::string_view code) {
      return std::find(codes.begin(), codes.end(), code) != codes.end();
    };
    meant = has("invalid_request_error") ? 400 : has("timeout_error") ? 408 : 500;
    for (const std::string& code : codes) {
      if (code.size() != 3 || !is_number(code)) continue;
      int inner = 0;
      std::from_chars(code.data(), code.data() + code.size(), inner);
      if (inner >= 400 && inner < 600) meant = inner;
      break;
    }
  }
  Failure made = failure(outcome_of(meant, codes, said), redacted(said, reading.key), status);
  if (made.message.empty()) made.message = nothing_said(status);
  made.retry_after = retry_after_of(reading.headers, reading.now);
  made.should_retry = should_retry_of(reading.headers);
  made.request_id = request_id_of(reading.headers, reading.key);
  const auto name = std::find_if(codes.begin(), codes.end(), [](const std::string& code) { return !is_number(code); });
  if (name != codes.end()) made.code = redacted(*name, reading.key).substr(0, 100);
  return made;
}

std::string redacted(std::string_view text, std::string_view key) {
  std::string utf8;
  append_as_utf8(utf8, text.substr(0, kLongestLookedAt));
  std::string line;
  for (const char c : utf8) {  // words, with one blank between them
    const bool blank = c == ' ' || (c >= '\t' && c <= '\r');
    if (!blank) {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  if (!line.empty() && line.back() == ' ') line.pop_back();
  mask_keys(line, key);
  for (char& c : line) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) c = '?';
  }
  if (characters_of(line) > kLongestMessage) {
    std::size_t end = 0;
    for (std::size_t characters = 0; end < line.size(); ++end) {
      const bool begins = (static_cast<unsigned char>(line[end]) & 0xC0U) != 0x80U;
      if (begins && ++characters > kLongestMessage - 3) break;
    }
    line.resize(end);
    line += "...";
  }
  return line;
}

}  // namespace llmcore::net
