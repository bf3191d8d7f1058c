// The version of the compiled library; the one place it is written is pyproject.toml.
#pragma once

#include <string_view>

namespace llmcore {

/// "MAJOR.MINOR.PATCH"
[[nodiscard]] std::string_view version() noexcept;

}  // namespace llmcore
