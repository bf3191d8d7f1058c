// Quantiles of durations within 1 % of the true value, mergeable, in integers.
//
// Buckets are linear inside each power of two (128 per octave), so the relative error of a bucket's midpoint is below 0.4 % and the
// same on every platform. Externally synchronised. add O(1), quantile and merge O(buckets in use).
#pragma once

#include <cstdint>
#include <vector>

#include "llmcore/types.hpp"

namespace llmcore {

class LatencySketch {
 public:
  /// Negative durations count as 0.
  void add(Duration value) noexcept;
  void merge(const LatencySketch& other);
  /// The value below which `permille` thousandths of what was added lie (rank ceil(p x n), as NumPy's "inverted_cdf"); 0 when empty.
  [[nodiscard]] Duration quantile_permille(std::int64_t permille) const noexcept;

  [[nodiscard]] std::int64_t count() const noexcept { return count_; }
  [[nodiscard]] Duration sum() const noexcept { return sum_; }
  [[nodiscard]] Duration min() const noexcept { return count_ == 0 ? 0 : min_; }
  [[nodiscard]] Duration max() const noexcept { return count_ == 0 ? 0 : max_; }

 private:
  std::vector<std::int64_t> buckets_;
  std::int64_t count_ = 0;
  Duration sum_ = 0;
  Duration min_ = 0;
  Duration max_ = 0;
};

}  // namespace llmcore
