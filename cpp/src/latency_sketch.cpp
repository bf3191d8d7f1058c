#include "llmcore/latency_sketch.hpp"

#include <algorithm>
#include <bit>

namespace llmcore {
namespace {

constexpr std::size_t kPerOctave = 128;
constexpr int kOctaveBits = 7;

// Values below 256 have a bucket each; above, the eight highest bits of a value choose it.
std::size_t bucket_of(Duration value) noexcept {
  const auto bits = static_cast<std::uint64_t>(value);
  const int shift = std::max(static_cast<int>(std::bit_width(bits)) - 1 - kOctaveBits, 0);
  return kPerOctave * static_cast<std::size_t>(shift) + static_cast<std::size_t>(bits >> shift);
}

Duration midpoint_of(std::size_t bucket) noexcept {
  if (bucket < 2 * kPerOctave) return static_cast<Duration>(bucket);
  const std::size_t shift = bucket / kPerOctave - 1;
  const auto lowest = static_cast<Duration>(bucket - kPerOctave * shift) << shift;
  return lowest + ((Duration{1} << shift) - 1) / 2;
}

}  // namespace

// Makes room for the buckets [first, last], in whole octaves so that growing stays rare.
void LatencySketch::cover(std::size_t first, std::size_t last) {
  first -= first % kPerOctave;
  std::size_t end = last + kPerOctave - last % kPerOctave;
  if (buckets_.empty()) {
    first_ = first;
  } else if (first < first_) {
    buckets_.insert(buckets_.begin(), first_ - first, 0);
    first_ = first;
  }
  end = std::max(end, first_ + buckets_.size());
  buckets_.resize(end - first_);
}

void LatencySketch::add(Duration value) noexcept {
  value = std::max<Duration>(value, 0);
  const std::size_t bucket = bucket_of(value);
  if (bucket < first_ || bucket - first_ >= buckets_.size()) cover(bucket, bucket);
  ++buckets_[bucket - first_];
  min_ = count_ == 0 ? value : std::min(min_, value);
  max_ = std::max(max_, value);
  sum_ = add_saturated(sum_, value);
  ++count_;
}

void LatencySketch::merge(const LatencySketch& other) {
  if (other.count_ == 0) return;
  cover(other.first_, other.first_ + other.buckets_.size() - 1);
  const std::size_t offset = other.first_ - first_;
  for (std::size_t i = 0; i < other.buckets_.size(); ++i) buckets_[offset + i] += other.buckets_[i];
  min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_ = add_saturated(sum_, other.sum_);
  count_ += other.count_;
}

Duration LatencySketch::quantile_permille(std::int64_t permille) const noexcept {
  if (count_ == 0) return 0;
  permille = std::clamp<std::int64_t>(permille, 0, 1000);
  // ceil(count x permille / 1000) without the product.
  const std::int64_t rank = count_ / 1000 * permille + (count_ % 1000 * permille + 999) / 1000;
  if (rank <= 1) return min_;
  if (rank >= count_) return max_;
  std::int64_t seen = 0;
  std::size_t i = 0;
  while (seen + buckets_[i] < rank) seen += buckets_[i++];
  return std::clamp(midpoint_of(first_ + i), min_, max_);
}

}  // namespace llmcore
