#include "llmcore/money.hpp"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <limits>

namespace llmcore {
namespace {

__extension__ typedef __int128 Int128;

using Rate = NanoUsd Rates::*;

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kPerMillion = 1'000'000;

constexpr Rate kRates[] = {
    &Rates::input,        &Rates::cache_read,  &Rates::cache_write_5m,   &Rates::cache_write_1h, &Rates::output,
    &Rates::reasoning,    &Rates::audio_input, &Rates::audio_cache_read, &Rates::audio_output,   &Rates::image_input,
    &Rates::image_output, &Rates::per_image,   &Rates::per_request,      &Rates::per_search,
};

// Where each kind of token is counted, and what it costs.
struct TokenPrice {
  std::int64_t Usage::* count;
  Rate rate;
};
constexpr TokenPrice kTokenPrices[] = {
    {&Usage::input_uncached, &Rates::input},
    {&Usage::cache_read, &Rates::cache_read},
    {&Usage::cache_write_5m, &Rates::cache_write_5m},
    {&Usage::cache_write_1h, &Rates::cache_write_1h},
    {&Usage::output_text, &Rates::output},
    {&Usage::reasoning, &Rates::reasoning},
    {&Usage::audio_input, &Rates::audio_input},
    {&Usage::audio_cache_read, &Rates::audio_cache_read},
    {&Usage::audio_output, &Rates::audio_output},
    {&Usage::image_input, &Rates::image_input},
    {&Usage::image_output, &Rates::image_output},
};

bool any_negative(const Rates& rates) noexcept {
  return std::any_of(std::begin(kRates), std::end(kRates), [&](Rate rate) { return rates.*rate < 0; });
}

std::int64_t divide_half_even(Int128 value, std::int64_t divisor) noexcept {
  const auto quotient = static_cast<std::int64_t>(value / divisor);
  const auto remainder = static_cast<std::int64_t>(value % divisor);
  const std::int64_t twice = 2 * (remainder < 0 ? -remainder : remainder);
  const bool away = twice > divisor || (twice == divisor && quotient % 2 != 0);
  if (!away) return quotient;
  return value < 0 ? quotient - 1 : quotient + 1;
}

// A sum of non-negative products in millionths of a nano-USD. It stops at the first term that takes the total out of
// reach, so no step overflows: what is in reach is below 2^84, and one product below 2^126.
class Sum {
 public:
  void add_per_million(std::int64_t count, NanoUsd rate) noexcept { add(Int128{count} * rate); }
  void add_pieces(std::int64_t count, NanoUsd rate) noexcept {
    const Int128 product = Int128{count} * rate;
    if (product > kMax) {
      overflow_ = true;
    } else {
      add(product * kPerMillion);
    }
  }
  [[nodiscard]] std::optional<NanoUsd> rounded() const noexcept {
    if (overflow_) return std::nullopt;
    return divide_half_even(total_, kPerMillion);
  }

 private:
  // The last total that still rounds to kMax: kMax is odd, so a tie above it goes away from it.
  static constexpr Int128 kLargest = Int128{kMax} * kPerMillion + kPerMillion / 2 - 1;

  void add(Int128 term) noexcept {
    if (overflow_) return;
    total_ += term;
    overflow_ = total_ > kLargest;
  }

  Int128 total_ = 0;
  bool overflow_ = false;
};

}  // namespace

const Rates& PriceCard::rates_for(std::int64_t input_tokens) const noexcept {
  const Rates* found = &base;
  for (const PriceTier& tier : tiers) {
    if (input_tokens <= tier.above_input_tokens) break;
    found = &tier.rates;
  }
  return *found;
}

bool PriceCard::valid() const noexcept {
  if (any_negative(base)) return false;
  std::int64_t previous = -1;
  for (const PriceTier& tier : tiers) {
    if (tier.above_input_tokens <= previous || any_negative(tier.rates)) return false;
    previous = tier.above_input_tokens;
  }
  return true;
}

std::optional<NanoUsd> cost_of(const PriceCard& card, const Usage& usage, std::int64_t requests) noexcept {
  if (requests < 0 || usage.images < 0 || usage.web_searches < 0) return std::nullopt;
  for (const TokenPrice& price : kTokenPrices) {
    if (usage.*price.count < 0) return std::nullopt;
  }
  // Counts may be anything up to 2^63 here, so the prompt is added up with saturation rather than by input_tokens().
  std::int64_t prompt = 0;
  for (const std::int64_t count : {usage.input_uncached, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h,
                                   usage.audio_input, usage.audio_cache_read, usage.image_input}) {
    prompt = add_saturated(prompt, count);
  }
  const Rates& rates = card.rates_for(prompt);
  if (any_negative(rates)) return std::nullopt;

  Sum sum;
  for (const TokenPrice& price : kTokenPrices) sum.add_per_million(usage.*price.count, rates.*price.rate);
  sum.add_pieces(usage.images, rates.per_image);
  sum.add_pieces(usage.web_searches, rates.per_search);
  sum.add_pieces(requests, rates.per_request);
  return sum.rounded();
}

std::optional<NanoUsd> worst_case_cost(const PriceCard& card, std::int64_t input_tokens, std::int64_t output_tokens,
                                       std::int64_t images) noexcept {
  if (input_tokens < 0 || output_tokens < 0 || images < 0) return std::nullopt;
  NanoUsd worst = 0;
  for (std::size_t i = 0; i <= card.tiers.size(); ++i) {
    if (i > 0 && input_tokens <= card.tiers[i - 1].above_input_tokens) break;
    const Rates& rates = i == 0 ? card.base : card.tiers[i - 1].rates;
    if (any_negative(rates)) return std::nullopt;
    // The longest prompt that is still billed at these rates.
    const std::int64_t prompt =
        i < card.tiers.size() ? std::min(input_tokens, card.tiers[i].above_input_tokens) : input_tokens;
    NanoUsd input = std::max({rates.input, rates.cache_read, rates.cache_write_5m, rates.cache_write_1h});
    NanoUsd output = std::max(rates.output, rates.reasoning);
    if (images > 0) {
      input = std::max(input, rates.image_input);
      output = std::max(output, rates.image_output);
    }
    Sum sum;
    sum.add_per_million(prompt, input);
    sum.add_per_million(output_tokens, output);
    sum.add_pieces(images, rates.per_image);
    sum.add_pieces(1, rates.per_request);
    const std::optional<NanoUsd> cost = sum.rounded();
    if (!cost) return std::nullopt;
    worst = std::max(worst, *cost);
  }
  return worst;
}

std::int64_t to_micro_usd(NanoUsd nano) noexcept { return divide_half_even(nano, 1000); }

}  // namespace llmcore
