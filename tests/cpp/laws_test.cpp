// Laws that only large numbers show: money to the last nano-dollar, delays that follow their distribution, a bucket that does not drift,
// a burst of which nothing is lost.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine_harness.hpp"
#include "llmcore/backoff.hpp"
#include "llmcore/money.hpp"
#include "llmcore/rate_limiter.hpp"
#include "llmcore/rng.hpp"

namespace llmcore {
namespace {

__extension__ typedef __int128 Int128;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::int64_t kLess = 20;  // times fewer under a sanitizer
#else
constexpr std::int64_t kLess = 1;
#endif

// --- money -----------------------------------------------------------------------------------------------------------

/// A natural number of 256 bits, as one learns it in school. Shares nothing with the code that it judges.
class Natural {
 public:
  void add_product(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
    std::array<std::uint64_t, 8> product{1};
    for (const std::uint64_t factor : {a, b, c}) {
      std::array<std::uint64_t, 8> next{};
      for (const unsigned half : {0U, 1U}) {
        const std::uint64_t digit = factor >> (32 * half) & kDigit;
        std::uint64_t carry = 0;
        for (std::size_t i = 0; i + half < next.size(); ++i) {
          const std::uint64_t sum = next[i + half] + product[i] * digit + carry;
          next[i + half] = sum & kDigit;
          carry = sum >> 32U;
        }
      }
      product = next;
    }
    std::uint64_t carry = 0;
    for (std::size_t i = 0; i < digits_.size(); ++i) {
      const std::uint64_t sum = digits_[i] + product[i] + carry;
      digits_[i] = sum & kDigit;
      carry = sum >> 32U;
    }
  }

  /// Divided by a million, half to even; nothing if that is more than a NanoUsd holds.
  [[nodiscard]] std::optional<NanoUsd> millionth() const {
    std::array<std::uint64_t, 8> quotient{};
    std::uint64_t rest = 0;
    for (std::size_t i = digits_.size(); i-- > 0;) {
      const std::uint64_t part = rest << 32U | digits_[i];
      quotient[i] = part / 1'000'000;
      rest = part % 1'000'000;
    }
    if (rest > 500'000 || (rest == 500'000 && quotient[0] % 2 != 0)) {
      for (std::size_t i = 0; i < quotient.size(); ++i) {
        quotient[i] = (quotient[i] + 1) & kDigit;
        if (quotient[i] != 0) break;
      }
    }
    const bool fits = quotient[1] < std::uint64_t{1} << 31U &&
                      std::all_of(quotient.begin() + 2, quotient.end(), [](std::uint64_t digit) { return digit == 0; });
    if (!fits) return std::nullopt;
    return static_cast<NanoUsd>(quotient[1] << 32U | quotient[0]);
  }

