// Calls that wait for their turn in one lane: HIGH before MEDIUM before LOW, first in first out inside a class.
//
// Admission tests the class's cap and the total's; a refused call hears at once why. Expired calls are taken out before
// they could be dispatched. Externally synchronised. push, restore, pop and remove: O(log n); expire: O(log n) for each
// call it takes out; everything else O(1).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

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
  [[nodiscard]] std::int64_t size() const noexcept;
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] Stats stats() const noexcept;
  [[nodiscard]] std::uint64_t state_hash() const noexcept;

 private:
  struct Waiting {
    Priority priority;
    std::uint64_t seq;
    Instant queued_at;
    Instant expires_at;
  };
  [[nodiscard]] Instant expiry(Priority priority, Instant deadline, Instant now) const noexcept;
  void insert(Id id, const Waiting& waiting);
  Entry take(Id id);
  [[nodiscard]] std::optional<Priority> next_class() const noexcept;
  [[nodiscard]] static std::uint64_t fold(Id id, const Waiting& waiting) noexcept;

  RequestQueueConfig config_;
  std::array<std::set<std::pair<std::uint64_t, Id>>, kPriorityCount> order_;  // by seq: first in first out
  std::set<std::pair<Instant, Id>> expiries_;                                 // of those that expire at all
  std::unordered_map<Id, Waiting> waiting_;  // never iterated: its order must not decide
  std::uint64_t next_seq_ = 1;
  std::int64_t since_low_ = 0;  // dispatches since LOW had its turn, held at low_share - 1: its turn is due
  std::uint64_t fold_ = 0;      // of all that wait, so that state_hash() need not visit them
  Stats stats_;
};

}  // namespace llmcore
