#include "llmcore/io/clock.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <time.h>
#else
#include <chrono>
#endif

namespace llmcore::io {

#if defined(__unix__) || defined(__APPLE__)

namespace {

// Darwin's CLOCK_MONOTONIC runs on while the machine sleeps; Python reads the one that does not.
#if defined(__APPLE__)
constexpr clockid_t kMonotonic = CLOCK_UPTIME_RAW;
#else
constexpr clockid_t kMonotonic = CLOCK_MONOTONIC;
#endif

std::int64_t read(clockid_t clock) noexcept {
  timespec time{};
  if (clock_gettime(clock, &time) != 0) return 0;
  const auto seconds = static_cast<std::int64_t>(time.tv_sec);
  // A machine can be set to any year; nanoseconds end in 2262 and begin in 1677.
  constexpr std::int64_t kMostSeconds = std::numeric_limits<std::int64_t>::max() / kSecond;
  if (seconds >= kMostSeconds) return std::numeric_limits<std::int64_t>::max();
  if (seconds <= -kMostSeconds) return std::numeric_limits<std::int64_t>::min();
  return seconds * kSecond + static_cast<std::int64_t>(time.tv_nsec);
}

}  // namespace

Instant mono() noexcept { return read(kMonotonic); }
WallTime wall() noexcept { return read(CLOCK_REALTIME); }
#if defined(CLOCK_MONOTONIC_COARSE)
Instant coarse_mono() noexcept { return read(CLOCK_MONOTONIC_COARSE); }
#else
Instant coarse_mono() noexcept { return mono(); }
#endif

#else

namespace {

template <typename Clock>
std::int64_t read() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}

}  // namespace

Instant mono() noexcept { return read<std::chrono::steady_clock>(); }
WallTime wall() noexcept { return read<std::chrono::system_clock>(); }
Instant coarse_mono() noexcept { return mono(); }

#endif

Now now() noexcept { return {mono(), wall()}; }

}  // namespace llmcore::io
