// A component behind its lock, and the time a caller leaves out.
#pragma once

#include <optional>

#include "llmcore/io/synchronized.hpp"
#include "llmcore/types.hpp"

namespace llmcore::bindings {

/// The components are externally synchronised; used alone from Python, this is the synchronisation. Python hands times in or leaves
/// them out call by call, so the bindings go through with().
template <class Component>
using Locked = io::Synchronized<Component>;

/// The instant given, or the monotonic clock's.
[[nodiscard]] inline Instant instant_or_now(const std::optional<Instant>& given) { return given ? *given : io::mono(); }
/// The wall time given, or the wall clock's.
[[nodiscard]] inline WallTime wall_or_now(const std::optional<WallTime>& given) { return given ? *given : io::wall(); }

}  // namespace llmcore::bindings
