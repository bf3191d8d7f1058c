// The settings that are about money: budgets and prices.
#include <algorithm>
#include <optional>
#include <utility>

#include "config_fields.hpp"
#include "json.hpp"

namespace llmcore::net {
namespace {

using Said = ConfigManager::Said;
using Kind = Json::Kind;

constexpr std::int64_t kBillion = 1'000'000'000;

std::optional<NanoUsd> rate_of(Json rates, std::string_view name) {
  constexpr NanoUsd kMost = 1'000'000 * kBillion;
  const Json given = rates[name];
  if (given.absent()) return std::nullopt;
  bool exact = false;
  const auto nano = scaled_decimal(given.is(Kind::string) ? given.text() : std::string(given.raw()), 9, &exact);
  return exact && *nano >= 0 && *nano <= kMost ? nano : std::optional<NanoUsd>(-1);
}

}  // namespace

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
    rates.per_search = rate("per_search", base.per_search);
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

}  // namespace llmcore::net
