#include "words.hpp"

#include <algorithm>
#include <cstdint>

namespace village {

std::size_t next_letter(std::string_view text, std::size_t at) noexcept {
  if (at >= text.size()) return text.size();
  ++at;
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) ++at;
  return at;
}

char32_t letter(std::string_view text, std::size_t& at) noexcept {
  const auto first = static_cast<unsigned char>(text[at]);
  const std::size_t end = next_letter(text, at);
  const std::size_t size = end - at;
  char32_t value = first;
  if (first >= 0x80U) {
    const std::size_t wanted = first >= 0xF0U ? 4 : first >= 0xE0U ? 3 : 2;
    value = first & (0xFFU >> (wanted + 1));
    for (std::size_t i = at + 1; i < end; ++i) value = value << 6U | (static_cast<unsigned char>(text[i]) & 0x3FU);
    if (size != wanted || first < 0xC0U) value = 0xFFFD;
  }
  at = end;
  return value;
}

std::string spoken(std::string_view text, std::size_t most, bool whole) {
  std::string out;
  for (const char each : text) {
    const bool blank = each == '\n' || each == '\r' || each == '\t' || each == ' ';
    if (each == '"' || each == '*' || (blank && (out.empty() || out.back() == ' '))) continue;
    out.push_back(blank ? ' ' : each);
  }
  if (whole && !out.empty() && out.back() == ' ') out.pop_back();
  if (out.size() <= most) return out;
  const std::size_t sentence = out.find_last_of(".!?", most - 1);
  if (whole && sentence != std::string::npos && sentence > most / 4) return out.substr(0, sentence + 1);
  std::size_t end = 0;
  while (next_letter(out, end) <= most - 3) end = next_letter(out, end);
  return out.substr(0, end) + "…";
}

std::vector<std::string> lines(std::string_view text, double most, const std::function<double(char32_t)>& width) {
  std::vector<std::string> all(1);
  double taken = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    // A word, with the blank before it.
    std::size_t end = text.find(' ', at + 1);
    end = std::min(end, text.size());
    double wide = 0;
    for (std::size_t i = at; i < end;) wide += width(letter(text, i));
    std::string_view word = text.substr(at, end - at);
    if (taken > 0 && taken + wide > most) {
      all.emplace_back();
      taken = 0;
      if (word.front() == ' ') {
        word.remove_prefix(1);
        wide -= width(U' ');
      }
    }
    all.back() += word;
    taken += wide;
    at = end;
  }
  return all;
}

}  // namespace village
