#include "llmcore/backoff.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>

namespace llmcore {
namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

BackoffConfig make(Duration base, Duration cap, Jitter jitter, std::int64_t permille = 250) {
  BackoffConfig config;
  config.base = base;
  config.cap = cap;
  config.jitter = jitter;
  config.jitter_permille = permille;
  return config;
}

TEST(Backoff, DoublesUpToTheCap) {
  const Backoff backoff(make(500 * kMillisecond, 30 * kSecond, Jitter::none));
  Rng rng(1);
  const std::array<Duration, 8> expected = {500 * kMillisecond, 1 * kSecond,  2 * kSecond,  4 * kSecond,
                                            8 * kSecond,        16 * kSecond, 30 * kSecond, 30 * kSecond};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(backoff.delay(static_cast<std::int64_t>(i), rng), expected[i]);
  }
}

TEST(Backoff, DoesNotOverflowHoweverManyAttemptsFailed) {
  const Backoff backoff(make(1, kMax, Jitter::none));
  Rng rng(1);
  EXPECT_EQ(backoff.delay(62, rng), std::int64_t{1} << 62);
  EXPECT_EQ(backoff.delay(63, rng), kMax);
  EXPECT_EQ(backoff.delay(64, rng), kMax);
  EXPECT_EQ(backoff.delay(kMax, rng), kMax);
  EXPECT_EQ(Backoff(make(3, kMax, Jitter::none)).delay(62, rng), kMax);
  EXPECT_EQ(Backoff(make(0, kMax, Jitter::none)).delay(kMax, rng), 0);
}

TEST(Backoff, TakesANegativeAttemptForTheFirst) {
  const Backoff backoff(make(kSecond, kMinute, Jitter::none));
  Rng rng(1);
  EXPECT_EQ(backoff.delay(-1, rng), kSecond);
  EXPECT_EQ(backoff.delay(std::numeric_limits<std::int64_t>::min(), rng), kSecond);
}

TEST(Backoff, NeverExceedsTheCapAndIsNeverNegative) {
  Rng rng(2);
  for (int round = 0; round < 50'000; ++round) {
    // Sizes spread over all magnitudes, the cap sometimes below the base.
    const Duration base = rng.between(0, kMax >> rng.between(0, 62));
    const Duration cap = rng.between(0, kMax >> rng.between(0, 62));
    const auto jitter = static_cast<Jitter>(rng.below(3));
    const Backoff backoff(make(base, cap, jitter, rng.between(0, 1000)));
    const Duration delay = backoff.delay(rng.between(0, 80), rng);
    ASSERT_GE(delay, 0);
    ASSERT_LE(delay, cap);
  }
}

TEST(Backoff, ProportionalJitterIsUniformAroundTheDelay) {
  const Backoff backoff(make(kSecond, kMinute, Jitter::proportional, 250));
  Rng rng(3);
  constexpr int kDraws = 40'000;
  std::array<int, 4> quarters{};  // of [3 s, 5 s]: 2^2 s +- 25 %
  for (int i = 0; i < kDraws; ++i) {
    const Duration delay = backoff.delay(2, rng);
    ASSERT_GE(delay, 3 * kSecond);
    ASSERT_LE(delay, 5 * kSecond);
    ++quarters[static_cast<std::size_t>(std::min<Duration>((delay - 3 * kSecond) / (kSecond / 2), 3))];
  }
  for (const int count : quarters) EXPECT_NEAR(count, kDraws / 4, 400);  // more than 4 standard deviations
}

TEST(Backoff, FullJitterIsUniformFromZero) {
  const Backoff backoff(make(kSecond, kMinute, Jitter::full));
  Rng rng(4);
  constexpr int kDraws = 40'000;
  std::array<int, 4> quarters{};
  for (int i = 0; i < kDraws; ++i) {
    const Duration delay = backoff.delay(2, rng);
    ASSERT_GE(delay, 0);
    ASSERT_LE(delay, 4 * kSecond);
    ++quarters[static_cast<std::size_t>(std::min<Duration>(delay / kSecond, 3))];
  }
  for (const int count : quarters) EXPECT_NEAR(count, kDraws / 4, 400);
}

