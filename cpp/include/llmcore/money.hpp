// Price cards and the cost of a call, in integers to the end.
//
// Pure functions over values; thread-safe; O(1) plus the number of tiers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "llmcore/types.hpp"

namespace llmcore {

/// Nano-USD per million tokens for each bucket of Usage, and per piece where it says so. A bucket that a provider does
/// not price apart carries its parent's rate (cached input costs what input costs, reasoning what output costs): the
/// compiler of the card fills that in, so that a cost stays a plain sum.
struct Rates {
  NanoUsd input = 0;
  NanoUsd cache_read = 0;
  NanoUsd cache_write_5m = 0;
  NanoUsd cache_write_1h = 0;
  NanoUsd output = 0;
  NanoUsd reasoning = 0;
  NanoUsd audio_input = 0;
  NanoUsd audio_cache_read = 0;
  NanoUsd audio_output = 0;
  NanoUsd image_input = 0;
  NanoUsd image_output = 0;
  NanoUsd per_image = 0;    ///< nano-USD for one picture
  NanoUsd per_request = 0;  ///< nano-USD for one request that was answered
  NanoUsd per_search = 0;   ///< nano-USD for one search of the web that the provider ran

  friend bool operator==(const Rates&, const Rates&) = default;
};

/// Rates that hold for a whole request once its total prompt exceeds a threshold.
struct PriceTier {
  std::int64_t above_input_tokens = 0;  ///< strictly more prompt tokens than this
  Rates rates;

  friend bool operator==(const PriceTier&, const PriceTier&) = default;
};

/// What one model costs at one moment.
struct PriceCard {
  Rates base;
  std::vector<PriceTier> tiers;  ///< ascending by threshold
  std::string source;            ///< where the figures come from, for the ledger: "genai-prices 0.2.3", "config"

  /// The rates for a prompt of this size: those of the highest tier that it exceeds.
  [[nodiscard]] const Rates& rates_for(std::int64_t input_tokens) const noexcept;
  /// Whether no rate is negative and the thresholds are non-negative and strictly ascend.
  [[nodiscard]] bool valid() const noexcept;

  friend bool operator==(const PriceCard&, const PriceCard&) = default;
};

/// The cost of one attempt: the sum over all buckets in 128 bits, rounded half-even once. Nothing if a count or a rate
/// of the tier is negative, or if the result does not fit in 64 bits. `requests` is 1 for an answered request, 0 for
/// one that was not billed.
[[nodiscard]] std::optional<NanoUsd> cost_of(const PriceCard& card, const Usage& usage,
                                             std::int64_t requests = 1) noexcept;

/// The most that a text request can cost, for a reservation: every prompt token at the dearest text input rate (input,
/// cache read, cache write), every output token at the dearer of output and reasoning, one request, `images` pictures.
/// A shorter prompt may fall into a lower tier, so every tier within reach is tried with the longest prompt it admits.
/// Never below cost_of() for a usage of no more tokens than that.
///
/// A request for pictures (images > 0) counts the image token rates as well. Audio rates never count, nor does the
/// image input rate of a request that only shows pictures: a text call must not reserve money at prices it cannot be
/// charged. Nor do searches, whose number no request says. So the bound holds for such tokens only as far as they are not dearer than text. Nothing on overflow or
/// negative counts.
[[nodiscard]] std::optional<NanoUsd> worst_case_cost(const PriceCard& card, std::int64_t input_tokens,
                                                     std::int64_t output_tokens, std::int64_t images) noexcept;

/// Micro-dollars, rounded half-even.
[[nodiscard]] std::int64_t to_micro_usd(NanoUsd nano) noexcept;

}  // namespace llmcore
