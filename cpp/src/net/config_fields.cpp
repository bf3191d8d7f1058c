#include "config_fields.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "answer_headers.hpp"
#include "failures.hpp"
#include "json.hpp"
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

/// The value as JSON; plain text counts as a string of it.
Json json_of(const Said& said) { return said.plain ? Json() : Json(said.text); }

std::string text_of(const Said& said) {
  if (said.plain) return std::string(trimmed(said.text));
  const Json json(said.text);
  return json.is(Kind::string) ? std::string(trimmed(json.text())) : said.text;
}

std::optional<std::int64_t> number_of(const Said& said, int decimals) {
  const Kind kind = json_of(said).kind();
  if (!said.plain && kind != Kind::string && kind != Kind::number) return std::nullopt;
  bool exact = false;
  const auto value = scaled_decimal(text_of(said), decimals, &exact);
  return exact || decimals == 9 ? value : std::nullopt;
}

std::optional<bool> boolean_of(const Said& said) {
  const std::string text = lowered(text_of(said));
  if (text == "true" || text == "1" || text == "yes" || text == "on" || text == "t" || text == "y") return true;
  if (text == "false" || text == "0" || text == "no" || text == "off" || text == "f" || text == "n") return false;
  return std::nullopt;
}

std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t next = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      diagonal = std::exchange(row[j], next);
    }
  }
  return row.back();
}

template <typename Names>
std::string_view nearest(std::string_view name, const Names& names) {
  std::string_view best;
  std::size_t least = name.size() / 4 + 1;
  if (name.size() > 200) return best;
  for (const std::string_view each : names) {
    if (const std::size_t far = distance(name, each); far <= least && far < name.size()) {
      if (best.empty() || far < least) best = each;
      least = far;
    }
  }
  return best;
}

bool is_provider_name(std::string_view name) noexcept {
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-'; };
  return !name.empty() && name.size() <= 64 && name[0] != '.' && name[0] != '-' &&
         std::all_of(name.begin(), name.end(), fits);
}

std::optional<NanoUsd> rate_of(Json rates, std::string_view name) {
  constexpr NanoUsd kMost = 1'000'000 * kBillion;
  const Json given = rates[name];
  if (given.absent()) return std::nullopt;
  bool exact = false;
  const auto nano = scaled_decimal(given.is(Kind::string) ? given.text() : std::string(given.raw()), 9, &exact);
  return exact && *nano >= 0 && *nano <= kMost ? nano : std::optional<NanoUsd>(-1);
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
}

void SettingsReader::unknown(const Path& path, const Said& said) {
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
  if (field == "api_version") return;  // Azure's, which Python speaks
  if (!key && field != "base_url") {
    unknown(path, said);
  } else if (!is_provider_name(path[1])) {
    wrong(said, R"(must be of a provider, such as "openai" (letters, digits, "." and "-"))", true);
  } else if (const std::string text = text_of(said); !text.empty() && text != "null") {
    HttpOptions options;
    (key ? options.api_key : options.base_url) = text;
    if (!json_of(said).is(Kind::string) && !said.plain) {
      wrong(said, "must be a string", true);
    } else if (!HttpProvider::problem(*host_of("openai"), options).empty()) {
      wrong(
          said,
          key ? "must be the key as the provider gave it (ASCII, no blanks, no line breaks)"
              : R"(must be the URL of the API, such as "https://api.openai.com/v1" (http or https, no user name, no "#"))",
          key || text.find('@') != std::string::npos || text.find("://") == std::string::npos);
    } else {
      ProviderSettings& own = settings_.providers[path[1]];
      (key ? own.api_key : own.base_url) = text;
    }
  }
}

