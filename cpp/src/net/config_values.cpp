#include "config_values.hpp"

#include <algorithm>

#include "answer_headers.hpp"
#include "phrases.hpp"

namespace llmcore::net {

using Said = ConfigManager::Said;
using Kind = Json::Kind;

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
      const std::size_t next = a[i - 1] == b[j - 1] ? diagonal : std::min(row[j], row[j - 1]) + 1;
      diagonal = std::exchange(row[j], next);
    }
  }
  return row.back();
}

}  // namespace llmcore::net
