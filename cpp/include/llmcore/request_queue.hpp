// Calls that wait for their turn in one lane: HIGH before MEDIUM before LOW, first in first out inside a class.
//
// Admission tests the class's cap and the total's; a refused call hears at once why. Expired calls are taken out before
// they could be dispatched. Externally synchronised.
//
// Calls that come in the order of their deadlines, as those of one timeout do, cost O(1) to push, pop, remove and
// expire each; one whose deadline is out of that order, and one that is restored, costs O(log n). Everything else is
// O(1). About 130 bytes for each of the most calls that ever waited at once.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "llmcore/slot_table.hpp"
#include "llmcore/types.hpp"

namespace llmcore {

struct RequestQueueConfig {
  /// Most calls that may wait per class and in all. 0: none of that class is accepted.
  std::array<std::int64_t, kPriorityCount> class_capacity{5, 3, 10};
  std::int64_t total_capacity = 15;
  /// Longest wait per class; 0: as long as the caller's own deadline allows.
  std::array<Duration, kPriorityCount> class_timeout{3 * kSecond, 10 * kSecond, 5 * kSecond};
  /// One dispatch in so many goes to the oldest LOW, so that it never starves; 0: strict order. A turn that no LOW was
  /// there to take is kept for the next one that comes, but never more than one turn.
  std::int64_t low_share = 0;

  /// 5 HIGH, 3 MEDIUM, 10 LOW, 15 in all; 3 s, 10 s, 5 s; strict order. The default.
  [[nodiscard]] static RequestQueueConfig game() noexcept { return {}; }
  /// 10,000 in all, no class caps below that, waits as the caller's deadline says, one dispatch in 20 to the oldest
  /// LOW.
  [[nodiscard]] static RequestQueueConfig server() noexcept;

  /// Nullptr when usable, otherwise what is wrong with it.
  [[nodiscard]] const char* problem() const noexcept;
};

class RequestQueue {
 public:
  using Id = std::uint64_t;

  enum class Admission : std::uint8_t { accepted, class_full, total_full, duplicate };

  struct Stats {
    std::array<std::int64_t, kPriorityCount> waiting{};
    std::int64_t total = 0;
    std::int64_t accepted = 0;
    std::int64_t restored = 0;  ///< accepted + restored = dispatched + expired + removed + total
    std::int64_t dispatched = 0;
    std::int64_t expired = 0;
    std::int64_t removed = 0;
    std::int64_t refused_class = 0;
    std::int64_t refused_total = 0;
    std::int64_t peak = 0;  ///< most that ever waited at once
  };

  /// Throws std::invalid_argument when config.problem() names one.
  explicit RequestQueue(const RequestQueueConfig& config);

  /// Adds a call that waits until `deadline` (kNever: no limit of its own) or its class's timeout, whichever is
  /// earlier. A deadline that is past already is no reason to refuse: the next expire() takes the call out. An id that
  /// waits already is refused as a duplicate. When both caps are reached, the class's is the reason given.
  Admission push(Id id, Priority priority, Instant deadline, Instant now);
  /// Puts a call that had been dispatched back to where it stood: before every younger call of its class, whatever the
  /// caps say. `seq` is what pop() gave it. Its waiting time starts anew: the class's timeout counts from `now`. Does
  /// nothing if the id waits already.
  void restore(Id id, Priority priority, std::uint64_t seq, Instant deadline, Instant now);

  struct Entry {
    Id id = 0;
    Priority priority = Priority::medium;
    std::uint64_t seq = 0;  ///< order of arrival
    Instant queued_at = 0;
  };
  /// The call that pop() would return.
  [[nodiscard]] std::optional<Entry> peek() const noexcept;
  /// Takes out the next call. Call expire() first: pop() does not look at the clock.
  std::optional<Entry> pop();
  /// Takes a call out wherever it stands; false if it does not wait here.
  bool remove(Id id);
  /// Takes out every call whose time is over, that is whose deadline is `now` or earlier; earliest first, then by id.
  std::vector<Entry> expire(Instant now);
  /// When the next call expires; kNever if none does.
  [[nodiscard]] Instant next_expiry() const noexcept;

  [[nodiscard]] bool contains(Id id) const noexcept;
  [[nodiscard]] std::int64_t size() const noexcept { return stats_.total; }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] Stats stats() const noexcept { return stats_; }
  [[nodiscard]] std::uint64_t state_hash() const noexcept;

 private:
  using Slot = SlotTable::Slot;
  static constexpr Slot kNone = SlotTable::kNone;

  // Where a call stands in one order: between its neighbours in the list, or at a position in the heap.
  struct Hook {
    Slot before = kNone;
    Slot after = kNone;
  };
  struct Node {
    Id id = 0;
    std::uint64_t seq = 0;
    Instant queued_at = 0;
    Instant expires_at = 0;
    std::uint64_t fold = 0;  // of the four above and the class
    Hook arrival;            // `after` is the next free slot where nobody waits
    Hook expiry;
    std::uint32_t hash = 0;  // of the id
    Priority priority = Priority::medium;
    bool arrival_in_heap = false;
    bool expiry_in_heap = false;
  };
  struct Key {
    std::uint64_t first;
    Id id;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Item {
    Key key;
    Slot slot;
  };
  // Slots in the order of a key: those that came in that order in a list, those that did not in a heap of four
  // children each.
  struct Order {
    Slot oldest = kNone;
    Slot newest = kNone;
    std::vector<Item> heap;
  };
  struct ByArrival;
  struct ByExpiry;

  template <class By>
  void enter(Order& order, Slot slot);
  template <class By>
  void leave(Order& order, Slot slot) noexcept;
  template <class By>
  void sift_up(Order& order, std::size_t at, const Item& item) noexcept;
  template <class By>
  void sift_down(Order& order, std::size_t at, const Item& item) noexcept;
  template <class By>
  [[nodiscard]] Slot first(const Order& order) const noexcept;

  [[nodiscard]] Slot find(Id id, std::uint32_t hash) const noexcept;
  [[nodiscard]] Slot first_to_expire() const noexcept;
  [[nodiscard]] Instant expiry(Priority priority, Instant deadline, Instant now) const noexcept;
  void insert(Id id, std::uint32_t hash, Priority priority, std::uint64_t seq, Instant deadline, Instant now);
  Entry take(Slot slot) noexcept;
  [[nodiscard]] Entry entry_of(Slot slot) const noexcept;
  [[nodiscard]] std::optional<Priority> next_class() const noexcept;
  [[nodiscard]] static std::uint64_t fold_of(const Node& node) noexcept;

  RequestQueueConfig config_;
  std::vector<Node> nodes_;
  Slot free_ = kNone;
  SlotTable slot_of_id_;
  std::array<Order, kPriorityCount> arrivals_;
  std::array<Order, kPriorityCount>
      expiries_;  // of those that expire at all; by class: one timeout keeps them in order
  std::uint64_t next_seq_ = 1;
  std::int64_t since_low_ = 0;  // dispatches since LOW had its turn, held at low_share - 1: its turn is due
  std::uint64_t fold_ = 0;      // of all that wait, so that state_hash() need not visit them
  Stats stats_;                 // `waiting` and `total` too
};

}  // namespace llmcore
