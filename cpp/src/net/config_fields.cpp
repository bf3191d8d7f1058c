#include "config_fields.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "answer_headers.hpp"
#include "config_values.hpp"
#include "failures.hpp"
#include "llmcore/net/providers.hpp"
#include "phrases.hpp"

namespace llmcore::net {
namespace {

using Said = ConfigManager::Said;
using Path = ConfigManager::Path;
using Kind = Json::Kind;

constexpr std::int64_t kTrillion = 1'000'000'000'000;
constexpr std::int64_t kBillion = 1'000'000'000;

/// A number, `decimals` of whose places count.
struct Number {
  std::string_view name;
  int decimals;
  std::int64_t least, most;  // in units of the last place
  std::string_view allowed;
  void (*set)(Settings&, std::int64_t);
};

constexpr std::string_view kLimit = "must be a limit (0: none), a whole number from 0 to 1,000,000,000,000";
constexpr std::string_view kPlaces = "must be a number of waiting calls, a whole number from 0 to 1,000,000,000";
constexpr std::string_view kSeconds = "must be a time in seconds, a number from 0 to 1,000,000,000";
constexpr std::string_view kSomeSeconds = "must be a time in seconds, a number from 0.000001 to 1,000,000,000";
constexpr std::int64_t kMostSeconds = kBillion * kSecond;

constexpr std::array kNumbers{
    Number{"cache.ttl_seconds", 9, 0, kMostSeconds, kSeconds,
           [](Settings& s, std::int64_t v) { s.engine.cache.ttl = v; }},
    Number{"cache.max_entries", 0, 0, kBillion, "must be a number of answers, a whole number from 0 to 1,000,000,000",
           [](Settings& s, std::int64_t v) { s.engine.cache.max_entries = v; }},
    Number{"cache.max_bytes", 0, 0, kTrillion, "must be a number of bytes, a whole number from 0 to 1,000,000,000,000",
           [](Settings& s, std::int64_t v) { s.engine.cache.max_bytes = v; }},
    Number{"retry.max_attempts", 0, 1, 60, "must be a number of attempts, a whole number from 1 to 60",
           [](Settings& s, std::int64_t v) { s.engine.recovery.max_attempts = v; }},
    Number{"retry.base_delay", 9, 0, kMostSeconds, kSeconds,
           [](Settings& s, std::int64_t v) { s.engine.backoff.base = v; }},
    Number{"retry.max_delay", 9, 0, kMostSeconds, kSeconds,
           [](Settings& s, std::int64_t v) { s.engine.backoff.cap = v; }},
    Number{"retry.retry_after_cap", 9, 0, kMostSeconds, kSeconds,
           [](Settings& s, std::int64_t v) { s.engine.recovery.retry_after_cap = v; }},
    Number{"retry.attempt_timeout", 9, kMicrosecond, kMostSeconds, kSomeSeconds,
           [](Settings& s, std::int64_t v) { s.engine.attempt_timeout = v; }},
    Number{"health.breaker_errors", 0, 1, kBillion,
           "must be a number of errors, a whole number from 1 to 1,000,000,000",
           [](Settings& s, std::int64_t v) { s.engine.recovery.breaker_errors = v; }},
    Number{"health.cooldown", 9, 0, kMostSeconds, kSeconds,
           [](Settings& s, std::int64_t v) { s.engine.recovery.cooldown = v; }},
    Number{"defaults.max_tokens", 0, 1, kBillion, "must be a number of tokens, a whole number from 1 to 1,000,000,000",
           [](Settings& s, std::int64_t v) { s.max_tokens = v; }},
    Number{"defaults.deadline", 9, kMicrosecond, kMostSeconds, kSomeSeconds,
           [](Settings& s, std::int64_t v) { s.engine.deadline = v; }},
    Number{"defaults.temperature", 3, 0, 2000, "must be a temperature, a number from 0 to 2",
           [](Settings& s, std::int64_t v) {
             s.temperature = v == 1000 ? std::nullopt : std::optional(static_cast<double>(v) / 1000);
           }},
    Number{"seed", 0, 0, std::numeric_limits<std::int64_t>::max() - 1,
           "must be the seed of every random choice, a whole number",
           [](Settings& s, std::int64_t v) { s.engine.seed = static_cast<std::uint64_t>(v); }},
};

/// Settings that are read elsewhere here, and those that only a back end has.
constexpr std::array<std::string_view, 22> kOthers{"provider",
                                                   "model",
                                                   "queue.preset",
                                                   "queue.high",
                                                   "queue.medium",
                                                   "queue.low",
                                                   "queue.total",
                                                   "cache.enabled",
                                                   "retry.jitter",
                                                   "budgets",
                                                   "ledger.url",
                                                   "ledger.spool_dir",
                                                   "ledger.ack",
                                                   "ledger.on_full",
                                                   "content.policy",
                                                   "limits.requests_per_minute",
                                                   "limits.tokens_per_minute",
                                                   "limits.max_in_flight",
                                                   "limits.providers",
                                                   "providers",
                                                   "prices",
                                                   "content"};
constexpr std::array<std::string_view, 13> kSections{"provider", "model",   "providers", "limits",  "queue",
                                                     "cache",    "retry",   "health",    "budgets", "prices",
                                                     "ledger",   "content", "defaults"};

bool is_provider_name(std::string_view name) noexcept {
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-'; };
  return !name.empty() && name.size() <= 64 && name[0] != '.' && name[0] != '-' &&
         std::all_of(name.begin(), name.end(), fits);
}

}  // namespace

std::string dotted(const Path& path) {
  std::string name;
  for (const std::string& part : path) name += (name.empty() ? "" : ".") + part;
  return name;
}

bool is_section(std::string_view name) noexcept {
  return name == "seed" || std::find(kSections.begin(), kSections.end(), name) != kSections.end();
}

std::string_view nearest_section(std::string_view name) noexcept { return nearest(name, kSections); }

void SettingsReader::wrong(const Said& said, std::string_view allowed, bool secret) {
  std::string shown;
  if (const Kind kind = json_of(said).kind();
      said.plain || kind == Kind::string || kind == Kind::number || kind == Kind::boolean) {
    const std::string text = text_of(said);
    const bool key_like =
        secret || redacted(text, {}) != text || (text.size() >= 32 && text.find(' ') == std::string::npos);
    const bool quotes = said.plain || kind == Kind::string;
    shown = key_like ? " (not shown, it may be a secret)" : quotes ? " is '" + text + "'" : " is " + text;
  }
  problems_.push_back(said.name + shown + ": " + std::string(allowed));
  refused_.insert(&said);
}

void SettingsReader::unknown(const Path& path, const Said& said) {
  refused_.insert(&said);
  if (path.size() == 1 && is_section(path[0])) {
    problems_.push_back(said.name + ": must be an object of settings");
    return;
  }
  std::vector<std::string_view> names(kOthers.begin(), kOthers.end());
  for (const Number& number : kNumbers) names.push_back(number.name);
  std::string told = said.name + ": no such setting";
  if (const std::string_view near = nearest(dotted(path), names); !near.empty()) {
    told += "; did you mean " + std::string(near) + "?";
  }
  problems_.push_back(std::move(told));
}

bool SettingsReader::read_lane(const Path& path, const Said& said, std::size_t at, RateLimiterConfig& limits) {
  if (path.size() != at + 1) return false;
  std::int64_t* const field = path[at] == "requests_per_minute" ? &limits.requests_per_minute
                              : path[at] == "tokens_per_minute" ? &limits.tokens_per_minute
                              : path[at] == "max_in_flight"     ? &limits.max_in_flight
                                                                : nullptr;
  if (field == nullptr) return false;
  const auto value = number_of(said, 0);
  if (!value || *value < 0 || *value > kTrillion) {
    wrong(said, kLimit);
  } else {
    *field = *value;
  }
  return true;
}

bool SettingsReader::read_number(const std::string& name, const Said& said) {
  const auto* number =
      std::find_if(kNumbers.begin(), kNumbers.end(), [&](const Number& each) { return each.name == name; });
  if (number == kNumbers.end()) return false;
  const auto value = number_of(said, number->decimals);
  if (!value || *value < number->least || *value > number->most) {
    wrong(said, number->allowed);
  } else {
    number->set(settings_, *value);
  }
  return true;
}

void SettingsReader::read_provider(const Path& path, const Said& said) {
  const std::string& field = path[2];
  const bool key = field == "api_key";
  const bool version = field == "api_version";
  if (!key && !version && field != "base_url") {
    unknown(path, said);
  } else if (!is_provider_name(path[1])) {
    wrong(said, R"(must be of a provider, such as "openai" (letters, digits, "." and "-"))", true);
  } else if (const std::string text = text_of(said); !text.empty() && text != "null") {
    if (version) return read_version(path[1], said, text);
    HttpOptions options;
    (key ? options.api_key : options.base_url) = text;
    if (!json_of(said).is(Kind::string) && !said.plain) {
      wrong(said, "must be a string", true);
    } else if (!HttpProvider::problem(*host_of("openai"), options).empty()) {
      wrong(
          said,
          key ? "must be the key as the provider gave it (ASCII, no blanks, no line breaks)"
              : R"(must be the URL of the API, such as "https://api.openai.com/v1" (http or https, no user name, no "#"))",
          key || text.find_first_of("@?") != std::string::npos || text.find("://") == std::string::npos);
    } else {
      ProviderSettings& own = settings_.providers[path[1]];
      (key ? own.api_key : own.base_url) = text;
    }
  }
}

void SettingsReader::read_version(const std::string& provider, const Said& said, const std::string& text) {
  constexpr std::size_t kLongest = 40;
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  };
  const bool is_text = said.plain || json_of(said).is(Kind::string);
  if (!is_text || text.size() > kLongest || !std::all_of(text.begin(), text.end(), fits)) {
    wrong(said, R"(must be the version of an API, such as "2024-10-21")");
  } else {
    settings_.providers[provider].api_version = text;
  }
}

