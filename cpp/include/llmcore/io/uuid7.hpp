// Time-ordered unique ids (RFC 9562, version 7): 48 bits of milliseconds, a 12-bit counter in rand_a, 62 random bits.
//
// Thread-safe, without a lock. Ids of one process ascend strictly, also within a millisecond and when the wall clock
// goes back; more than its counter holds in one millisecond run ahead of the clock. Safe across fork: the child draws
// fresh randomness. O(1), well below a microsecond; each thread reads the system's random source in blocks.
#pragma once

#include <cstdint>
#include <string>

#include "llmcore/types.hpp"

namespace llmcore::io {

/// The 36-character text form of a fresh id for the wall time `wall`.
[[nodiscard]] std::string uuid7(WallTime wall);

/// The wall time in milliseconds that an id carries, or -1 if `text` is no version-7 id in its 36-character form.
[[nodiscard]] std::int64_t uuid7_milliseconds(const std::string& text) noexcept;

}  // namespace llmcore::io
