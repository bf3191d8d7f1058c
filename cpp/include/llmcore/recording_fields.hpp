// The fields of every event of a recording, by name and in the order of their bytes: said once, for every form that a
// recording takes (bytes, JSON, a list of differences).
//
// describe(visit, value) calls visit(name, field) for each field of `value`, const or not; a visitor says by overloads
// what it does with each type. A field that the first version of the layout did not have is visit(name, field, since).
// A structured binding names all fields of a struct, so that one that is added elsewhere
// and forgotten here does not compile.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <variant>

#include "llmcore/recording_format.hpp"

namespace llmcore {

template <class T, class Plain>
concept Either = std::same_as<std::remove_const_t<T>, Plain>;

/// The names of an enumeration's values, which count from 0.
template <class E>
struct Names;
template <>
struct Names<Priority> {
  static constexpr std::size_t count = kPriorityCount;
  static std::string_view of(Priority value) noexcept { return to_string(value); }
};
template <>
struct Names<Outcome> {
  static constexpr std::size_t count = kOutcomeCount;
  static std::string_view of(Outcome value) noexcept { return to_string(value); }
};
template <>
struct Names<Period> {
  static constexpr std::size_t count = 4;
  static std::string_view of(Period value) noexcept { return to_string(value); }
};
template <>
struct Names<Jitter> {
  static constexpr std::size_t count = 3;
  static std::string_view of(Jitter value) noexcept {
    constexpr std::array<std::string_view, count> kNames{"none", "proportional", "full"};
    return kNames[static_cast<std::size_t>(value)];
  }
};

/// The alternatives of Input, in their order.
inline constexpr std::array<std::string_view, std::variant_size_v<Input>> kInputNames{
    "submit", "streaming", "replied", "failed", "observed", "cancel", "tick"};

// --- vocabulary --------------------------------------------------------------------------------------------------------

template <class V, Either<Usage> T>
void describe(V& visit, T& value) {
  auto& [input_uncached, cache_read, cache_write_5m, cache_write_1h, output_text, reasoning, audio_input,
         audio_cache_read, audio_output, image_input, image_output, images, web_searches, estimated] = value;
  visit("input_uncached", input_uncached);
  visit("cache_read", cache_read);
  visit("cache_write_5m", cache_write_5m);
  visit("cache_write_1h", cache_write_1h);
  visit("output_text", output_text);
  visit("reasoning", reasoning);
  visit("audio_input", audio_input);
  visit("audio_cache_read", audio_cache_read);
  visit("audio_output", audio_output);
  visit("image_input", image_input);
  visit("image_output", image_output);
  visit("images", images);
  visit("web_searches", web_searches, 2);
  visit("estimated", estimated);
}

template <class V, Either<Rates> T>
void describe(V& visit, T& value) {
  auto& [input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, audio_input, audio_cache_read,
         audio_output, image_input, image_output, per_image, per_request, per_search] = value;
  visit("input", input);
  visit("cache_read", cache_read);
  visit("cache_write_5m", cache_write_5m);
  visit("cache_write_1h", cache_write_1h);
  visit("output", output);
  visit("reasoning", reasoning);
  visit("audio_input", audio_input);
  visit("audio_cache_read", audio_cache_read);
  visit("audio_output", audio_output);
  visit("image_input", image_input);
  visit("image_output", image_output);
  visit("per_image", per_image);
  visit("per_request", per_request);
  visit("per_search", per_search, 2);
}

template <class V, Either<PriceTier> T>
void describe(V& visit, T& value) {
  auto& [above_input_tokens, rates] = value;
  visit("above_input_tokens", above_input_tokens);
  visit("rates", rates);
}

template <class V, Either<PriceCard> T>
void describe(V& visit, T& value) {
  auto& [base, tiers, source] = value;
  visit("base", base);
  visit("tiers", tiers);
  visit("source", source);
}

// --- configuration -----------------------------------------------------------------------------------------------------

template <class V, Either<RateLimiterConfig> T>
void describe(V& visit, T& value) {
  auto& [requests_per_minute, tokens_per_minute, max_in_flight, minute_burst] = value;
  visit("requests_per_minute", requests_per_minute);
  visit("tokens_per_minute", tokens_per_minute);
  visit("max_in_flight", max_in_flight);
  visit("minute_burst", minute_burst);
}

template <class V, Either<RequestQueueConfig> T>
void describe(V& visit, T& value) {
  auto& [class_capacity, total_capacity, class_timeout, low_share] = value;
  visit("class_capacity", class_capacity);
  visit("total_capacity", total_capacity);
  visit("class_timeout", class_timeout);
  visit("low_share", low_share);
}

template <class V, Either<ResponseCacheConfig> T>
void describe(V& visit, T& value) {
  auto& [max_entries, max_bytes, ttl] = value;
  visit("max_entries", max_entries);
  visit("max_bytes", max_bytes);
  visit("ttl", ttl);
}

template <class V, Either<BackoffConfig> T>
void describe(V& visit, T& value) {
  auto& [base, cap, jitter, jitter_permille] = value;
  visit("base", base);
  visit("cap", cap);
  visit("jitter", jitter);
  visit("jitter_permille", jitter_permille);
}

template <class V, Either<ErrorRecoveryConfig> T>
void describe(V& visit, T& value) {
  auto& [max_attempts, retry_after_cap, breaker_errors, cooldown, retry_percent, retries_per_second] = value;
  visit("max_attempts", max_attempts);
  visit("retry_after_cap", retry_after_cap);
  visit("breaker_errors", breaker_errors);
  visit("cooldown", cooldown);
  visit("retry_percent", retry_percent);
  visit("retries_per_second", retries_per_second);
}

template <class V, Either<BudgetRule> T>
void describe(V& visit, T& value) {
  auto& [scope, period, limit, alert_percent] = value;
  visit("scope", scope);
  visit("period", period);
  visit("limit", limit);
  visit("alert_percent", alert_percent);
}

template <class V, Either<TokenTrackerConfig> T>
void describe(V& visit, T& value) {
  auto& [hours_kept, days_kept, recent_kept, max_keys, max_rows] = value;
  visit("hours_kept", hours_kept);
  visit("days_kept", days_kept);
  visit("recent_kept", recent_kept);
  visit("max_keys", max_keys);
  visit("max_rows", max_rows);
}

template <class V, Either<Config> T>
void describe(V& visit, T& value) {
  auto& [seed, limits, provider_limits, queue, cache, backoff, recovery, budgets, tracker, usage_scopes, deadline,
         attempt_timeout, max_lanes] = value;
  visit("seed", seed);
  visit("limits", limits);
  visit("provider_limits", provider_limits);
  visit("queue", queue);
  visit("cache", cache);
  visit("backoff", backoff);
  visit("recovery", recovery);
  visit("budgets", budgets);
  visit("tracker", tracker);
  visit("usage_scopes", usage_scopes);
  visit("deadline", deadline);
  visit("attempt_timeout", attempt_timeout);
  visit("max_lanes", max_lanes);
}

// --- inputs ------------------------------------------------------------------------------------------------------------

template <class V, Either<Target> T>
void describe(V& visit, T& value) {
  auto& [provider, model, input_tokens, output_tokens, images, price, always_answers] = value;
  visit("provider", provider);
  visit("model", model);
  visit("input_tokens", input_tokens);
  visit("output_tokens", output_tokens);
  visit("images", images);
  visit("price", price);
  visit("always_answers", always_answers);
}

template <class V, Either<Submit> T>
void describe(V& visit, T& value) {
  auto& [tenant, call_type, priority, deadline, key, targets, scopes] = value;
  visit("tenant", tenant);
  visit("call_type", call_type);
  visit("priority", priority);
  visit("deadline", deadline);
  visit("key", key);
  visit("targets", targets);
  visit("scopes", scopes);
}

template <class V, Either<Streaming> T>
void describe(V& visit, T& value) {
  auto& [attempt] = value;
  visit("attempt", attempt);
}

template <class V, Either<Replied> T>
void describe(V& visit, T& value) {
  auto& [attempt, usage, price, payload] = value;
  visit("attempt", attempt);
  visit("usage", usage);
  visit("price", price);
  visit("payload_bytes", payload);
}

template <class V, Either<Failed> T>
void describe(V& visit, T& value) {
  auto& [attempt, outcome, should_retry, retry_after, usage, price] = value;
  visit("attempt", attempt);
  visit("outcome", outcome);
  visit("should_retry", should_retry);
  visit("retry_after", retry_after);
  visit("usage", usage);
  visit("price", price);
}

template <class V, Either<RateObservation> T>
void describe(V& visit, T& value) {
  auto& [remaining_requests, remaining_tokens, requests_reset, tokens_reset, requests_limit, tokens_limit] = value;
  visit("remaining_requests", remaining_requests);
  visit("remaining_tokens", remaining_tokens);
  visit("requests_reset", requests_reset);
  visit("tokens_reset", tokens_reset);
  visit("requests_limit", requests_limit, 2);
  visit("tokens_limit", tokens_limit, 2);
}

template <class V, Either<Observed> T>
void describe(V& visit, T& value) {
  auto& [tenant, provider, limits] = value;
  visit("tenant", tenant);
  visit("provider", provider);
  visit("limits", limits);
}

template <class V, Either<Cancel> T>
void describe(V& visit, T& value) {
  auto& [call] = value;
  visit("call", call);
}

template <class V, Either<Tick> T>
void describe(V& /*visit*/, T& value) {
  static_assert(std::is_empty_v<Tick>);
  static_cast<void>(value);
}

// --- events ------------------------------------------------------------------------------------------------------------

template <class V, Either<recorded::Begin> T>
void describe(V& visit, T& value) {
  auto& [version, producer] = value;
  visit("version", version);
  visit("producer", producer);
}

template <class V, Either<recorded::Start> T>
void describe(V& visit, T& value) {
  auto& [config] = value;
  visit("config", config);
}

template <class V, Either<recorded::Fed> T>
void describe(V& visit, T& value) {
  auto& [now, input, state] = value;
  auto& [mono, wall] = now;
  visit("mono", mono);
  visit("wall", wall);
  visit("input", input);
  visit("state", state);
}

template <class V, Either<recorded::Request> T>
void describe(V& visit, T& value) {
  auto& [call, attempt, fingerprint, ordinal, provider, method, url, body] = value;
  visit("call", call);
  visit("attempt", attempt);
  visit("fingerprint", fingerprint);
  visit("ordinal", ordinal);
  visit("provider", provider);
  visit("method", method);
  visit("url", url);
  visit("body", body);
}

template <class V, Either<recorded::Response> T>
void describe(V& visit, T& value) {
  auto& [call, attempt, fingerprint, ordinal, status, headers, body, error, message] = value;
  visit("call", call);
  visit("attempt", attempt);
  visit("fingerprint", fingerprint);
  visit("ordinal", ordinal);
  visit("status", status);
  visit("headers", headers);
  visit("body", body);
  visit("error", error);
  visit("message", message);
}

template <class V, Either<recorded::Frame> T>
void describe(V& visit, T& value) {
  auto& [tick] = value;
  visit("tick", tick);
}

template <class V, Either<recorded::Draw> T>
void describe(V& visit, T& value) {
  auto& [name, bound, drawn] = value;
  visit("name", name);
  visit("bound", bound);
  visit("value", drawn);
}

template <class V, Either<recorded::Snapshot> T>
void describe(V& visit, T& value) {
  auto& [tick, name, state, bytes] = value;
  visit("tick", tick);
  visit("name", name);
  visit("state", state);
  visit("bytes", bytes);
}

template <class V, Either<recorded::End> T>
void describe(V& visit, T& value) {
  auto& [events] = value;
  visit("events", events);
}

/// Makes `variant` hold its alternative number `index`, as it is by default; false if there is none.
template <std::size_t I = 0, class Variant>
bool emplace_alternative(Variant& variant, std::size_t index) {
  if constexpr (I < std::variant_size_v<Variant>) {
    if (index != I) return emplace_alternative<I + 1>(variant, index);
    variant.template emplace<I>();
    return true;
  } else {
    return false;
  }
}

namespace detail {
struct NoVisitor {
  template <class T>
  void operator()(std::string_view, T&, std::uint32_t = 1) {}
};
}  // namespace detail

/// A struct with fields of its own.
template <class T>
concept Described = requires(detail::NoVisitor& visit, T& value) { describe(visit, value); };

}  // namespace llmcore