void SettingsReader::read_queue() {
  RequestQueueConfig& queue = settings_.engine.queue;
  const auto places = [&](const char* name, std::int64_t& to) {
    const auto said = all_.find({"queue", name});
    if (said == all_.end()) return false;
    const auto value = number_of(said->second, 0);
    if (!value || *value < 0 || *value > kBillion) {
      wrong(said->second, kPlaces);
      return false;
    }
    to = *value;
    return true;
  };
  const bool game = queue.class_timeout[0] != 0;
  // Of a server's, no class has a cap below the total.
  if (places("total", queue.total_capacity) && !game) queue.class_capacity.fill(queue.total_capacity);
  places("high", queue.class_capacity[0]);
  places("medium", queue.class_capacity[1]);
  places("low", queue.class_capacity[2]);
}

void SettingsReader::read_one(const Path& path, const Said& said) {
  const std::string name = dotted(path);
  const std::string& section = path.front();
  if (section == "ledger" || section == "content" || name == "queue.preset" || name == "provider" || name == "model" ||
      name == "queue.high" || name == "queue.medium" || name == "queue.low" || name == "queue.total") {
    return;  // Python's alone, or read apart
  }
  if (section == "providers" && path.size() == 3) return read_provider(path, said);
  if (section == "prices" && path.size() == 2) return read_price(path[1], said);
  if (name == "budgets") return read_budgets(said);
  if (section == "limits" && path.size() == 4 && path[1] == "providers") {
    auto& own = settings_.engine.provider_limits.try_emplace(path[2], settings_.engine.limits).first->second;
    if (!read_lane(path, said, 3, own)) unknown(path, said);
  } else if (section == "limits" && path.size() == 2) {
    if (!read_lane(path, said, 1, settings_.engine.limits)) unknown(path, said);
  } else if (name == "cache.enabled") {
    const auto value = boolean_of(said);
    value ? void(settings_.cache = *value) : wrong(said, "must be true or false");
  } else if (name == "retry.jitter") {
    const std::string text = lowered(text_of(said));
    const auto permille = number_of(said, 3);
    if (text == "full") {
      settings_.engine.backoff.jitter = Jitter::full;
    } else if (text == "none" || permille == 0) {
      settings_.engine.backoff.jitter = Jitter::none;
    } else if (permille && *permille > 0 && *permille <= 1000) {
      settings_.engine.backoff.jitter_permille = *permille;
    } else {
      wrong(said, R"(must be the part of the delay that is random, a number from 0 to 1, or "none" or "full")");
    }
  } else if (!read_number(name, said)) {
    unknown(path, said);
  }
}

