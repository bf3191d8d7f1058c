// What every function of the C interface has in common.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "llmcore/llmcore.h"

namespace llmcore::c {

/// Runs `function`; what it throws (for want of memory, as a rule) ends here, as `otherwise`.
template <class Result, class Function>
Result guarded(Result otherwise, Function&& function) noexcept {
  try {
    return std::forward<Function>(function)();
  } catch (...) {
    return otherwise;
  }
}

/// A struct as this library knows it, of a caller who may know less of it: what he does not know has its default.
template <class Struct>
[[nodiscard]] Struct taken(const Struct& from, const Struct& defaults) noexcept {
  Struct all = defaults;
  std::size_t size = 0;
  std::memcpy(&size, &from, sizeof size);
  std::memcpy(static_cast<void*>(&all), &from, std::min(size, sizeof all));
  return all;
}

/// As much of `from` as a caller of a struct of `size` bytes knows.
template <class Struct>
void give(const Struct& from, Struct* to, std::size_t size) noexcept {
  std::memcpy(static_cast<void*>(to), &from, std::min(size, sizeof from));
}

[[nodiscard]] inline std::string text(const char* from) { return from != nullptr ? std::string(from) : std::string(); }
[[nodiscard]] inline llmcore_text view(std::string_view from) noexcept { return {from.data(), from.size()}; }

inline void tell(char* error, std::size_t size, std::string_view what) noexcept {
  if (error == nullptr || size == 0) return;
  const std::size_t length = std::min(what.size(), size - 1);
  std::memcpy(error, what.data(), length);
  error[length] = '\0';
}

}  // namespace llmcore::c
