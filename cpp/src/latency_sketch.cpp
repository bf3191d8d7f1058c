#include "llmcore/latency_sketch.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

namespace llmcore {
namespace {

constexpr std::size_t kPerOctave = 128;
constexpr int kOctaveBits = 7;
constexpr std::size_t kLongestList = 64;
constexpr int kCountBits = 32;
constexpr std::uint64_t kCountMask = (std::uint64_t{1} << kCountBits) - 1;

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

constexpr char kFormat = 1;
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

// Seven bits a byte, the lowest first; the eighth bit says that more follow.
void put(std::string& bytes, std::int64_t value) {
  auto rest = static_cast<std::uint64_t>(value);
  for (; rest >= 0x80; rest >>= 7) bytes.push_back(static_cast<char>((rest & 0x7F) | 0x80));
  bytes.push_back(static_cast<char>(rest));
}

// Takes a number from the front; empty: there is none that fits in 63 bits.
std::optional<std::int64_t> take(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 63 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return static_cast<std::int64_t>(value);
  }
  return std::nullopt;
}

struct Part {
  Duration sum;
  Duration min;
  Duration max;
};

// Takes one sketch from the front and tells `add` each of its buckets, which it may refuse; empty: it is none.
template <class Add>
std::optional<Part> read(std::string_view& bytes, Add&& add) {
  if (bytes.front() != kFormat) return std::nullopt;
  bytes.remove_prefix(1);
  const auto buckets = take(bytes);
  const auto sum = take(bytes);
  const auto min = take(bytes);
  const auto max = take(bytes);
  if (!buckets || !sum || !min || !max || *buckets < 1 || *min > *max || *sum < *max) return std::nullopt;

  std::size_t bucket = bucket_of(*min);
  const std::size_t last = bucket_of(*max);
  for (std::int64_t i = 0; i < *buckets; ++i) {
    const auto distance = take(bytes);
    const auto values = take(bytes);
    if (!distance || !values || *values < 1 || (*distance == 0) != (i == 0)) return std::nullopt;
    if (static_cast<std::uint64_t>(*distance) > last - bucket) return std::nullopt;
    bucket += static_cast<std::size_t>(*distance);
    if (!add(bucket, *values)) return std::nullopt;
  }
  if (bucket != last) return std::nullopt;
  return Part{*sum, *min, *max};
}

}  // namespace

/// Calls visit(bucket, count) for each bucket in use, ascending, until it answers false.
template <class Visit>
void LatencySketch::for_each(Visit&& visit) const {
  std::size_t bucket = first_;
  for (const std::uint64_t cell : cells_) {
    const std::uint64_t n = spread_ ? cell : cell & kCountMask;
    if (n != 0 && !visit(spread_ ? bucket : static_cast<std::size_t>(cell >> kCountBits), static_cast<std::int64_t>(n)))
      return;
    ++bucket;
  }
}

/// False: the list is too long for one more, or a count too large for it.
bool LatencySketch::add_to_list(std::size_t bucket, std::int64_t n) {
  const std::uint64_t key = std::uint64_t{bucket} << kCountBits;
  const auto place = std::lower_bound(cells_.begin(), cells_.end(), key);
  const bool there = place != cells_.end() && *place >> kCountBits == bucket;
  const auto limit = static_cast<std::int64_t>(kCountMask - (there ? *place & kCountMask : 0));
  if (n > limit || (!there && cells_.size() == kLongestList)) return false;
  if (there) {
    *place += static_cast<std::uint64_t>(n);
  } else {
    cells_.insert(place, key | static_cast<std::uint64_t>(n));
  }
  return true;
}

/// From the list to counters.
void LatencySketch::spread() {
  const std::vector<std::uint64_t> list = std::move(cells_);
  cells_ = {};
  spread_ = true;
  if (list.empty()) return;
  cover(static_cast<std::size_t>(list.front() >> kCountBits));
  cover(static_cast<std::size_t>(list.back() >> kCountBits));
  for (const std::uint64_t cell : list)
    cells_[static_cast<std::size_t>(cell >> kCountBits) - first_] += cell & kCountMask;
}

