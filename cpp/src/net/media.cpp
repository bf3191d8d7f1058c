#include "media.hpp"

#include <algorithm>

namespace llmcore::net {

std::optional<DataUrl> split_data_url(std::string_view url) noexcept {
  const std::size_t comma = url.find(',');
  if (!url.starts_with("data:") || comma == std::string_view::npos) return std::nullopt;
  std::string_view head = url.substr(5, comma - 5);
  if (!head.ends_with(";base64")) return std::nullopt;
  head.remove_suffix(7);
  const std::string_view type = head.substr(0, head.find(';'));
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '+' || c == '-' || c == '/';
  };
  const auto slashes = std::count(type.begin(), type.end(), '/');
  if (!std::all_of(type.begin(), type.end(), fits) || slashes != (type.empty() ? 0 : 1)) return std::nullopt;
  return DataUrl{type.empty() ? std::string_view("text/plain") : type, url.substr(comma + 1)};
}

}  // namespace llmcore::net
