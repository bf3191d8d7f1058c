#include "llmcore/latency_sketch.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "llmcore/rng.hpp"

namespace llmcore {
namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

// By the definition: the smallest value with at least p of all values at or below it.
Duration exact_quantile(std::vector<Duration> values, std::int64_t permille) {
  std::sort(values.begin(), values.end());
  const auto n = static_cast<std::int64_t>(values.size());
  std::int64_t rank = 1;
  while (rank * 1000 < permille * n) ++rank;
  return values[static_cast<std::size_t>(rank - 1)];
}

void expect_within_a_250th(Duration actual, Duration expected) {
  const Duration difference = actual > expected ? actual - expected : expected - actual;
  EXPECT_LE(difference, expected / 250) << actual << " for " << expected;
}

TEST(LatencySketch, IsZeroWhenEmpty) {
  const LatencySketch sketch;
  EXPECT_EQ(sketch.count(), 0);
  EXPECT_EQ(sketch.sum(), 0);
  EXPECT_EQ(sketch.min(), 0);
  EXPECT_EQ(sketch.max(), 0);
  EXPECT_EQ(sketch.quantile_permille(500), 0);
}

TEST(LatencySketch, IsExactForOneValue) {
  for (const Duration value : {Duration{0}, Duration{1}, 1'234'567'891 * kMicrosecond, kMax}) {
    LatencySketch sketch;
    sketch.add(value);
    for (const std::int64_t p : {0, 1, 500, 999, 1000}) EXPECT_EQ(sketch.quantile_permille(p), value);
    EXPECT_EQ(sketch.min(), value);
    EXPECT_EQ(sketch.max(), value);
    EXPECT_EQ(sketch.sum(), value);
  }
}

TEST(LatencySketch, CountsNegativeDurationsAsZero) {
  LatencySketch sketch;
  sketch.add(-5);
  sketch.add(std::numeric_limits<Duration>::min());
  EXPECT_EQ(sketch.count(), 2);
  EXPECT_EQ(sketch.min(), 0);
  EXPECT_EQ(sketch.max(), 0);
  EXPECT_EQ(sketch.sum(), 0);
}

TEST(LatencySketch, UsesTheRankOfTheInvertedDistribution) {
  LatencySketch sketch;
  for (Duration value = 1; value <= 10; ++value) sketch.add(value * 10);  // exact below 256
  EXPECT_EQ(sketch.quantile_permille(0), 10);
  EXPECT_EQ(sketch.quantile_permille(100), 10);
  EXPECT_EQ(sketch.quantile_permille(101), 20);
  EXPECT_EQ(sketch.quantile_permille(500), 50);
  EXPECT_EQ(sketch.quantile_permille(501), 60);
  EXPECT_EQ(sketch.quantile_permille(900), 90);
  EXPECT_EQ(sketch.quantile_permille(1000), 100);
  EXPECT_EQ(sketch.quantile_permille(-1), 10);
  EXPECT_EQ(sketch.quantile_permille(1001), 100);
}

TEST(LatencySketch, IsWithinAFractionOfAPercentOfEveryExactQuantile) {
  Rng rng(1);
  for (int round = 0; round < 150; ++round) {
    SCOPED_TRACE(round);
    LatencySketch sketch;
    std::vector<Duration> values;
    const int widest = static_cast<int>(rng.between(1, 62));
    for (std::int64_t n = rng.between(1, 400); n > 0; --n) {
      // Spread over all magnitudes up to 2^widest, so that small and large meet in one sketch.
      values.push_back(rng.between(0, (std::int64_t{1} << rng.between(0, widest)) - 1));
      sketch.add(values.back());
    }
    for (const std::int64_t p : {0, 1, 10, 250, 500, 900, 950, 990, 999, 1000}) {
      expect_within_a_250th(sketch.quantile_permille(p), exact_quantile(values, p));
    }
    EXPECT_EQ(sketch.min(), *std::min_element(values.begin(), values.end()));
    EXPECT_EQ(sketch.max(), *std::max_element(values.begin(), values.end()));
    EXPECT_EQ(sketch.count(), static_cast<std::int64_t>(values.size()));
  }
}

TEST(LatencySketch, HoldsItsErrorAtEveryPowerOfTwo) {
  for (int bits = 0; bits < 63; ++bits) {
    for (const Duration offset : {-1, 0, 1}) {
      const Duration value = (Duration{1} << bits) + offset;
      LatencySketch sketch;
      sketch.add(0);
      sketch.add(value);
      sketch.add(kMax);
      expect_within_a_250th(sketch.quantile_permille(500), value);
    }
  }
}

TEST(LatencySketch, MergesIntoTheSketchOfTheWhole) {
  Rng rng(2);
  for (int round = 0; round < 50; ++round) {
    LatencySketch whole;
    LatencySketch parts[3];
    for (int i = 0; i < 300; ++i) {
      const Duration value = rng.between(0, kMax >> rng.between(0, 62));
      whole.add(value);
      parts[rng.below(round % 2 == 0 ? 3 : 2)].add(value);  // one part stays empty in every other round
    }
    LatencySketch merged;
    for (const LatencySketch& part : parts) merged.merge(part);
    EXPECT_EQ(merged.count(), whole.count());
    EXPECT_EQ(merged.sum(), whole.sum());
    EXPECT_EQ(merged.min(), whole.min());
    EXPECT_EQ(merged.max(), whole.max());
    for (std::int64_t p = 0; p <= 1000; p += 25) EXPECT_EQ(merged.quantile_permille(p), whole.quantile_permille(p));
  }
}

TEST(LatencySketch, MergesWithItself) {
  LatencySketch sketch;
  for (Duration value = 1; value <= 100; ++value) sketch.add(value);
  sketch.merge(sketch);
  EXPECT_EQ(sketch.count(), 200);
  EXPECT_EQ(sketch.sum(), 2 * 5050);
  EXPECT_EQ(sketch.quantile_permille(500), 50);
  EXPECT_EQ(sketch.quantile_permille(501), 51);
}

TEST(LatencySketch, DoesNotWrapItsSum) {
  LatencySketch sketch;
  sketch.add(kMax);
  sketch.add(kMax);
  EXPECT_EQ(sketch.sum(), kMax);
}

void expect_equal(const LatencySketch& a, const LatencySketch& b) {
  EXPECT_EQ(a.count(), b.count());
  EXPECT_EQ(a.sum(), b.sum());
  EXPECT_EQ(a.min(), b.min());
  EXPECT_EQ(a.max(), b.max());
  for (std::int64_t p = 0; p <= 1000; p += 5) EXPECT_EQ(a.quantile_permille(p), b.quantile_permille(p));
}

TEST(LatencySketch, IsTheSameAfterItWasBytes) {
  Rng rng(3);
  for (const int values : {0, 1, 2, 63, 64, 65, 1000}) {
    LatencySketch sketch;
    for (int i = 0; i < values; ++i) sketch.add(rng.between(0, kMax >> rng.between(0, 62)));
    const std::string bytes = sketch.to_bytes();
    LatencySketch read;
    ASSERT_TRUE(read.merge_bytes(bytes));
    expect_equal(read, sketch);
    EXPECT_EQ(read.to_bytes(), bytes);
  }
  EXPECT_EQ(LatencySketch().to_bytes(), "");
}

TEST(LatencySketch, MergesBytesThatStandOneAfterTheOther) {
  Rng rng(4);
  LatencySketch whole;
  std::string bytes;
  for (int part = 0; part < 30; ++part) {
    LatencySketch sketch;
    for (int i = 0; i < part; ++i) {
      const Duration value = rng.between(0, kMax >> rng.between(10, 62));
      sketch.add(value);
      whole.add(value);
    }
    bytes += sketch.to_bytes();
  }
  LatencySketch merged;
  ASSERT_TRUE(merged.merge_bytes(bytes));
  expect_equal(merged, whole);
}

TEST(LatencySketch, RefusesBytesThatAreNoneAndIsAsItWas) {
  LatencySketch sketch;
  for (Duration value = 1; value <= 500; value += 7) sketch.add(value * kMillisecond);
  const std::string good = sketch.to_bytes();
  // A value of 256 and one of 257 lie in one bucket.
  const std::string bucket{"\x01\x01\x81\x04\x80\x02\x81\x02", 8};
  ASSERT_TRUE(LatencySketch().merge_bytes(bucket + std::string("\x00\x02", 2)));
  const std::string_view none[] = {"\x02", "\x01", "\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"};
  std::vector<std::string> bad(std::begin(none), std::end(none));
  for (std::size_t length = 1; length < good.size(); ++length) bad.push_back(good.substr(0, length));
  bad.push_back(bucket + std::string("\x01\x02", 2));  // the minimum in no bucket
  bad.push_back(bucket + std::string("\x00\x00", 2));  // a bucket that holds nothing
  bad.push_back(bucket + std::string("\x00\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F", 11));
  bad.push_back(bucket + std::string("\x00\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F", 10));  // more than there is room for
  for (const std::string& bytes : bad) {
    LatencySketch touched = sketch;
    EXPECT_FALSE(touched.merge_bytes(good + bytes)) << testing::PrintToString(bytes);
    expect_equal(touched, sketch);
  }
}

TEST(LatencySketch, ReadsAnyBytesWithoutHarm) {
  Rng rng(5);
  LatencySketch seed;
  for (Duration value = 1; value <= 40; ++value) seed.add(value * value * kMicrosecond);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = seed.to_bytes();
    for (int i = 0; i < 3; ++i)
      bytes[static_cast<std::size_t>(rng.below(bytes.size()))] = static_cast<char>(rng.below(256));
    LatencySketch sketch;
    if (sketch.merge_bytes(bytes)) {
      LatencySketch again;
      EXPECT_TRUE(again.merge_bytes(sketch.to_bytes()));
      EXPECT_LE(sketch.quantile_permille(500), sketch.max());
    } else {
      EXPECT_EQ(sketch.count(), 0);
    }
  }
}

}  // namespace
}  // namespace llmcore
