// Quantiles of durations within 1 % of the true value, mergeable, in integers.
//
// Buckets are linear inside each power of two (128 per octave), so the relative error of a bucket's midpoint is below
// 0.4 % and the same on every platform. The first 64 buckets met are a sorted list, 8 bytes each; from then on there are
// counters for the octaves between the shortest and the longest duration seen, 1 KiB each: latencies from 100 ms to
// 100 s take 11, and no sketch more than 57. Merging is exact: the sketch of a whole is the merger of the sketches of
// its parts. Externally synchronised. add O(1), quantile and merge O(buckets in use).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llmcore/types.hpp"

namespace llmcore {

class LatencySketch {
 public:
  /// Negative durations count as 0.
  void add(Duration value) noexcept;
  void merge(const LatencySketch& other);
  /// The value at or below which `permille` thousandths of what was added lie (rank ceil(p x n), as NumPy's
  /// "inverted_cdf"), within 0.4 %; the first and the last are exact. 0 when empty; permille is held to [0, 1000].
  [[nodiscard]] Duration quantile_permille(std::int64_t permille) const noexcept;

  [[nodiscard]] std::int64_t count() const noexcept { return count_; }
  /// Held at the end of the range instead of wrapping.
  [[nodiscard]] Duration sum() const noexcept { return sum_; }
  [[nodiscard]] Duration min() const noexcept { return count_ == 0 ? 0 : min_; }
  [[nodiscard]] Duration max() const noexcept { return count_ == 0 ? 0 : max_; }
  /// Bytes outside the object itself.
  [[nodiscard]] std::size_t memory() const noexcept { return cells_.capacity() * sizeof(std::uint64_t); }

  /// The sketch as bytes: nothing if it is empty, about 20 for one value, then 2 or 3 for each bucket in use. What two
  /// sketches are as bytes, one after the other, is their merger: whoever can append can merge.
  [[nodiscard]] std::string to_bytes() const;
  /// Adds what the bytes say. False: they are not what to_bytes() gives, and nothing was added.
  [[nodiscard]] bool merge_bytes(std::string_view bytes);

 private:
  void add_to(std::size_t bucket, std::int64_t n);
  [[nodiscard]] bool add_to_list(std::size_t bucket, std::int64_t n);
  void spread();
  void cover(std::size_t bucket);
  template <class Visit>
  void for_each(Visit&& visit) const;

  // A list: bucket << 32 | count, ascending. Spread: the counters of the buckets from first_ on.
  std::vector<std::uint64_t> cells_;
  std::size_t first_ = 0;
  bool spread_ = false;
  std::int64_t count_ = 0;
  Duration sum_ = 0;
  Duration min_ = 0;
  Duration max_ = 0;
};

}  // namespace llmcore
