// A component behind a mutex of its own, and the time a caller leaves out.
#pragma once

#include <mutex>
#include <optional>
#include <utility>

#include "llmcore/io/clock.hpp"
#include "llmcore/types.hpp"

namespace llmcore::bindings {

/// The components are externally synchronised; used alone from Python, this is the synchronisation.
template <class Component>
class Locked {
 public:
  template <class... Args>
  explicit Locked(Args&&... args) : component_(std::forward<Args>(args)...) {}

  template <class Function>
  auto with(Function&& function) {
    const std::lock_guard<std::mutex> hold(mutex_);
    return std::forward<Function>(function)(component_);
  }

 private:
  std::mutex mutex_;
  Component component_;
};

/// The instant given, or the monotonic clock's.
[[nodiscard]] inline Instant instant_or_now(const std::optional<Instant>& given) {
  return given ? *given : io::now().mono;
}
/// The wall time given, or the wall clock's.
[[nodiscard]] inline WallTime wall_or_now(const std::optional<WallTime>& given) {
  return given ? *given : io::now().wall;
}

}  // namespace llmcore::bindings
