#include "phrases.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace llmcore::net {
namespace {

constexpr std::string_view kMask = "[key]";

constexpr bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_word(char c) noexcept {
  return is_letter(c) || is_digit(c) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}
constexpr bool is_key_part(char c) noexcept {
  return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '.' || c == '*';
}

bool has(std::string_view text, std::string_view phrase) noexcept {
  return text.find(phrase) != std::string_view::npos;
}

template <std::size_t N>
bool has_any(std::string_view text, const std::array<std::string_view, N>& phrases) noexcept {
  return std::any_of(phrases.begin(), phrases.end(), [text](std::string_view phrase) { return has(text, phrase); });
}

bool take(std::string_view& rest, std::string_view word) noexcept {
  if (!rest.starts_with(word)) return false;
  rest.remove_prefix(word.size());
  return true;
}

/// "exceed(s) the (model('s) )(maximum )(number of )(input )tokens"
bool exceeds_tokens(std::string_view text) noexcept {
  for (std::size_t at = text.find("exceed"); at != std::string_view::npos; at = text.find("exceed", at + 1)) {
    std::string_view rest = text.substr(at + 6);
    (void)take(rest, "s");
    if (!take(rest, " the ")) continue;
    (void)(take(rest, "model's ") || take(rest, "models ") || take(rest, "model "));
    (void)take(rest, "maximum ");
    (void)take(rest, "number of ");
    (void)take(rest, "input ");
    if (take(rest, "tokens")) return true;
  }
  return false;
}

/// "input", and soon after it " flagged".
bool input_flagged(std::string_view text) noexcept {
  for (std::size_t at = text.find("input"); at != std::string_view::npos; at = text.find("input", at + 1)) {
    if (has(text.substr(at + 5, 20 + 8), " flagged")) return true;
  }
  return false;
}

/// The word "model", and not far behind it that it is not there.
bool lacks_model(std::string_view text) noexcept {
  constexpr std::array<std::string_view, 4> kNot{"does not exist", "not found", "has been deprecated",
                                                 "has been decommissioned"};
  for (std::size_t at = text.find("model"); at != std::string_view::npos; at = text.find("model", at + 1)) {
    const std::size_t end = at + 5;
    if ((at > 0 && is_word(text[at - 1])) || end >= text.size() || is_word(text[end])) continue;
    constexpr std::size_t kFar = 200;
    if (has_any(text.substr(end + 1, kFar + 23), kNot)) return true;
  }
  return false;
}

/// How long what looks like a key is, at the front of `text`; 0 if nothing does.
std::size_t key_length(std::string_view text) noexcept {
  const auto run = [text](std::size_t from) {
    std::size_t end = from;
    while (end < text.size() && is_key_part(text[end])) ++end;
    return end;
  };
  const auto dashed = [text](std::size_t at) { return at < text.size() && (text[at] == '-' || text[at] == '_'); };
  constexpr std::size_t kLeastSecret = 6;
  constexpr std::size_t kLeast = 16;
  constexpr std::size_t kLeastPlain = 20;
  if (text.starts_with("sk") && dashed(2) && run(3) >= 3 + kLeastSecret) return run(3);
  for (const std::string_view start : {"pk", "rk", "gsk", "csk", "xai", "pplx", "nvapi", "tgp", "hf"}) {
    const std::size_t at = start.size();
    if (text.starts_with(start) && dashed(at) && run(at + 1) >= at + 1 + kLeast) return run(at + 1);
  }
  for (const std::string_view start : {"AIza", "eyJ"}) {
    if (text.starts_with(start) && run(start.size()) >= start.size() + kLeastPlain) return run(start.size());
  }
  return 0;
}

void replace_all(std::string& text, std::string_view from) {
  std::string out;
  std::size_t at = 0;
  for (std::size_t found = text.find(from); found != std::string::npos; found = text.find(from, at)) {
    out.append(text, at, found - at);
    out += kMask;
    at = found + from.size();
  }
  out.append(text, at);
  text = std::move(out);
}

bool ends_word(char c) noexcept { return c == ' ' || c == '"' || c == '\'' || c == ',' || (c >= '\t' && c <= '\r'); }

constexpr std::array<std::pair<int, std::string_view>, 34> kReasons{{
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {413, "Request Entity Too Large"},
    {415, "Unsupported Media Type"},
    {422, "Unprocessable Entity"},
    {425, "Too Early"},
    {429, "Too Many Requests"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
}};

}  // namespace

std::string lowered(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool speaks_of_length(std::string_view text) noexcept {
  constexpr std::array<std::string_view, 11> kPhrases{"context length",
                                                      "context window",
                                                      "context size",
                                                      "prompt is too long",
                                                      "input is too long",
                                                      "reduce the length of the messages",
                                                      "reduce the length of the prompt",
                                                      "reduce the length of the input",
                                                      "request too large for",
                                                      "maximum prompt length",
                                                      "maximum context length"};
  return has_any(text, kPhrases) || exceeds_tokens(text);
}

bool speaks_of_load(std::string_view text) noexcept {
  constexpr std::array<std::string_view, 4> kPhrases{"overloaded", "at capacity", "over capacity", "no capacity"};
  return has_any(text, kPhrases);
}

std::optional<Outcome> meaning_of(std::string_view text) noexcept {
  constexpr std::array<std::string_view, 6> kQuota{"insufficient balance", "insufficient credit",
                                                   "insufficient funds",   "credit balance is too low",
                                                   "billing hard limit",   "insufficient credits"};
  if (has_any(text, kQuota)) return Outcome::quota_exhausted;
  constexpr std::array<std::string_view, 4> kPolicy{"content policy", "content management policy", "usage polic",
                                                    "safety system"};
  if (has_any(text, kPolicy) || input_flagged(text)) return Outcome::content_filter;
  if (lacks_model(text) || has(text, "not a valid model") || has(text, "invalid model")) return Outcome::not_found;
  constexpr std::array<std::string_view, 9> kKey{"api key not valid",  "invalid api key",    "incorrect api key",
                                                 "api key is invalid", "api key invalid",    "api key is missing",
                                                 "api key missing",    "api key is expired", "api key expired"};
  if (has_any(text, kKey)) return Outcome::auth;
  return std::nullopt;
}

std::string title_of(std::string_view html) {
  const std::string text = lowered(html);
  const std::size_t tag = text.find("<title");
  const std::size_t start = tag == std::string::npos ? tag : text.find('>', tag);
  const std::size_t end = start == std::string::npos ? start : text.find("</title", start);
  if (end == std::string::npos) return {};
  std::string_view rest = html.substr(start + 1, end - start - 1);
  constexpr std::array<std::pair<std::string_view, char>, 6> kEntities{
      {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#39;", '\''}, {"&apos;", '\''}}};
  std::string title;
  while (!rest.empty()) {
    const auto* entity = std::find_if(kEntities.begin(), kEntities.end(),
                                      [rest](const auto& each) { return rest.starts_with(each.first); });
    title += entity != kEntities.end() ? entity->second : rest.front();
    rest.remove_prefix(entity != kEntities.end() ? entity->first.size() : 1);
  }
  const std::size_t first = title.find_first_not_of(" \t\r\n");
  return first == std::string::npos ? std::string()
                                    : title.substr(first, title.find_last_not_of(" \t\r\n") - first + 1);
}

std::string_view reason_phrase(int status) noexcept {
  const auto* found =
      std::find_if(kReasons.begin(), kReasons.end(), [status](const auto& each) { return each.first == status; });
  return found == kReasons.end() ? std::string_view() : found->second;
}

void mask_keys(std::string& text, std::string_view key) {
  if (key.size() >= 4) replace_all(text, key);
  std::string out;
  const std::string_view begun = key.size() >= 16 ? key.substr(0, 8) : std::string_view();
  for (std::string_view rest = text; !rest.empty();) {
    const char before = out.empty() ? ' ' : out.back();
    const bool bears = std::string_view(out).ends_with("Bearer ") || std::string_view(out).ends_with("bearer ");
    std::size_t length = 0;
    // Also a beginning of ours, as some providers shorten or mask what they echo.
    if (bears || (!begun.empty() && rest.starts_with(begun))) {
      while (length < rest.size() && !ends_word(rest[length]) && (bears || rest[length] != ';')) ++length;
    } else if (!is_word(before)) {
      length = key_length(rest);
    }
    if (length != 0) {
      out += kMask;
    } else {
      length = 1;
      out += rest.front();
    }
    rest.remove_prefix(length);
  }
  text = std::move(out);
}

}  // namespace llmcore::net
