// A hash table from hashes to slots that grows by one bucket with each insertion (linear hashing; Litwin, VLDB 1980):
// no insertion ever rehashes the table.
//
// find and insert visit the chain of one bucket, one element on average, and insert splits one more. Nothing is removed.
// Slots are given in order: the n-th insertion is of slot n. Copyable. Externally synchronised.
#pragma once

#include <cstdint>

#include "slab.hpp"

namespace llmcore {

class LinearIndex {
 public:
  LinearIndex() {
    for (std::uint64_t bucket = 0; bucket <= kFirstMask; ++bucket) heads_.push(kNoSlot);
  }

  /// The first slot with this hash that `match` accepts, or kNoSlot. Adds the elements it visited to `steps`.
  template <class Match>
  [[nodiscard]] Slot find(std::uint64_t hash, std::int64_t& steps, Match&& match) const {
    for (Slot slot = heads_[bucket_of(hash)]; slot != kNoSlot; slot = nodes_[slot].next) {
      ++steps;
      if (nodes_[slot].hash == hash && match(slot)) return slot;
    }
    return kNoSlot;
  }

  Slot insert(std::uint64_t hash, std::int64_t& steps) {
    split(steps);
    Slot& head = heads_[bucket_of(hash)];
    head = nodes_.push({hash, head});
    return head;
  }

 private:
  struct Node {
    std::uint64_t hash = 0;
    Slot next = kNoSlot;
  };
  static constexpr std::uint64_t kFirstMask = 15;

  // Buckets below the split have been split already, so that one more bit of the hash tells.
  [[nodiscard]] Slot bucket_of(std::uint64_t hash) const noexcept {
    const std::uint64_t bucket = hash & mask_;
    return static_cast<Slot>(bucket < split_ ? hash & (2 * mask_ + 1) : bucket);
  }

  void split(std::int64_t& steps) {
    if (nodes_.size() < heads_.size()) return;
    const std::uint64_t upper_bit = mask_ + 1;
    Slot rest = heads_[static_cast<Slot>(split_)];
    Slot lower = kNoSlot;
    Slot upper = kNoSlot;
    while (rest != kNoSlot) {
      ++steps;
      Node& node = nodes_[rest];
      Slot& list = (node.hash & upper_bit) != 0 ? upper : lower;
      const Slot next = node.next;
      node.next = list;
      list = rest;
      rest = next;
    }
    heads_[static_cast<Slot>(split_)] = lower;
    heads_.push(upper);
    if (++split_ == upper_bit) {
      mask_ = 2 * mask_ + 1;
      split_ = 0;
    }
  }

  Slab<Node> nodes_;
  Slab<Slot> heads_;
  std::uint64_t mask_ = kFirstMask;
  std::uint64_t split_ = 0;
};

}  // namespace llmcore
