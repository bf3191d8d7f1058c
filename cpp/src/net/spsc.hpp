// What passes between the game's thread and the worker: two rings, each with one thread at either end.
//
// Wait-free: no lock that the other side may hold while it does I/O or has lost its processor. All memory is taken once.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace llmcore::net {

/// Values, moved in at one end and out at the other.
template <class T>
class SpscQueue {
 public:
  /// Room for at least `capacity`.
  explicit SpscQueue(std::size_t capacity) : slots_(std::bit_ceil(capacity)), mask_(slots_.size() - 1) {}

  /// Where the next value goes, or nullptr while there is no room; the writer's until commit().
  [[nodiscard]] T* back() noexcept {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_seen_ == slots_.size()) {
      head_seen_ = head_.load(std::memory_order_acquire);
      if (tail - head_seen_ == slots_.size()) return nullptr;
    }
    return &slots_[tail & mask_];
  }
  void commit() noexcept { tail_.store(tail_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  /// The writer's. Whether the reader should come soon.
  [[nodiscard]] bool half_full() noexcept {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_seen_ <= slots_.size() / 2) return false;
    head_seen_ = head_.load(std::memory_order_acquire);
    return tail - head_seen_ > slots_.size() / 2;
  }

  /// False where there is no room: then `value` is as it was.
  bool push(T& value) noexcept {
    T* const slot = back();
    if (slot == nullptr) return false;
    *slot = std::move(value);
    commit();
    return true;
  }

  /// The oldest value, or nullptr. It is the reader's until pop().
  [[nodiscard]] T* front() noexcept {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_.load(std::memory_order_acquire)) return nullptr;
    return &slots_[head & mask_];
  }
  void pop() noexcept { head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

 private:
  std::vector<T> slots_;
  std::size_t mask_;
  alignas(64) std::atomic<std::size_t> tail_{0};
  std::size_t head_seen_ = 0;  // the writer's
  alignas(64) std::atomic<std::size_t> head_{0};
};

/// Messages of different lengths, each in one piece. What was read stays valid until the reader releases it.
class SpscBytes {
 public:
  static constexpr std::size_t kAlign = 16;

  /// Room for at least `capacity` bytes, the messages' frames (16 bytes each) included.
  explicit SpscBytes(std::size_t capacity)
      : size_(std::bit_ceil(capacity)), memory_(std::make_unique<Line[]>(size_ / kAlign)) {}

  /// The longest message that always fits into an empty ring.
  [[nodiscard]] std::size_t longest() const noexcept { return size_ / 4; }

  /// Room for a message of so many bytes, or nullptr while there is none; the writer's until commit().
  [[nodiscard]] char* reserve(std::size_t bytes) noexcept {
    const std::size_t frame = framed(bytes);
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    const std::size_t to_end = size_ - (tail & (size_ - 1));
    const std::size_t pad = frame <= to_end ? 0 : to_end;  // a message does not go around the corner
    if (tail + pad + frame - head_seen_ > size_) {
      head_seen_ = head_.load(std::memory_order_acquire);
      if (tail + pad + frame - head_seen_ > size_) return nullptr;
    }
    if (pad != 0) put_frame(tail, pad, true);
    put_frame(tail + pad, frame, false);
    reserved_ = tail + pad + frame;
    return at(tail + pad) + kAlign;
  }
  void commit() noexcept { tail_.store(reserved_, std::memory_order_release); }

  /// The next message, or nullptr.
  [[nodiscard]] const char* next() noexcept {
    for (;;) {
      if (read_ == tail_seen_) {
        tail_seen_ = tail_.load(std::memory_order_acquire);
        if (read_ == tail_seen_) return nullptr;
      }
      Frame frame;
      std::memcpy(&frame, at(read_), sizeof frame);
      const std::size_t start = read_;
      read_ += frame.size;
      if (!frame.padding) return at(start) + kAlign;
    }
  }
  /// Gives back all that next() gave.
  void release() noexcept { head_.store(read_, std::memory_order_release); }

 private:
  struct alignas(kAlign) Line {
    char bytes[kAlign];
  };
  struct Frame {
    std::uint64_t size;
    bool padding;
  };
  static_assert(sizeof(Frame) <= kAlign);

  static constexpr std::size_t framed(std::size_t bytes) noexcept {
    return kAlign + (bytes + kAlign - 1) / kAlign * kAlign;
  }
  [[nodiscard]] char* at(std::size_t position) const noexcept {
    return reinterpret_cast<char*>(memory_.get()) + (position & (size_ - 1));
  }
  void put_frame(std::size_t position, std::size_t size, bool padding) noexcept {
    const Frame frame{size, padding};
    std::memcpy(at(position), &frame, sizeof frame);
  }

  std::size_t size_;
  std::unique_ptr<Line[]> memory_;
  alignas(64) std::atomic<std::size_t> tail_{0};
  std::size_t reserved_ = 0;   // the writer's
  std::size_t head_seen_ = 0;  // the writer's
  alignas(64) std::atomic<std::size_t> head_{0};
  std::size_t read_ = 0;       // the reader's
  std::size_t tail_seen_ = 0;  // the reader's
};

}  // namespace llmcore::net
