// Pictures, sound and files in messages: data URLs. Pure.
#pragma once

#include <optional>
#include <string_view>

namespace llmcore::net {

/// What a data URL holds; views of its text.
struct DataUrl {
  std::string_view media_type;
  std::string_view base64;
};
/// Nothing: it is not of the form data:<media type>;base64,<base64 text>.
[[nodiscard]] std::optional<DataUrl> split_data_url(std::string_view url) noexcept;

}  // namespace llmcore::net
