#include "llmcore/io/clock.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace llmcore::io {
namespace {

template <typename Clock>
std::int64_t nanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}

TEST(Clock, MonotonicTimeNeverGoesBack) {
  Instant last = now().mono;
  for (int i = 0; i < 10'000; ++i) {
    const Instant next = now().mono;
    ASSERT_GE(next, last);
    last = next;
  }
}

TEST(Clock, MonotonicTimeMovesOn) {
  const Instant start = now().mono;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (now().mono == start && std::chrono::steady_clock::now() < deadline) {
  }
  EXPECT_GT(now().mono, start);
}

TEST(Clock, TheCoarseClockIsNeverAheadAndHardlyBehind) {
  for (int i = 0; i < 10'000; ++i) {
    const Instant before = mono();
    const Instant coarse = coarse_mono();
    ASSERT_LE(coarse, mono());
    ASSERT_GE(coarse, before - 10 * kSecond) << "whatever else this machine is doing";
  }
}

TEST(Clock, WallTimeIsNanosecondsSinceTheUnixEpoch) {
  // Another reader of the same clock encloses the reading; a minute of slack lets an adjustment of the clock pass.
  const std::int64_t before = nanoseconds<std::chrono::system_clock>();
  const WallTime wall = now().wall;
  const std::int64_t after = nanoseconds<std::chrono::system_clock>();
  EXPECT_GE(wall, before - kMinute);
  EXPECT_LE(wall, after + kMinute);
}

#if defined(__linux__)
TEST(Clock, MonotonicTimeIsTheClockThatPythonReads) {
  const std::int64_t before = nanoseconds<std::chrono::steady_clock>();  // CLOCK_MONOTONIC, as time.monotonic_ns()
  const Instant mono = now().mono;
  const std::int64_t after = nanoseconds<std::chrono::steady_clock>();
  EXPECT_GE(mono, before);
  EXPECT_LE(mono, after);
}
#endif

}  // namespace
}  // namespace llmcore::io
