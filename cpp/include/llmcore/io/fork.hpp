// Whether this process was forked since something was made.
//
// Thread-safe; reading is one relaxed load, no system call.
#pragma once

#include <cstdint>

namespace llmcore::io {

/// Grows by one in every forked child, from the moment that this was called for the first time. What a parent wrote
/// down differs from what its child reads. Always the same where there is no fork.
[[nodiscard]] std::uint64_t fork_generation() noexcept;

}  // namespace llmcore::io