void SettingsReader::read_names() {
  if (const auto preset = all_.find({"queue", "preset"}); preset != all_.end()) {
    const std::string text = lowered(text_of(preset->second));
    if (text == "server") {
      settings_.engine = Config::server();
      settings_.cache = false;
    } else if (text != "game") {
      wrong(preset->second, R"(must be "server" or "game")");
    }
  }
  if (const auto model = all_.find({"model"}); model != all_.end()) {
    const std::string text = text_of(model->second);
    const bool is_text = model->second.plain || json_of(model->second).is(Kind::string);
    if (is_text && !text.empty() && text.size() <= 256 && is_printable(text)) {
      settings_.model = text;
    } else {
      wrong(model->second, R"(must be the name of a model, such as "gpt-4o-mini" (1 to 256 printable characters))");
    }
  }
}

Settings SettingsReader::read() {
  read_names();
  read_queue();
  // What holds for all lanes comes before what holds for one.
  for (const bool of_one : {false, true}) {
    for (const auto& [path, said] : all_) {
      const bool is_of_one = path.front() == "limits" && path.size() == 4;
      if (is_of_one != of_one) continue;
      const std::size_t before = problems_.size();
      read_one(path, said);
      if (problems_.size() != before) refused_.insert(&said);
    }
  }
  if (const auto provider = all_.find({"provider"}); provider != all_.end()) {
    std::string name = lowered(text_of(provider->second));
    std::replace(name.begin(), name.end(), '_', '-');
    if (is_provider_name(name)) {
      settings_.provider = name;
    } else {
      wrong(provider->second, R"(must be the name of a provider, such as "openai" (letters, digits, "." and "-"))");
    }
  } else {
    for (const char* const name : {"openai", "anthropic", "llama"}) {
      const ProviderSettings own = settings_.provider_settings(name);
      if (own.api_key.empty() && own.base_url.empty()) continue;
      settings_.provider = name;
      break;
    }
  }
  for (std::string& problem : settings_.engine.problems()) {
    if (!problem.starts_with("budgets["))
      problems_.push_back(std::move(problem));  // those are named where they were said
  }
  return std::move(settings_);
}

}  // namespace llmcore::net
