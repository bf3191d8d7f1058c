// How a call or one attempt at it ended. Few codes, chosen by what a caller can do about them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace llmcore {

enum class Outcome : std::uint8_t {
  ok,
  timeout,          ///< no complete answer before the attempt's or the call's deadline
  connection,       ///< refused, reset, DNS or TLS failure, or an answer that is no HTTP
  rate_limited,     ///< the provider said: slower
  quota_exhausted,  ///< the provider said: no money left on this account
  overloaded,       ///< the provider is too busy (529, 503)
  server_error,     ///< any other 5xx, or an answer that makes no sense
  auth,             ///< key missing, wrong, or not allowed
  bad_request,      ///< the provider will never accept this request
  context_length,   ///< prompt too long for the model
  content_filter,   ///< refused by the provider's policy
  not_found,        ///< no such model or endpoint
  queue_full,       ///< refused at once: too many calls wait already
  queue_timeout,    ///< waited in the queue until its time was over
  over_budget,      ///< a budget rule has no room for the worst case, or the price is unknown under a budget
  cancelled,        ///< by the caller
  exhausted,        ///< no provider of the chain could be tried at all
};
inline constexpr std::size_t kOutcomeCount = 17;

/// The snake_case name: "ok", "rate_limited", ...
[[nodiscard]] std::string_view to_string(Outcome outcome) noexcept;

/// What an HTTP status says when the body says nothing more precise. 2xx is ok; 401 and 403 auth; 402 quota_exhausted;
/// 404 not_found; 408 timeout; 429 rate_limited; 503 and 529 overloaded; 409 (a conflict that may be over next time),
/// other 5xx and whatever makes no sense as an answer (1xx, 3xx: redirects are never followed) server_error; every other
/// 4xx bad_request.
[[nodiscard]] Outcome outcome_of_status(int http_status) noexcept;

}  // namespace llmcore
