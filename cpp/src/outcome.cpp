#include "llmcore/outcome.hpp"

namespace llmcore {

std::string_view to_string(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::ok: return "ok";
    case Outcome::timeout: return "timeout";
    case Outcome::connection: return "connection";
    case Outcome::rate_limited: return "rate_limited";
    case Outcome::quota_exhausted: return "quota_exhausted";
    case Outcome::overloaded: return "overloaded";
    case Outcome::server_error: return "server_error";
    case Outcome::auth: return "auth";
    case Outcome::bad_request: return "bad_request";
    case Outcome::context_length: return "context_length";
    case Outcome::content_filter: return "content_filter";
    case Outcome::not_found: return "not_found";
    case Outcome::queue_full: return "queue_full";
    case Outcome::queue_timeout: return "queue_timeout";
    case Outcome::over_budget: return "over_budget";
    case Outcome::cancelled: return "cancelled";
    case Outcome::exhausted: return "exhausted";
  }
  return "server_error";  // a value from outside the enumeration: an answer that makes no sense
}

Outcome outcome_of_status(int http_status) noexcept {
  switch (http_status) {
    case 401:
    case 403: return Outcome::auth;
    case 402: return Outcome::quota_exhausted;
    case 404: return Outcome::not_found;
    case 408: return Outcome::timeout;
    case 409: return Outcome::server_error;
    case 429: return Outcome::rate_limited;
    case 503:
    case 529: return Outcome::overloaded;
    default: break;
  }
  if (http_status >= 200 && http_status < 300) return Outcome::ok;
  if (http_status >= 400 && http_status < 500) return Outcome::bad_request;
  return Outcome::server_error;
}

}  // namespace llmcore
