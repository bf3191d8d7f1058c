#include "llmcore/types.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "llmcore/hash.hpp"

namespace llmcore {
namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();

TEST(AddSaturated, StaysAtTheEndsOfTheRangeInsteadOfWrapping) {
  EXPECT_EQ(add_saturated(1, 2), 3);
  EXPECT_EQ(add_saturated(kMax, 1), kMax);
  EXPECT_EQ(add_saturated(kMax - 1, 1), kMax);
  EXPECT_EQ(add_saturated(kMax - 1, 2), kMax);
  EXPECT_EQ(add_saturated(kMin, -1), kMin);
  EXPECT_EQ(add_saturated(kMin + 1, -1), kMin);
  EXPECT_EQ(add_saturated(kMin, kMax), -1);
  EXPECT_EQ(add_saturated(kNever, kHour), kNever);
}

TEST(Priority, HasAName) {
  EXPECT_EQ(to_string(Priority::high), "high");
  EXPECT_EQ(to_string(Priority::medium), "medium");
  EXPECT_EQ(to_string(Priority::low), "low");
}

// A different power of two in every bucket, so that a sum names its parts.
Usage one_of_each() {
  Usage u;
  u.input_uncached = 1;
  u.cache_read = 2;
  u.cache_write_5m = 4;
  u.cache_write_1h = 8;
  u.output_text = 16;
  u.reasoning = 32;
  u.audio_input = 64;
  u.audio_cache_read = 128;
  u.audio_output = 256;
  u.image_input = 512;
  u.image_output = 1024;
  u.images = 2048;
  return u;
}

TEST(Usage, DerivesTheOverlappingViewsFromDisjointBuckets) {
  const Usage u = one_of_each();
  EXPECT_EQ(u.input_tokens(), 1 + 2 + 4 + 8 + 64 + 128 + 512);
  EXPECT_EQ(u.output_tokens(), 16 + 32 + 256 + 1024);
  EXPECT_EQ(u.cached_tokens(), 2 + 128);
  EXPECT_EQ(u.cache_write_tokens(), 4 + 8);
  EXPECT_EQ(u.total_tokens(), u.input_tokens() + u.output_tokens());
}

TEST(Usage, AddsBucketByBucket) {
  Usage sum = one_of_each();
  sum += one_of_each();
  EXPECT_EQ(sum.input_uncached, 2);
  EXPECT_EQ(sum.cache_read, 4);
  EXPECT_EQ(sum.cache_write_5m, 8);
  EXPECT_EQ(sum.cache_write_1h, 16);
  EXPECT_EQ(sum.output_text, 32);
  EXPECT_EQ(sum.reasoning, 64);
  EXPECT_EQ(sum.audio_input, 128);
  EXPECT_EQ(sum.audio_cache_read, 256);
  EXPECT_EQ(sum.audio_output, 512);
  EXPECT_EQ(sum.image_input, 1024);
  EXPECT_EQ(sum.image_output, 2048);
  EXPECT_EQ(sum.images, 4096);
  EXPECT_FALSE(sum.estimated);
}

TEST(Usage, IsEstimatedAsSoonAsOnePartIs) {
  Usage estimated;
  estimated.estimated = true;
  Usage sum = one_of_each();
  sum += estimated;
  EXPECT_TRUE(sum.estimated);
  sum += one_of_each();
  EXPECT_TRUE(sum.estimated);
}

TEST(Usage, AddsUpWithoutOverflow) {
  Usage most;
  most.output_text = kMax;
  Usage sum = most;
  sum += most;
  EXPECT_EQ(sum.output_text, kMax);
}

TEST(Usage, IsInvalidWithANegativeOrAbsurdBucket) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 53;
  EXPECT_TRUE(Usage{}.valid());
  EXPECT_TRUE(one_of_each().valid());
  std::int64_t Usage::* const buckets[] = {&Usage::input_uncached, &Usage::cache_read,       &Usage::cache_write_5m,
                                           &Usage::cache_write_1h, &Usage::output_text,      &Usage::reasoning,
                                           &Usage::audio_input,    &Usage::audio_cache_read, &Usage::audio_output,
                                           &Usage::image_input,    &Usage::image_output,     &Usage::images};
  Usage all;
  for (const auto bucket : buckets) {
    Usage u;
    u.*bucket = -1;
    EXPECT_FALSE(u.valid());
    u.*bucket = kLargest + 1;
    EXPECT_FALSE(u.valid());
    u.*bucket = kLargest;
    EXPECT_TRUE(u.valid());
    all.*bucket = kLargest;
  }
  EXPECT_TRUE(all.valid());
  EXPECT_EQ(all.total_tokens(), 11 * kLargest);
}

// state_hash() values are compared across machines, so the fold itself may never change unnoticed.
TEST(Mix64, IsTheSameOnEveryPlatform) {
  static_assert(mix64(0, 0) != 0);
  static_assert(mix64(0, std::int64_t{-1}) == mix64(0, -1));
  static_assert(mix64(7, Priority::low) == mix64(7, 2));
  EXPECT_EQ(mix64(0, 0), 0xf56a99c215c01433U);
  EXPECT_EQ(mix64(mix64(1, 2), 3), 0x53f69b9f21153919U);
  EXPECT_EQ(mix64(1, "llmcore"), 0x17c60e7bee7667faU);
}

TEST(Mix64, SeesOrderAndBoundaries) {
  EXPECT_NE(mix64(mix64(0, 1), 2), mix64(mix64(0, 2), 1));
  EXPECT_NE(mix64(0, "ab"), mix64(0, "ba"));
  EXPECT_NE(mix64(mix64(0, "a"), "b"), mix64(mix64(0, "ab"), ""));
  EXPECT_NE(mix64(mix64(0, "a"), "b"), mix64(0, "ab"));
  EXPECT_NE(mix64(0, ""), 0U);
}

}  // namespace
}  // namespace llmcore