 private:
  static constexpr std::uint64_t kDigit = 0xffff'ffffU;
  std::array<std::uint64_t, 8> digits_{};  // of 32 bits, the lowest first
};

/// Of any magnitude, and often round: ties are rare among numbers that are not.
std::int64_t draw_amount(Rng& rng, std::uint64_t most_bits) {
  const std::int64_t amount = rng.between(0, (std::int64_t{1} << rng.below(most_bits + 1)) - 1);
  return rng.below(3) == 0 ? amount / 500 * 500 : amount;
}

Rates draw_rates(Rng& rng) {
  Rates rates;
  for (NanoUsd* rate : {&rates.input, &rates.cache_read, &rates.cache_write_5m, &rates.cache_write_1h, &rates.output,
                        &rates.reasoning, &rates.audio_input, &rates.audio_cache_read, &rates.audio_output,
                        &rates.image_input, &rates.image_output, &rates.per_image, &rates.per_request}) {
    if (rng.below(4) != 0) *rate = draw_amount(rng, 44);
  }
  return rates;
}

Usage draw_usage(Rng& rng) {
  Usage usage;
  for (std::int64_t* count : {&usage.input_uncached, &usage.cache_read, &usage.cache_write_5m, &usage.cache_write_1h,
                              &usage.output_text, &usage.reasoning, &usage.audio_input, &usage.audio_cache_read,
                              &usage.audio_output, &usage.image_input, &usage.image_output, &usage.images}) {
    if (rng.below(2) == 0) *count = draw_amount(rng, rng.below(8) == 0 ? 53 : 22);
  }
  return usage;
}

std::optional<NanoUsd> cost_in_school(const PriceCard& card, const Usage& usage, std::int64_t requests) {
  const Rates* rates = &card.base;
  for (const PriceTier& tier : card.tiers) {
    if (usage.input_tokens() > tier.above_input_tokens) rates = &tier.rates;
  }
  Natural sum;
  const auto add = [&sum](std::int64_t count, std::int64_t rate, std::uint64_t times) {
    sum.add_product(static_cast<std::uint64_t>(count), static_cast<std::uint64_t>(rate), times);
  };
  add(usage.input_uncached, rates->input, 1);
  add(usage.cache_read, rates->cache_read, 1);
  add(usage.cache_write_5m, rates->cache_write_5m, 1);
  add(usage.cache_write_1h, rates->cache_write_1h, 1);
  add(usage.output_text, rates->output, 1);
  add(usage.reasoning, rates->reasoning, 1);
  add(usage.audio_input, rates->audio_input, 1);
  add(usage.audio_cache_read, rates->audio_cache_read, 1);
  add(usage.audio_output, rates->audio_output, 1);
  add(usage.image_input, rates->image_input, 1);
  add(usage.image_output, rates->image_output, 1);
  add(usage.images, rates->per_image, 1'000'000);
  add(requests, rates->per_request, 1'000'000);
  return sum.millionth();
}

TEST(Law, AMillionCostsAreExact) {
  Rng rng(20'26);
  std::int64_t overflows = 0;
  std::int64_t tiers = 0;
  PriceCard card;
  for (std::int64_t i = 0; i < 1'000'000 / kLess; ++i) {
    if (i % 10 == 0) {
      card = PriceCard{draw_rates(rng), {}, ""};
      for (std::int64_t above = -1; rng.below(2) == 0;) {
        above += 1 + draw_amount(rng, 24);
        card.tiers.push_back({above, draw_rates(rng)});
      }
      ASSERT_TRUE(card.valid());
    }
    const Usage usage = draw_usage(rng);
    const std::int64_t requests = rng.between(0, 1);
    const std::optional<NanoUsd> cost = cost_of(card, usage, requests);
    ASSERT_EQ(cost, cost_in_school(card, usage, requests)) << "usage number " << i;
    overflows += cost ? 0 : 1;
    tiers += &card.rates_for(usage.input_tokens()) == &card.base ? 0 : 1;
  }
  EXPECT_GT(overflows, 1'000 / kLess);
  EXPECT_GT(tiers, 100'000 / kLess);
}

// --- delays ----------------------------------------------------------------------------------------------------------

constexpr std::size_t kDelays = 10'000;

/// The largest distance between the delays' distribution and the law's (Kolmogorov and Smirnov).
template <typename Law>
double distance(std::vector<Duration> delays, const Law& law) {
  std::sort(delays.begin(), delays.end());
  const auto n = static_cast<double>(delays.size());
  double largest = 0;
  for (std::size_t i = 0; i < delays.size();) {
    // Equal delays are one step of the distribution: below it the law may have a step as well.
    std::size_t end = i;
    while (end < delays.size() && delays[end] == delays[i]) ++end;
    largest = std::max(largest, std::abs(static_cast<double>(end) / n - law(delays[i])));
    largest = std::max(largest, std::abs(static_cast<double>(i) / n - law(delays[i] - 1)));
    i = end;
  }
  return largest;
}

/// P(delay <= x) for a delay that is uniform in [low, high] and then cut off at the cap.
auto uniform(Duration low, Duration high, Duration cap) {
  return [=](Duration x) {
    if (x >= cap || x >= high) return 1.0;
    if (x < low) return 0.0;
    return static_cast<double>(x - low + 1) / static_cast<double>(high - low + 1);
  };
}

std::vector<Duration> delays_of(const BackoffConfig& config, std::int64_t attempt, std::uint64_t seed) {
  const Backoff backoff(config);
  Rng rng(seed);
  std::vector<Duration> delays(kDelays);
  for (Duration& delay : delays) delay = backoff.delay(attempt, rng);
  return delays;
}

// What a distance of 10,000 delays stays below in 999 of 1,000 cases: 1.95 / sqrt(n). The seeds are fixed.
constexpr double kCritical = 0.0195;

TEST(Law, DelaysFollowTheirDistributionAtEveryAttempt) {
  for (const Jitter jitter : {Jitter::none, Jitter::proportional, Jitter::full}) {
    for (const std::int64_t permille : {0, 250, 1'000}) {
      for (std::int64_t attempt = 0; attempt < 12; ++attempt) {
        BackoffConfig config;
        config.jitter = jitter;
        config.jitter_permille = permille;
        const Duration grown = config.base << attempt;  // 500 ms to 1,024 s; the cap is 30 s
        const Duration spread = jitter == Jitter::proportional ? grown / 1'000 * permille : 0;
        const auto law = jitter == Jitter::full ? uniform(0, std::min(grown, config.cap), kNever)
                                                : uniform(grown - spread, grown + spread, config.cap);
        const std::vector<Duration> delays = delays_of(config, attempt, static_cast<std::uint64_t>(attempt) + 1);
        EXPECT_LT(distance(delays, law), kCritical) << static_cast<int>(jitter) << " at attempt " << attempt;
        EXPECT_LE(*std::max_element(delays.begin(), delays.end()), config.cap);
        EXPECT_GE(*std::min_element(delays.begin(), delays.end()), 0);
      }
    }
  }
}

TEST(Law, TheTestOfDelaysCanTellALawFromAnother) {
  const std::vector<Duration> delays = delays_of(BackoffConfig{}, 2, 1);  // 2 s, a quarter to either side
  EXPECT_LT(distance(delays, uniform(1'500 * kMillisecond, 2'500 * kMillisecond, kNever)), kCritical);
  EXPECT_GT(distance(delays, uniform(1'450 * kMillisecond, 2'550 * kMillisecond, kNever)), kCritical);
  EXPECT_GT(distance(delays, uniform(1'500 * kMillisecond, 2'500 * kMillisecond, 2'450 * kMillisecond)), kCritical);
}

// --- the bucket ------------------------------------------------------------------------------------------------------

// One step loses nothing: what it holds and what it gave is what it began with and what has come in since, to the last unit of carry.
// Each step is tested for that, so any number of them has no drift; LLMCORE_BUCKET_STEPS=1000000000 goes all the way.
TEST(Law, ABucketDoesNotDrift) {
  const char* wish = std::getenv("LLMCORE_BUCKET_STEPS");
  const std::int64_t steps = wish != nullptr ? std::strtoll(wish, nullptr, 10) : 20'000'000 / kLess;
  constexpr std::int64_t kCapacity = 1'000;
  constexpr std::int64_t kRate = 999'983;  // a prime: hardly a step ends without a carry
  TokenBucket stepped(kCapacity, kRate, 0);
  stepped.take(kCapacity);
  TokenBucket strode = stepped;
  std::int64_t taken = 0;
  Instant now = 0;
  std::uint64_t noise = 1;
  for (std::int64_t i = 0; i < steps; ++i) {
    noise = noise * 6'364'136'223'846'793'005U + 1'442'695'040'888'963'407U;
    now += static_cast<Instant>(noise >> 45U);  // up to half a millisecond
    stepped.refill(now);
    if (stepped.available() > 0) {
      taken += stepped.available();
      stepped.take(stepped.available());
    }
    const Int128 units = Int128{taken + stepped.available()} * kMinute + stepped.carry();
    if (units != Int128{kRate} * now) FAIL() << "step " << i;
  }
  EXPECT_GT(taken, steps / 1'000);
  // The same time in one stride, with nothing to overflow: the closed form.
  strode.take(taken);
  strode.refill(now);
  EXPECT_EQ(strode.available(), stepped.available());
  EXPECT_EQ(strode.carry(), stepped.carry());
}

// --- a burst ---------------------------------------------------------------------------------------------------------

TEST(Law, OfABurstTheQueueIsAcceptedAndTheRestHearsWhy) {
  constexpr std::int64_t kBurst = 100'000 / kLess;
  constexpr std::int64_t kCap = 1'000 / kLess;
  Config config = testing::open_config();
  config.limits.max_in_flight = 50;
  config.queue.total_capacity = kCap;
  config.queue.class_capacity = {kCap, kCap, kCap};
  testing::WatchedEngine engine(config, 10'000);
  std::vector<AttemptId> open;
  std::int64_t served = 0;
  std::int64_t refused = 0;
  Now now{0, 0};
  const auto drain = [&](CallId submitted) {
    for (const Action& action : engine.take_actions()) {
      if (const auto* send = std::get_if<Send>(&action)) {
        open.push_back(send->attempt);
        ++served;
      }
      const auto* finish = std::get_if<Finish>(&action);
      if (finish == nullptr || finish->outcome == Outcome::ok) continue;
      ASSERT_EQ(finish->outcome, Outcome::queue_full);
      ASSERT_EQ(finish->call, submitted) << "who is refused hears it at once";
      ASSERT_EQ(finish->attempts, 0U);
      ++refused;
    }
  };
  for (std::int64_t i = 0; i < kBurst; ++i) {
    Submit call = testing::with_priority(testing::call_to({"alpha"}), static_cast<Priority>(i % 3));
    call.deadline = kHour;
    drain(engine.submit(std::move(call), now));
    if (i % 37 == 0 && !open.empty()) {  // meanwhile some are answered, and their places are taken by those who wait
      now.mono += kMicrosecond;
      engine.handle(Replied{open.back(), {}, nullptr, nullptr}, now);
      open.pop_back();
      drain(0);
    }
  }
  EXPECT_EQ(kBurst - refused, kCap + served);
  EXPECT_GT(refused, kBurst / 2);
  EXPECT_EQ(engine.engine().stats().queued, kCap);
  const std::int64_t refused_in_the_burst = refused;
  while (!open.empty()) {
    const AttemptId attempt = open.back();
    open.pop_back();
    engine.handle(Replied{attempt, {}, nullptr, nullptr}, now);
    drain(0);
  }
  EXPECT_EQ(refused, refused_in_the_burst);
  EXPECT_EQ(served, kBurst - refused) << "whoever was accepted was served";
  EXPECT_TRUE(engine.at_rest()) << engine.broken();
}

}  // namespace
}  // namespace llmcore