/// Makes room for a bucket, in whole octaves so that growing stays rare.
void LatencySketch::cover(std::size_t bucket) {
  const std::size_t octave = bucket - bucket % kPerOctave;
  if (cells_.empty()) first_ = octave;
  if (octave < first_) {
    cells_.insert(cells_.begin(), first_ - octave, 0);
    first_ = octave;
  }
  const std::size_t size = std::max(cells_.size(), octave + kPerOctave - first_);
  cells_.reserve(size);  // exactly: this is most of what a tracker's row takes
  cells_.resize(size);
}

void LatencySketch::add_to(std::size_t bucket, std::int64_t n) {
  if (!spread_) {
    if (add_to_list(bucket, n)) return;
    spread();
  }
  if (bucket < first_ || bucket - first_ >= cells_.size()) cover(bucket);
  cells_[bucket - first_] += static_cast<std::uint64_t>(n);
}

void LatencySketch::add(Duration value) noexcept {
  value = std::max<Duration>(value, 0);
  const std::size_t bucket = bucket_of(value);
  if (spread_ && bucket >= first_ && bucket - first_ < cells_.size()) {
    ++cells_[bucket - first_];
  } else {
    add_to(bucket, 1);
  }
  min_ = count_ == 0 ? value : std::min(min_, value);
  max_ = std::max(max_, value);
  sum_ = add_saturated(sum_, value);
  ++count_;
}

void LatencySketch::merge(const LatencySketch& other) {
  if (other.count_ == 0) return;
  if (&other == this) return merge(LatencySketch(other));
  if (other.spread_ && !spread_) spread();
  if (other.spread_) {
    cover(other.first_);
    cover(other.first_ + other.cells_.size() - 1);
  }
  other.for_each([this](std::size_t bucket, std::int64_t n) {
    add_to(bucket, n);
    return true;
  });
  min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_ = add_saturated(sum_, other.sum_);
  count_ += other.count_;
}

// Format, number of buckets, sum, minimum, maximum; then for each bucket how far it is from the one before (from that of
// the minimum, for the first), and how many values it holds.
std::string LatencySketch::to_bytes() const {
  std::string bytes;
  if (count_ == 0) return bytes;
  std::int64_t buckets = 0;
  for_each([&](std::size_t, std::int64_t) {
    ++buckets;
    return true;
  });
  bytes.push_back(kFormat);
  put(bytes, buckets);
  put(bytes, sum_);
  put(bytes, min_);
  put(bytes, max_);
  std::size_t before = bucket_of(min_);
  for_each([&](std::size_t bucket, std::int64_t n) {
    put(bytes, static_cast<std::int64_t>(bucket - before));
    put(bytes, n);
    before = bucket;
    return true;
  });
  return bytes;
}

bool LatencySketch::merge_bytes(std::string_view bytes) {
  // Read twice, so that what turns out to be wrong at its end has changed nothing.
  std::int64_t room = kMost - count_;
  for (std::string_view rest = bytes; !rest.empty();) {
    const auto part = read(rest, [&](std::size_t, std::int64_t n) {
      if (n > room) return false;
      room -= n;
      return true;
    });
    if (!part) return false;
  }
  while (!bytes.empty()) {
    std::int64_t count = 0;
    const auto part = read(bytes, [&](std::size_t bucket, std::int64_t n) {
      add_to(bucket, n);
      count += n;
      return true;
    });
    min_ = count_ == 0 ? part->min : std::min(min_, part->min);
    max_ = std::max(max_, part->max);
    sum_ = add_saturated(sum_, part->sum);
    count_ += count;
  }
  return true;
}

Duration LatencySketch::quantile_permille(std::int64_t permille) const noexcept {
  if (count_ == 0) return 0;
  permille = std::clamp<std::int64_t>(permille, 0, 1000);
  // ceil(count x permille / 1000) without the product.
  const std::int64_t rank = count_ / 1000 * permille + (count_ % 1000 * permille + 999) / 1000;
  if (rank <= 1) return min_;
  if (rank >= count_) return max_;
  std::int64_t seen = 0;
  std::size_t found = 0;
  for_each([&](std::size_t bucket, std::int64_t n) {
    found = bucket;
    seen += n;
    return seen < rank;
  });
  return std::clamp(midpoint_of(found), min_, max_);
}

}  // namespace llmcore
