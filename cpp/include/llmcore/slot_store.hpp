// Elements by slot number, in chunks that never move: growing copies nothing, holds no second copy in the meantime, and
// leaves no hole behind.
//
// Slots are given out in order and never taken back; reusing one is its owner's affair. Externally synchronised. O(1);
// 8 bytes for each chunk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace llmcore {

template <class Element>
class SlotStore {
 public:
  [[nodiscard]] Element& operator[](std::size_t slot) noexcept { return chunks_[slot / kChunk][slot % kChunk]; }
  [[nodiscard]] const Element& operator[](std::size_t slot) const noexcept {
    return chunks_[slot / kChunk][slot % kChunk];
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// Adds an element at slot size().
  void append() {
    if (size_ % kChunk == 0) chunks_.push_back(std::make_unique<Element[]>(kChunk));
    ++size_;
  }

  void clear() noexcept {
    std::vector<std::unique_ptr<Element[]>>().swap(chunks_);  // = {} would keep its memory
    size_ = 0;
  }

 private:
  static constexpr std::size_t kChunk = 128;

  std::vector<std::unique_ptr<Element[]>> chunks_;
  std::size_t size_ = 0;
};

}  // namespace llmcore
