// How a thread that works for a game stays out of its way.
#pragma once

namespace llmcore::net {

/// The calling thread takes no processor away from another at the moment it wakes up; it has its share all the same.
/// Where the system does not allow it, nothing changes.
void be_in_background() noexcept;

}  // namespace llmcore::net
