#include "llmcore/types.hpp"

namespace llmcore {
namespace {

using Bucket = std::int64_t Usage::*;

// Every counter of Usage: what holds for one bucket holds for all.
constexpr Bucket kBuckets[] = {
    &Usage::input_uncached, &Usage::cache_read,  &Usage::cache_write_5m, &Usage::cache_write_1h,
    &Usage::output_text,    &Usage::reasoning,   &Usage::audio_input,    &Usage::audio_cache_read,
    &Usage::audio_output,   &Usage::image_input, &Usage::image_output,   &Usage::images,
};

// Counts up to here survive a trip through a double (JSON, NumPy), and a dozen of them fit in 64 bits.
constexpr std::int64_t kLargestCount = std::int64_t{1} << 53;

}  // namespace

bool Usage::valid() const noexcept {
  for (const Bucket bucket : kBuckets) {
    if (this->*bucket < 0 || this->*bucket > kLargestCount) return false;
  }
  return true;
}

Usage& Usage::operator+=(const Usage& other) noexcept {
  for (const Bucket bucket : kBuckets) this->*bucket = add_saturated(this->*bucket, other.*bucket);
  estimated = estimated || other.estimated;
  return *this;
}

}  // namespace llmcore
