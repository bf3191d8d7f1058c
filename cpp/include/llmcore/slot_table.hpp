// Which slot of a table somewhere else belongs to a key: the index of every mechanism that keeps its entries in slots.
//
// Open addressing with linear probing; a cell is a 32-bit hash and a slot, so a look compares keys only where all 32
// bits agree. The owner keeps the keys, hashes them (well: the low bits choose the cell) and tells equal ones. Erasing
// leaves no gap behind, so that looks do not grow longer with age. Externally synchronised. O(1) amortised; 16 to 32
// bytes for each entry. Nothing iterates, so the hash decides nothing but speed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace llmcore {

class SlotTable {
 public:
  using Slot = std::uint32_t;
  /// No slot.
  static constexpr Slot kNone = std::numeric_limits<Slot>::max();

  /// The slot that was inserted with this hash and for which `same(slot)` holds, or kNone.
  template <class Same>
  [[nodiscard]] Slot find(std::uint32_t hash, Same&& same) const noexcept {
    if (cells_.empty()) return kNone;
    for (std::size_t at = hash & mask_;; at = (at + 1) & mask_) {
      const Cell& cell = cells_[at];
      if (cell.slot == kNone) return kNone;
      if (cell.hash == hash && same(cell.slot)) return cell.slot;
    }
  }

  /// Adds a slot that is not in the table.
  void insert(std::uint32_t hash, Slot slot) {
    if (2 * (count_ + 1) > cells_.size()) grow();  // fuller, the chains cost more than the memory
    place({hash, slot});
    ++count_;
  }

  /// Takes out a slot that is in the table, with the hash that it was inserted with.
  void erase(std::uint32_t hash, Slot slot) noexcept {
    std::size_t gap = hash & mask_;
    while (cells_[gap].slot != slot) gap = (gap + 1) & mask_;
    --count_;
    // Whatever follows and would not be found across the gap moves into it.
    for (std::size_t at = (gap + 1) & mask_; cells_[at].slot != kNone; at = (at + 1) & mask_) {
      const std::size_t from_home = (at - cells_[at].hash) & mask_;
      if (from_home < ((at - gap) & mask_)) continue;
      cells_[gap] = cells_[at];
      gap = at;
    }
    cells_[gap].slot = kNone;
  }

  void clear() noexcept {
    cells_.clear();
    cells_.shrink_to_fit();
    count_ = 0;
  }

 private:
  struct Cell {
    std::uint32_t hash = 0;
    Slot slot = kNone;
  };

  void place(Cell cell) noexcept {
    std::size_t at = cell.hash & mask_;
    while (cells_[at].slot != kNone) at = (at + 1) & mask_;
    cells_[at] = cell;
  }

  void grow() {
    constexpr std::size_t kFewest = 16;
    std::vector<Cell> larger(cells_.empty() ? kFewest : 2 * cells_.size());
    larger.swap(cells_);
    mask_ = cells_.size() - 1;
    for (const Cell& cell : larger) {
      if (cell.slot != kNone) place(cell);
    }
  }

  std::vector<Cell> cells_;  // a power of two of them
  std::size_t mask_ = 0;
  std::size_t count_ = 0;
};

}  // namespace llmcore
