// How long llmcore keeps the game's thread in one frame, and the percentiles of many frames.
#pragma once

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

namespace village {

class Stopwatch {
 public:
  /// Runs `call`, and counts its time.
  template <class Call>
  decltype(auto) of(Call&& call) {
    const Running running{*this, std::chrono::steady_clock::now()};
    return std::forward<Call>(call)();
  }
  void reset() noexcept { microseconds_ = 0; }
  [[nodiscard]] double microseconds() const noexcept { return microseconds_; }

 private:
  struct Running {
    Stopwatch& watch;
    std::chrono::steady_clock::time_point began;
    ~Running() {
      watch.microseconds_ +=
          std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - began).count();
    }
  };
  double microseconds_ = 0;
};

/// The value that so large a share of all (0 to 1) does not exceed; 0 where there is none.
[[nodiscard]] inline double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

}  // namespace village
