// What was said of a setting, as a value; and names that are nearly right. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json.hpp"
#include "llmcore/net/config_manager.hpp"

namespace llmcore::net {

/// The value as JSON; plain text counts as a string of it.
[[nodiscard]] Json json_of(const ConfigManager::Said& said);
/// The value as text, a string's without quotes.
[[nodiscard]] std::string text_of(const ConfigManager::Said& said);
/// A number, or a string of one, times 10^decimals. Nothing that has more decimals, but for nine of them.
[[nodiscard]] std::optional<std::int64_t> number_of(const ConfigManager::Said& said, int decimals);
/// true or false in any of their names.
[[nodiscard]] std::optional<bool> boolean_of(const ConfigManager::Said& said);

/// How many letters have to be put in or left out. O(product of the lengths).
[[nodiscard]] std::size_t distance(std::string_view a, std::string_view b);

/// The name that was probably meant; empty: none is near, as Python's settings see it: four letters in five are the same.
template <typename Names>
std::string_view nearest(std::string_view name, const Names& names) {
  std::string_view best;
  std::size_t least = 1, of = 5;  // the share of letters that differ
  if (name.size() > 200) return best;
  for (const std::string_view each : names) {
    const std::size_t both = name.size() + each.size();
    const std::size_t far = distance(name, each);
    if (far * of > least * both || (far * of == least * both && !best.empty())) continue;
    best = each;
    least = far;
    of = both;
  }
  return best;
}

}  // namespace llmcore::net
