#include "llmcore/types.hpp"

namespace llmcore {
namespace {

// Counts up to here survive a trip through a double (JSON, NumPy), and a dozen of them fit in 64 bits.
constexpr std::int64_t kLargestCount = std::int64_t{1} << 53;

}  // namespace

bool Usage::valid() const noexcept {
  for (const auto bucket : kUsageBuckets) {
    if (this->*bucket < 0 || this->*bucket > kLargestCount) return false;
  }
  return true;
}

Usage& Usage::operator+=(const Usage& other) noexcept {
  for (const auto bucket : kUsageBuckets) this->*bucket = add_saturated(this->*bucket, other.*bucket);
  estimated = estimated || other.estimated;
  return *this;
}

}  // namespace llmcore
