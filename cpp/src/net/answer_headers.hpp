// What the headers of an answer say: which request, how long to wait, what is left of the limits.
//
// Pure; what makes no sense reads as absent.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "llmcore/net/transport.hpp"
#include "llmcore/rate_limiter.hpp"
#include "llmcore/types.hpp"

namespace llmcore::net {

/// Whoever asks to wait longer is understood to mean "very long".
inline constexpr Duration kLongestWait = 366 * 24 * kHour;

/// Text in one line, without blanks at its ends.
[[nodiscard]] std::string_view trimmed(std::string_view text) noexcept;
/// Printable, and UTF-8: fit to be shown.
[[nodiscard]] bool is_printable(std::string_view text) noexcept;

/// A moment in RFC 3339; one that names no zone is in UTC.
[[nodiscard]] std::optional<WallTime> moment_of(std::string_view text);

/// The provider's name for this exchange, which its support asks for. One that echoes `key` is none.
[[nodiscard]] std::string request_id_of(const Headers& headers, std::string_view key);
/// x-should-retry.
[[nodiscard]] std::optional<bool> should_retry_of(const Headers& headers);
/// How long to wait: from retry-after-ms, else from Retry-After as seconds or as a date; 0: not said. The answer's own
/// Date goes before `now`, as the two clocks may differ.
[[nodiscard]] Duration retry_after_of(const Headers& headers, WallTime now);
/// What x-ratelimit-remaining-* and x-ratelimit-reset-* say.
[[nodiscard]] std::optional<RateObservation> observation_of(const Headers& headers);
/// What anthropic-ratelimit-* say. Input and output tokens have limits of their own: the one of which less is left
/// counts.
[[nodiscard]] std::optional<RateObservation> anthropic_observation_of(const Headers& headers, WallTime now);

}  // namespace llmcore::net
