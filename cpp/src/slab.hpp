// A sequence that grows in chunks and moves nothing: no element is ever copied because another one was added.
//
// push and [] are O(1), without the spike of a vector that doubles. Copyable. Externally synchronised.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace llmcore {

using Slot = std::uint32_t;
inline constexpr Slot kNoSlot = 0xFFFF'FFFF;

template <class T>
class Slab {
 public:
  Slab() = default;
  Slab(const Slab& other) : size_(other.size_) {
    chunks_.reserve(other.chunks_.size());
    for (const auto& chunk : other.chunks_) chunks_.push_back(std::make_unique<Chunk>(*chunk));
  }
  Slab(Slab&&) noexcept = default;
  Slab& operator=(Slab other) noexcept {
    chunks_ = std::move(other.chunks_);
    size_ = other.size_;
    return *this;
  }
  ~Slab() = default;

  Slot push(T value) {
    if (size_ % kChunk == 0) chunks_.push_back(std::make_unique<Chunk>());
    (*this)[static_cast<Slot>(size_)] = std::move(value);
    return static_cast<Slot>(size_++);
  }
  [[nodiscard]] T& operator[](Slot slot) noexcept { return (*chunks_[slot / kChunk])[slot % kChunk]; }
  [[nodiscard]] const T& operator[](Slot slot) const noexcept { return (*chunks_[slot / kChunk])[slot % kChunk]; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  // Small elements in larger chunks: the list of chunks is what a vector still doubles, so it has to stay short.
  static constexpr std::size_t kChunk = sizeof(T) <= 32 ? 256 : 32;
  using Chunk = std::array<T, kChunk>;

  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::size_t size_ = 0;
};

}  // namespace llmcore
