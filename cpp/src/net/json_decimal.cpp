#include <algorithm>
#include <limits>

#include "json.hpp"
#include "json_text.hpp"

namespace llmcore::net {
std::optional<std::int64_t> scaled_decimal(std::string_view number, int decimals, bool* exact) noexcept {
  constexpr std::size_t kMostDigits = 18;
  bool none = false;
  bool& whole = exact != nullptr ? *exact : none;
  whole = true;
  const bool negative = number.starts_with('-');
  if (negative || number.starts_with('+')) number.remove_prefix(1);
  const std::size_t end = std::min(number.find_first_of("eE"), number.size());
  const std::string_view mantissa = number.substr(0, end);
  std::int64_t exponent = 0;
  if (end != number.size()) {
    std::string_view power = number.substr(end + 1);
    const bool down = power.starts_with('-');
    if (down || power.starts_with('+')) power.remove_prefix(1);
    if (power.empty() || !std::all_of(power.begin(), power.end(), is_digit)) return std::nullopt;
    const std::size_t start = std::min(power.find_first_not_of('0'), power.size());
    exponent = 1'000'000'000;
    if (power.size() - start <= 8) {
      exponent = 0;
      for (const char c : power.substr(start)) exponent = exponent * 10 + (c - '0');
    }
    if (down) exponent = -exponent;
  }
  const std::size_t point = std::min(mantissa.find('.'), mantissa.size());
  const std::string_view before = mantissa.substr(0, point);
  const std::string_view after = mantissa.substr(std::min(point + 1, mantissa.size()));
  if (before.empty() || !std::all_of(before.begin(), before.end(), is_digit) ||
      !std::all_of(after.begin(), after.end(), is_digit)) {
    return std::nullopt;
  }
  // The digits as one number, whose point stands `places` after the first of them.
  const auto digit = [&](std::size_t i) { return i < before.size() ? before[i] : after[i - before.size()]; };
  const std::size_t count = before.size() + after.size();
  std::size_t first = 0;
  while (first < count && digit(first) == '0') ++first;
  if (first == count) return 0;
  const std::int64_t places =
      static_cast<std::int64_t>(before.size()) - static_cast<std::int64_t>(first) + exponent + decimals;
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  if (places > static_cast<std::int64_t>(kMostDigits)) {
    whole = false;
    return negative ? -kMost : kMost;
  }
  std::int64_t value = 0;
  for (std::int64_t i = 0; i < places; ++i) {
    const std::size_t at = first + static_cast<std::size_t>(i);
    value = value * 10 + (at < count ? digit(at) - '0' : 0);
  }
  // What is behind the point rounds, half of it to the even neighbour.
  const std::size_t rest = first + static_cast<std::size_t>(std::max<std::int64_t>(places, 0));
  bool below = false;
  for (std::size_t at = rest + 1; at < count && !below; ++at) below = digit(at) != '0';
  const int leading = places < 0 || rest >= count ? 0 : digit(rest) - '0';
  whole = places >= 0 && leading == 0 && !below;
  if (leading > 5 || (leading == 5 && (below || value % 2 != 0))) ++value;
  return negative ? -value : value;
}

}  // namespace llmcore::net
