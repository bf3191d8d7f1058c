// Units and small value types that every other header speaks in.
//
// All time is integer nanoseconds and all money is integer nano-US-dollars: decisions made from these values are the
// same on every platform. Everything here is a plain value: copy freely, share between threads only as const.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

namespace llmcore {

/// Nanoseconds on a monotonic clock. The epoch is the host's choice; only differences mean anything.
using Instant = std::int64_t;
/// A span of nanoseconds.
using Duration = std::int64_t;
/// Nanoseconds since the Unix epoch, UTC. Labels records and sets budget periods; never decides anything else.
using WallTime = std::int64_t;
/// 10^-9 US dollars.
using NanoUsd = std::int64_t;

/// An instant that never comes.
inline constexpr Instant kNever = std::numeric_limits<std::int64_t>::max();

inline constexpr Duration kMicrosecond = 1'000;
inline constexpr Duration kMillisecond = 1'000'000;
inline constexpr Duration kSecond = 1'000'000'000;
inline constexpr Duration kMinute = 60 * kSecond;
inline constexpr Duration kHour = 60 * kMinute;

/// The time that a driver hands in with every input.
struct Now {
  Instant mono = 0;   ///< decides
  WallTime wall = 0;  ///< labels
};

/// a + b, held at the ends of the range instead of wrapping. kNever plus anything non-negative stays kNever.
[[nodiscard]] constexpr std::int64_t add_saturated(std::int64_t a, std::int64_t b) noexcept {
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  constexpr auto kMin = std::numeric_limits<std::int64_t>::min();
  if (b > 0 && a > kMax - b) return kMax;
  if (b < 0 && a < kMin - b) return kMin;
  return a + b;
}

/// Urgency class of a call; dispatch goes from high to low.
enum class Priority : std::uint8_t { high, medium, low };
inline constexpr std::size_t kPriorityCount = 3;

[[nodiscard]] constexpr std::string_view to_string(Priority p) noexcept {
  switch (p) {
    case Priority::high: return "high";
    case Priority::medium: return "medium";
    case Priority::low: return "low";
  }
  return "medium";
}

/// What a call consumed, in disjoint buckets: no token is counted in two of them, so a cost is a plain sum.
///
/// Providers report overlapping figures (OpenAI counts cached tokens inside its prompt tokens, Anthropic beside them);
/// each provider's decoder normalises to this once. The familiar overlapping views are derived below.
struct Usage {
  std::int64_t input_uncached = 0;  ///< prompt tokens billed at the plain input price
  std::int64_t cache_read = 0;      ///< prompt tokens the provider had cached
  std::int64_t cache_write_5m = 0;  ///< prompt tokens written to the provider's cache (default lifetime)
  std::int64_t cache_write_1h = 0;  ///< prompt tokens written with the one-hour lifetime
  std::int64_t output_text = 0;     ///< generated tokens, without the buckets below
  std::int64_t reasoning = 0;       ///< generated tokens the user does not see
  std::int64_t audio_input = 0;
  std::int64_t audio_cache_read = 0;
  std::int64_t audio_output = 0;
  std::int64_t image_input = 0;   ///< prompt tokens that stand for images, where the provider reports them apart
  std::int64_t image_output = 0;  ///< generated tokens that stand for images
  std::int64_t images = 0;        ///< pictures generated, where they are sold by the piece
  std::int64_t web_searches = 0;  ///< searches that the provider ran, which it sells by the piece
  bool estimated = false;         ///< the provider did not say; these are our own figures

  /// All of the prompt, cached or not.
  [[nodiscard]] constexpr std::int64_t input_tokens() const noexcept {
    return input_uncached + cache_read + cache_write_5m + cache_write_1h + audio_input + audio_cache_read + image_input;
  }
  /// All that was generated, reasoning included.
  [[nodiscard]] constexpr std::int64_t output_tokens() const noexcept {
    return output_text + reasoning + audio_output + image_output;
  }
  [[nodiscard]] constexpr std::int64_t cached_tokens() const noexcept { return cache_read + audio_cache_read; }
  [[nodiscard]] constexpr std::int64_t cache_write_tokens() const noexcept { return cache_write_5m + cache_write_1h; }
  [[nodiscard]] constexpr std::int64_t total_tokens() const noexcept { return input_tokens() + output_tokens(); }

  /// Whether every bucket is non-negative and at most 2^53, so that no sum above can overflow.
  [[nodiscard]] bool valid() const noexcept;

  /// Bucket by bucket, held at the ends of the range; estimated as soon as one part is.
  Usage& operator+=(const Usage& other) noexcept;
  friend bool operator==(const Usage&, const Usage&) = default;
};

/// Every count of a Usage, in their one order: what holds for one holds for all.
inline constexpr std::array<std::int64_t Usage::*, 13> kUsageBuckets{
    &Usage::input_uncached, &Usage::cache_read,  &Usage::cache_write_5m,   &Usage::cache_write_1h, &Usage::output_text,
    &Usage::reasoning,      &Usage::audio_input, &Usage::audio_cache_read, &Usage::audio_output,   &Usage::image_input,
    &Usage::image_output,   &Usage::images,      &Usage::web_searches};

}  // namespace llmcore