void SettingsReader::read_budgets(const Said& said) {
  const auto list = Json::parse(said.text);
  if (!list || !list->is(Kind::list)) {
    problems_.push_back(said.name + ": must be a list of budgets");
    return;
  }
  std::size_t index = 0;
  list->each([&](Json given) {
    const std::string where = said.name + "[" + std::to_string(index++) + "]";
    BudgetRule rule;
    const auto note = [&](std::string_view field, std::string_view allowed) {
      problems_.push_back(where + "." + std::string(field) + ": " + std::string(allowed));
    };
    bool limited = false;
    if (!given.is(Kind::object)) note("scope", "must be an object with scope, period, limit_usd and alerts");
    given.each_member([&](std::string_view name, Json value) {
      if (name == "scope") {
        rule.scope = value.text();
      } else if (name == "period") {
        bool known = false;
        for (const Period period : {Period::hour, Period::day, Period::month, Period::total}) {
          if (value.is_text(to_string(period))) {
            rule.period = period;
            known = true;
          }
        }
        if (!known) note(name, R"(must be "hour", "day", "month" or "total")");
      } else if (name == "limit_usd") {
        limited = true;
        bool exact = false;
        const std::string text = value.is(Kind::string) ? value.text() : std::string(value.raw());
        const auto nano = scaled_decimal(text, 9, &exact);
        if (!nano || !exact || *nano < 0) {
          note(name, "must be US dollars, a number with at most 9 decimal places");
        } else {
          rule.limit = *nano;
        }
      } else if (name == "alerts") {
        rule.alert_percent.clear();
        value.each([&](Json percent) {
          rule.alert_percent.push_back(percent.whole().value_or(0));
          return true;
        });
        std::sort(rule.alert_percent.begin(), rule.alert_percent.end());
      } else {
        note(name, "no such setting");
      }
      return true;
    });
    if (!limited) note("limit_usd", "must be given");
    if (const std::string problem = rule.problem(); !problem.empty() && limited)
      problems_.push_back(where + ": " + problem);
    settings_.engine.budgets.push_back(std::move(rule));
    return true;
  });
}

void SettingsReader::read_price(const std::string& model, const Said& said) {
  const auto parsed = Json::parse(said.text);
  if (!parsed || !parsed->is(Kind::object)) {
    wrong(said, "must be an object of rates");
    return;
  }
  bool right = true;
  const auto read = [&](Json given, Rates base, bool tier) {
    const auto rate = [&](std::string_view name, NanoUsd otherwise) {
      const auto told = rate_of(given, name);
      if (told && *told < 0) {
        right = false;
        problems_.push_back(
            said.name + "." + std::string(name) +
            ": must be the price in US dollars, a number from 0 to 1,000,000 with at most 9 decimal places");
      }
      return told.value_or(otherwise);
    };
    Rates rates;
    rates.input = rate("input", base.input);
    rates.output = rate("output", base.output);
    rates.cache_read = rate("cache_read", tier ? base.cache_read : rates.input);
    rates.cache_write_5m = rate("cache_write", tier ? base.cache_write_5m : rates.input);
    rates.cache_write_1h = rate("cache_write_1h", tier ? base.cache_write_1h : rates.cache_write_5m);
    rates.reasoning = rate("reasoning", tier ? base.reasoning : rates.output);
    rates.audio_input = rate("audio_input", tier ? base.audio_input : rates.input);
    rates.audio_cache_read = rate("audio_cache_read", tier                            ? base.audio_cache_read
                                                      : given["audio_input"].absent() ? rates.cache_read
                                                                                      : rates.audio_input);
    rates.audio_output = rate("audio_output", tier ? base.audio_output : rates.output);
    rates.image_input = rate("image_input", tier ? base.image_input : rates.input);
    rates.image_output = rate("image_output", tier ? base.image_output : rates.output);
    rates.per_image = rate("per_image", base.per_image);
    rates.per_request = rate("per_request", base.per_request);
    return rates;
  };
  auto card = std::make_shared<PriceCard>();
  card->source = "config";
  card->base = read(*parsed, {}, false);
  const auto lacks = [&](std::string_view name) { return (*parsed)[name].absent(); };
  if ((lacks("input") || lacks("output")) && lacks("per_image") && lacks("per_request")) {
    right = false;
    problems_.push_back(said.name +
                        ": must name input and output (0 where they are free), or per_image, or per_request");
  }
  (*parsed)["tiers"].each([&](Json tier) {
    PriceTier made;
    made.above_input_tokens = tier["above_input_tokens"].whole().value_or(-1);
    made.rates = read(tier, card->tiers.empty() ? card->base : card->tiers.back().rates, true);
    card->tiers.push_back(made);
    return true;
  });
  if (right && !card->valid()) {
    right = false;
    problems_.push_back(said.name + ": must list its tiers by above_input_tokens, ascending");
  }
  if (right) settings_.prices[model] = std::move(card);
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
    settings_.model = text_of(model->second);
    if (settings_.model.empty() || settings_.model.size() > 256) {
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
      if (is_of_one == of_one) read_one(path, said);
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
      if (settings_.providers.count(name) == 0) continue;
      settings_.provider = name;
      break;
    }
  }
  if (problems_.empty()) problems_ = settings_.engine.problems();
  return std::move(settings_);
}

}  // namespace llmcore::net
