#include "llmcore/money.hpp"

#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "llmcore/rng.hpp"

namespace llmcore {
namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kOverflow = -1;

constexpr std::array<std::int64_t Usage::*, 11> kCounts = {
    &Usage::input_uncached, &Usage::cache_read,  &Usage::cache_write_5m, &Usage::cache_write_1h,
    &Usage::output_text,    &Usage::reasoning,   &Usage::audio_input,    &Usage::audio_cache_read,
    &Usage::audio_output,   &Usage::image_input, &Usage::image_output};
constexpr std::array<NanoUsd Rates::*, 11> kTokenRates = {
    &Rates::input,        &Rates::cache_read,  &Rates::cache_write_5m, &Rates::cache_write_1h,
    &Rates::output,       &Rates::reasoning,   &Rates::audio_input,    &Rates::audio_cache_read,
    &Rates::audio_output, &Rates::image_input, &Rates::image_output};

// Counts and rates in the order above, and the cost as Python's decimal computes it with 200 digits and
// ROUND_HALF_EVEN.
struct Row {
  std::array<std::int64_t, 11> counts;
  std::array<std::int64_t, 11> rates;
  std::int64_t images;
  std::int64_t per_image;
  std::int64_t requests;
  std::int64_t per_request;
  std::int64_t cost;
};

// clang-format off
constexpr Row kRows[] = {
    {{267853, 3257, 1934255, 3801, 25426, 166, 3, 7, 1921, 97, 26731},
     {859, 6687, 47730, 5355428, 4, 68021132, 0, 0, 15730, 1786, 592},
     7, 69, 0, 60, 124751},
    {{123, 2447, 0, 2719, 8, 2, 837, 614613, 1, 135, 363},
     {504097, 387497, 1014768378, 233, 127808, 3, 7087374, 1212491, 49148448, 19411870, 0},
     1, 39, 0, 12, 754865},
    {{237, 11284, 46503, 32885, 3540, 392376, 3521, 37, 15495, 1, 1050},
     {15402947, 348, 242272, 19, 642087, 3271, 40, 738, 1045143, 346881873, 1},
     0, 189, 1, 233, 35252},
    {{884489, 1, 68621, 21901, 16, 497967, 20, 1747, 27, 611, 3},
     {39569121, 464, 1998, 14832841293, 2958541154, 1004624, 76289, 867131165, 115, 27583588, 2568},
     13, 368, 0, 17846, 361936770},
    {{102500, 227380, 47359, 6, 2845, 348136, 3, 372, 184672, 427, 17357},
     {501683, 2725006, 2378, 0, 42717, 121356, 428175, 7075687787, 2918266, 168837, 6189344},
     5, 23148936, 1, 3917, 119740694},
    {{1061, 16, 12, 3839, 18537, 5, 2815, 818278, 270771, 4958, 580080},
     {188852, 0, 1201, 335046006, 897, 2584, 7, 2104018485, 5431, 14, 56},
     7, 30, 0, 9347, 1722960210},
    {{7623, 1557, 75473, 107146, 183, 2, 1660, 438, 14195, 11, 98010},
     {4, 99427, 285852, 5752564566, 502425, 6866260, 214, 109117650, 7842883, 160, 18919973},
     15, 123, 0, 95243, 618401433},
    {{3363, 0, 5, 480497, 565626, 10, 1838153, 197052, 7072, 126, 491},
     {12881262, 1220, 97127, 520414, 54459, 1, 515642, 75125, 51056256, 168, 131801975},
     0, 9156348, 1, 0, 1712598},
    {{146883, 124, 51243, 0, 17543, 23, 300, 39848, 33962, 1810852, 923438},
     {4, 153, 279706, 2573505, 383399, 4409281424, 3028617, 18, 0, 736300072, 113},
     0, 12753, 1, 603604, 1334057549},
    {{1360767, 56275, 3897, 5589, 115, 476, 2, 1, 9537, 663, 59682},
     {149615, 979, 4178667491, 2256303, 435, 1, 8755, 50, 21, 1, 262714020},
     1, 5744, 1, 0, 32185566},
    {{3, 677104, 11, 31, 722, 4906, 39, 26, 4, 223492, 2},
     {84, 25015703, 8, 9, 190, 58952259, 5, 24545140, 1437548, 2102729085, 7873027},
     7, 0, 1, 18, 487171259},
    {{1421758, 38041, 144148, 231306, 32, 61769, 426, 529, 25, 221, 1856},
     {6016993, 365, 2, 357536, 0, 129, 256178797, 29424775, 515898510, 225598, 8716468533},
     0, 30, 1, 3331984, 28284825},
    {{191, 1, 53778, 17, 394127, 3423, 74, 1905, 739587, 3260, 3097},
     {370, 5434892, 421791, 258032867, 8682061, 4, 12126, 1620, 3, 0, 829},
     0, 58278, 1, 3189128, 6638047},
    {{1, 7703, 911, 966486, 5296, 15135, 3, 20, 4, 3559, 7118},
     {326662152, 14448, 214545, 1536, 352314, 2172, 1924914630, 2, 5302688, 11, 2},
     7, 3, 1, 464, 10298},
    {{12830097886242, 68, 5855, 2, 21511, 39, 61181341, 3359641920114203386, 3244039648146, 388114765, 35063},
     {5352, 44, 120, 2, 451567, 3, 1994, 25534, 2781, 0, 219031},
     4, 7881136, 1, 11, 85785174508218163},
    {{7, 141567292371507440, 59, 115451906, 11331169395115, 7, 52448824, 0, 109239, 59844589, 671606},
     {3, 3, 22, 83958, 1540, 61269, 7, 1619, 1, 258255, 38},
     1, 10239, 1, 0, 442177036891},
    {{14420841982, 153389934, 588077129710670, 1594002966322, 1, 387647889446836, 478625200, 2017376202337470,
      9086805714, 506695, 49},
     {419, 2563, 4, 21491, 16046, 6, 15855, 349332, 70, 1, 12},
     1, 462767, 1, 3627, 704773013555102},
    {{9, 103274763, 796633, 313050585258692, 1, 342935, 303318071244549359, 60251171205, 836, 27490605867514,
      3357400532641280911},
     {2, 4385, 12, 4603, 10, 2, 8, 254, 584, 0, 200222},
     4, 0, 1, 0, 672229316978673117},
    {{7622876367462296869, 3657056, 68398489168989413, 38331348794746202, 17283, 33641185, 3375324, 1502581, 0,
      225997784989, 1488},
     {4, 79419, 40, 14, 13021, 1936, 649, 29982, 118, 455243, 28},
     1, 1090, 1, 63547, 33866968297039},
    {{2559867128, 0, 416, 24697674366291317, 3, 303177893138597885, 135943740395465283, 1514097918, 56596606647175634,
      231519991, 2269},
     {38, 135220, 3131, 93, 3313, 208, 2, 26270, 585, 26, 125},
     0, 21, 1, 808, 98738827737739},
    {{500000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     0, 0, 0, 0, 0},
    {{500000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     {3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     0, 0, 0, 0, 2},
    {{500000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     {5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     0, 0, 0, 0, 2},
    {{500001, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     0, 0, 0, 0, 1},
    {{499999, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     0, 0, 0, 0, 0},
    {{250000, 250000, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     {1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     0, 0, 1, 1, 2},
    {{kMax, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     {1000000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     0, 0, 0, 0, kMax},
    {{kMax, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     {1000000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     0, 0, 1, 1, kOverflow},
    {{kMax, 499999, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     {1000000, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     0, 0, 0, 0, kMax},
    {{kMax, 500000, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     {1000000, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     0, 0, 0, 0, kOverflow},
    {{kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax},
     {kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax},
     kMax, kMax, kMax, kMax, kOverflow},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     {kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax},
     1, kMax, 0, 0, kMax},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     {kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax},
     1, kMax, 1, 1, kOverflow},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     {kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax, kMax},
     kMax, kMax, 0, 0, kOverflow},
};
// clang-format on

TEST(CostOf, EqualsExactDecimalArithmetic) {
  int number = 0;
  for (const Row& row : kRows) {
    SCOPED_TRACE(number++);
    Usage usage;
    PriceCard card;
    for (std::size_t i = 0; i < kCounts.size(); ++i) {
      usage.*kCounts[i] = row.counts[i];
      card.base.*kTokenRates[i] = row.rates[i];
    }
    usage.images = row.images;
    card.base.per_image = row.per_image;
    card.base.per_request = row.per_request;
    const std::optional<NanoUsd> expected = row.cost == kOverflow ? std::nullopt : std::optional<NanoUsd>(row.cost);
    EXPECT_EQ(cost_of(card, usage, row.requests), expected);
  }
}

TEST(CostOf, RefusesNegativeCountsAndRates) {
  PriceCard card;
  EXPECT_EQ(cost_of(card, Usage{}), 0);
  EXPECT_EQ(cost_of(card, Usage{}, -1), std::nullopt);
  for (const auto count : kCounts) {
    Usage usage;
    usage.*count = -1;
    EXPECT_EQ(cost_of(card, usage), std::nullopt);
  }
  Usage usage;
  usage.images = -1;
  EXPECT_EQ(cost_of(card, usage), std::nullopt);
  for (const auto rate : kTokenRates) {
    PriceCard bad;
    bad.base.*rate = -1;
    EXPECT_EQ(cost_of(bad, Usage{}), std::nullopt);
    EXPECT_FALSE(bad.valid());
  }
}

// $3 and $15 per million up to 200,000 prompt tokens, $6 and $22.50 above.
PriceCard tiered() {
  PriceCard card;
  card.base.input = card.base.cache_read = card.base.cache_write_5m = card.base.cache_write_1h = 3'000'000'000;
  card.base.output = card.base.reasoning = 15'000'000'000;
  PriceTier tier;
  tier.above_input_tokens = 200'000;
  tier.rates.input = tier.rates.cache_read = tier.rates.cache_write_5m = tier.rates.cache_write_1h = 6'000'000'000;
  tier.rates.output = tier.rates.reasoning = 22'500'000'000;
  card.tiers.push_back(tier);
  return card;
}

TEST(PriceCard, BillsTheWholeRequestByTheTierOfItsPrompt) {
  const PriceCard card = tiered();
  Usage usage;
  usage.input_uncached = 200'000;
  usage.output_text = 1'000;
  EXPECT_EQ(cost_of(card, usage), 200'000 * 3'000 + 1'000 * 15'000);
  usage.cache_read = 1;  // cached tokens are part of the prompt that chooses the tier
  EXPECT_EQ(cost_of(card, usage), 200'001 * 6'000 + 1'000 * 22'500);
  usage.cache_read = 0;
  for (const auto bucket : {&Usage::cache_write_5m, &Usage::cache_write_1h, &Usage::audio_input,
                            &Usage::audio_cache_read, &Usage::image_input}) {
    Usage longer = usage;
    longer.*bucket = 1;
    EXPECT_GT(*cost_of(card, longer), 200'000 * 6'000);  // so are all others
  }
}

TEST(PriceCard, ChoosesTheHighestTierThatThePromptExceeds) {
  PriceCard card = tiered();
  card.tiers.push_back({1'000'000, Rates{}});
  EXPECT_EQ(card.rates_for(0), card.base);
  EXPECT_EQ(card.rates_for(200'000), card.base);
  EXPECT_EQ(card.rates_for(200'001), card.tiers[0].rates);
  EXPECT_EQ(card.rates_for(1'000'000), card.tiers[0].rates);
  EXPECT_EQ(card.rates_for(kMax), card.tiers[1].rates);
}

TEST(PriceCard, IsInvalidWhenTiersDoNotAscend) {
  PriceCard card = tiered();
  EXPECT_TRUE(card.valid());
  card.tiers.push_back(card.tiers[0]);
  EXPECT_FALSE(card.valid());
  card.tiers[1].above_input_tokens = 200'001;
  EXPECT_TRUE(card.valid());
  card.tiers[1].rates.per_request = -1;
  EXPECT_FALSE(card.valid());
  card.tiers = {{-1, Rates{}}};
  EXPECT_FALSE(card.valid());
}

TEST(WorstCaseCost, TakesTheDearestTextRates) {
  PriceCard card;
  card.base.input = 3'000;
  card.base.cache_write_1h = 6'000;
  card.base.output = 15'000;
  card.base.reasoning = 20'000;
  card.base.per_request = 7;
  EXPECT_EQ(worst_case_cost(card, 1'000'000, 2'000'000, 0), 6'000 + 2 * 20'000 + 7);
}

TEST(WorstCaseCost, CountsAudioNeverAndPictureTokensOnlyWhenPicturesAreMade) {
  PriceCard card;
  card.base.input = card.base.output = 1'000;
  card.base.audio_input = card.base.audio_output = 1'000'000;
  card.base.image_input = 5'000;
  card.base.image_output = 9'000;
  card.base.per_image = 11;
  EXPECT_EQ(worst_case_cost(card, 1'000'000, 1'000'000, 0), 2'000);
  EXPECT_EQ(worst_case_cost(card, 1'000'000, 1'000'000, 2), 5'000 + 9'000 + 22);
}

TEST(WorstCaseCost, SeesThatAShorterPromptCanBeDearer) {
  PriceCard card;
  card.base.input = 10'000'000;
  card.tiers.push_back({1'000, Rates{}});
  card.tiers[0].rates.input = 1'000'000;
  EXPECT_EQ(worst_case_cost(card, 2'000, 0, 0), 10 * 1'000);  // 1,000 tokens at the base rate
  EXPECT_EQ(worst_case_cost(card, 20'000, 0, 0), 20'000);
}

TEST(WorstCaseCost, RefusesNegativeCountsAndOverflow) {
  PriceCard card;
  EXPECT_EQ(worst_case_cost(card, 0, 0, 0), 0);
  EXPECT_EQ(worst_case_cost(card, -1, 0, 0), std::nullopt);
  EXPECT_EQ(worst_case_cost(card, 0, -1, 0), std::nullopt);
  EXPECT_EQ(worst_case_cost(card, 0, 0, -1), std::nullopt);
  card.base.output = kMax;
  EXPECT_EQ(worst_case_cost(card, 0, 1'000'000, 0), kMax);
  EXPECT_EQ(worst_case_cost(card, 0, 1'000'001, 0), std::nullopt);
  card.base.output = -1;
  EXPECT_EQ(worst_case_cost(card, 0, 0, 0), std::nullopt);
}

// What a budget relies on (P5): whatever a text or picture request within the bound uses, it never costs more.
TEST(WorstCaseCost, IsNeverBelowAnyActualCostWithinTheBound) {
  Rng rng(11);
  const auto split = [&rng](std::int64_t total) { return rng.between(0, total); };
  for (int round = 0; round < 20'000; ++round) {
    SCOPED_TRACE(round);
    PriceCard card;
    std::int64_t threshold = 0;
    for (std::int64_t tier = rng.between(0, 3); tier >= 0; --tier) {
      Rates rates;
      for (const auto rate : kTokenRates) rates.*rate = rng.between(0, 30'000'000);
      rates.per_image = rng.between(0, 1'000);
      rates.per_request = rng.between(0, 100);
      if (threshold == 0) {
        card.base = rates;
      } else {
        card.tiers.push_back({threshold, rates});
      }
      threshold += rng.between(1, 400);
    }
    const std::int64_t most_input = rng.between(0, 1'000);
    const std::int64_t most_output = rng.between(0, 1'000);
    const std::int64_t most_images = rng.between(0, 2);

    Usage usage;
    std::int64_t left = split(most_input);
    for (const auto bucket : {&Usage::input_uncached, &Usage::cache_read, &Usage::cache_write_5m}) {
      usage.*bucket = split(left);
      left -= usage.*bucket;
    }
    (most_images > 0 && round % 2 == 0 ? usage.image_input : usage.cache_write_1h) = left;
    left = split(most_output);
    usage.output_text = split(left);
    (most_images > 0 && round % 2 == 0 ? usage.image_output : usage.reasoning) = left - usage.output_text;
    usage.images = split(most_images);

    const auto actual = cost_of(card, usage, rng.between(0, 1));
    const auto worst = worst_case_cost(card, most_input, most_output, most_images);
    ASSERT_TRUE(actual && worst);
    ASSERT_LE(*actual, *worst);
  }
}

TEST(ToMicroUsd, RoundsHalfToEven) {
  EXPECT_EQ(to_micro_usd(0), 0);
  EXPECT_EQ(to_micro_usd(499), 0);
  EXPECT_EQ(to_micro_usd(500), 0);
  EXPECT_EQ(to_micro_usd(501), 1);
  EXPECT_EQ(to_micro_usd(1'500), 2);
  EXPECT_EQ(to_micro_usd(2'500), 2);
  EXPECT_EQ(to_micro_usd(-500), 0);
  EXPECT_EQ(to_micro_usd(-501), -1);
  EXPECT_EQ(to_micro_usd(-1'500), -2);
  EXPECT_EQ(to_micro_usd(-2'500), -2);
  EXPECT_EQ(to_micro_usd(kMax), 9'223'372'036'854'776);
  EXPECT_EQ(to_micro_usd(kMin), -9'223'372'036'854'776);
}

}  // namespace
}  // namespace llmcore
