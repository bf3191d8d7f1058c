// The system's clocks, for drivers. The core never reads one.
//
// Stateless, thread-safe, O(1).
#pragma once

#include "llmcore/types.hpp"

namespace llmcore::io {

/// Monotonic and UTC time of now. `mono` is the clock that Python's time.monotonic_ns() reads on the same platform.
[[nodiscard]] Now now() noexcept;

}  // namespace llmcore::io