TEST(Backoff, CutsProportionalJitterOffAtTheCapAndDrawsFullJitterBelowIt) {
  Rng rng(5);
  const Backoff proportional(make(kSecond, 10 * kSecond, Jitter::proportional, 250));
  const Backoff full(make(kSecond, 10 * kSecond, Jitter::full));
  int at_cap = 0;
  int below_half = 0;
  for (int i = 0; i < 1'000; ++i) {
    EXPECT_EQ(proportional.delay(40, rng), 10 * kSecond);
    at_cap += proportional.delay(3, rng) == 10 * kSecond ? 1 : 0;  // 8 s +- 2 s touches the cap only at its very end
    below_half += full.delay(40, rng) < 5 * kSecond ? 1 : 0;
  }
  EXPECT_EQ(at_cap, 0);
  EXPECT_NEAR(below_half, 500, 80);
}

TEST(Backoff, IsTheSameForTheSameSeed) {
  const Backoff backoff((BackoffConfig()));
  Rng a(7);
  Rng b(7);
  for (std::int64_t attempt = 0; attempt < 10; ++attempt)
    EXPECT_EQ(backoff.delay(attempt, a), backoff.delay(attempt, b));
  Rng golden(42);
  EXPECT_EQ(backoff.delay(0, golden), 395'965'742);
  EXPECT_EQ(backoff.delay(1, golden), 939'490'125);
}

TEST(SeededBackoff, DealsOutTheDelaysOfItsSeedAndRemembersThem) {
  SeededBackoff seeded(make(500 * kMillisecond, 3 * kSecond, Jitter::proportional), 42);
  const Backoff backoff(seeded.config());
  Rng rng(42);
  EXPECT_EQ(seeded.stats().delays, 0);
  EXPECT_EQ(seeded.stats().shortest, 0);
  Duration total = 0;
  Duration shortest = kMax;
  Duration longest = 0;
  std::int64_t capped = 0;
  for (std::int64_t attempt = 0; attempt < 9; ++attempt) {
    const Duration expected = backoff.delay(attempt, rng);
    EXPECT_EQ(seeded.delay(attempt), expected);
    EXPECT_EQ(seeded.stats().last, expected);
    total += expected;
    shortest = std::min(shortest, expected);
    longest = std::max(longest, expected);
    capped += expected == 3 * kSecond ? 1 : 0;
  }
  const SeededBackoff::Stats& stats = seeded.stats();
  EXPECT_EQ(stats.delays, 9);
  EXPECT_EQ(stats.total, total);
  EXPECT_EQ(stats.shortest, shortest);
  EXPECT_EQ(stats.longest, longest);
  EXPECT_EQ(stats.capped, capped);
  EXPECT_GE(capped, 5);
  EXPECT_EQ(stats.deepest, 8);
  EXPECT_THROW(SeededBackoff(make(-1, 1, Jitter::none)), std::invalid_argument);
}

TEST(SeededBackoff, HoldsItsTotalAtTheEndOfTheRange) {
  SeededBackoff seeded(make(kMax, kMax, Jitter::none));
  seeded.delay(0);
  seeded.delay(0);
  EXPECT_EQ(seeded.stats().total, kMax);
}

TEST(BackoffConfig, SaysWhatIsWrongWithIt) {
  EXPECT_EQ(BackoffConfig{}.problem(), nullptr);
  EXPECT_EQ(make(0, 0, Jitter::full, 0).problem(), nullptr);
  for (const BackoffConfig& bad : {make(-1, 1, Jitter::none), make(1, -1, Jitter::none), make(1, 1, Jitter::none, -1),
                                   make(1, 1, Jitter::none, 1001), make(1, 1, static_cast<Jitter>(9))}) {
    EXPECT_NE(bad.problem(), nullptr);
    EXPECT_THROW(Backoff{bad}, std::invalid_argument);
  }
}

}  // namespace
}  // namespace llmcore
