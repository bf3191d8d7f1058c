#include "llmcore/rng.hpp"

#include <gtest/gtest.h>

#include <array>
#include <limits>

namespace llmcore {
namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();

TEST(Rng, IsXoshiro256StarStar) {
  // The published outputs of the reference implementation for this state.
  Rng rng(0);
  rng.restore({1, 2, 3, 4});
  for (const std::uint64_t expected :
       {std::uint64_t{11520}, std::uint64_t{0}, std::uint64_t{1509978240}, std::uint64_t{1215971899390074240U},
        std::uint64_t{1216172134540287360U}, std::uint64_t{607988272756665600U}, std::uint64_t{16172922978634559625U},
        std::uint64_t{8476171486693032832U}, std::uint64_t{10595114339597558777U},
        std::uint64_t{2904607092377533576U}}) {
    EXPECT_EQ(rng.next(), expected);
  }
}

TEST(Rng, IsSeededBySplitmix64) {
  const Rng::State expected = {6457827717110365317U, 3203168211198807973U, 9817491932198370423U, 4593380528125082431U};
  EXPECT_EQ(Rng(1234567).state(), expected);
}

TEST(Rng, GivesTheSameNumbersForTheSameSeedOnEveryPlatform) {
  Rng zero(0);
  EXPECT_EQ(zero.next(), 0x99ec5f36cb75f2b4U);
  EXPECT_EQ(zero.next(), 0xbf6e1f784956452aU);
  Rng answer(42);
  EXPECT_EQ(answer.next(), 0x15780b2e0c2ec716U);
  EXPECT_EQ(answer.next(), 0x6104d9866d113a7eU);
  Rng most(std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(most.next(), 0x8f5520d52a7ead08U);
}

TEST(Rng, ContinuesWhereItWasRestored) {
  Rng a(3);
  a.next();
  const Rng::State state = a.state();
  const std::uint64_t expected = a.next();
  Rng b(99);
  b.restore(state);
  EXPECT_EQ(b.next(), expected);
  EXPECT_EQ(b.state(), a.state());
}

TEST(Rng, StaysBelowItsBound) {
  Rng rng(5);
  for (const std::uint64_t bound : {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{3}, std::uint64_t{1'000'003},
                                    (std::uint64_t{1} << 63) + 1, std::numeric_limits<std::uint64_t>::max()}) {
    for (int i = 0; i < 1'000; ++i) ASSERT_LT(rng.below(bound), bound);
  }
}

TEST(Rng, IsUniformBelowItsBound) {
  // For a bound of 3 x 2^62, the high part of random x bound without rejection would be a multiple of 3 every other
  // time, and a plain modulo would land in the lowest third every other time.
  constexpr std::uint64_t kBound = std::uint64_t{3} << 62;
  Rng rng(6);
  std::array<int, 3> thirds{};
  std::array<int, 3> residues{};
  constexpr int kDraws = 90'000;
  for (int i = 0; i < kDraws; ++i) {
    const std::uint64_t value = rng.below(kBound);
    ++thirds[static_cast<std::size_t>(value >> 62)];
    ++residues[static_cast<std::size_t>(value % 3)];
  }
  for (const int count : thirds) EXPECT_NEAR(count, kDraws / 3, 600);  // more than 4 standard deviations
  for (const int count : residues) EXPECT_NEAR(count, kDraws / 3, 600);

  std::array<int, 7> days{};
  for (int i = 0; i < 70'000; ++i) ++days[static_cast<std::size_t>(rng.below(7))];
  for (const int count : days) EXPECT_NEAR(count, 10'000, 400);
}

TEST(Rng, ReachesBothEndsOfARange) {
  Rng rng(7);
  std::array<int, 5> seen{};
  for (int i = 0; i < 500; ++i) {
    const std::int64_t value = rng.between(-2, 2);
    ASSERT_GE(value, -2);
    ASSERT_LE(value, 2);
    ++seen[static_cast<std::size_t>(value + 2)];
  }
  for (const int count : seen) EXPECT_GT(count, 50);
}

TEST(Rng, CoversTheWholeRangeOf64Bits) {
  Rng rng(8);
  int negative = 0;
  for (int i = 0; i < 1'000; ++i) negative += rng.between(kMin, kMax) < 0 ? 1 : 0;
  EXPECT_NEAR(negative, 500, 80);
  EXPECT_EQ(rng.between(kMax, kMax), kMax);
  EXPECT_EQ(rng.between(kMin, kMin), kMin);
  for (int i = 0; i < 100; ++i) ASSERT_GE(rng.between(kMax - 1, kMax), kMax - 1);
}

}  // namespace
}  // namespace llmcore
