// Clocks for drivers. The core never reads one.
//
// now(), mono() and wall() are stateless. SystemClock and ManualClock are clocks as values, for whoever takes one: see
// io/synchronized.hpp. All of it is thread-safe and O(1).
#pragma once

#include <atomic>
#include <memory>

#include "llmcore/types.hpp"

namespace llmcore::io {

/// Monotonic and UTC time of now. `mono` is the clock that Python's time.monotonic_ns() reads on the same platform.
[[nodiscard]] Now now() noexcept;
/// One of the two alone: each costs a reading of the system's clock.
[[nodiscard]] Instant mono() noexcept;
[[nodiscard]] WallTime wall() noexcept;
/// mono() of a moment ago, for a third of the price where the system has such a clock: never later than mono(), and as a
/// rule within ten milliseconds of it.
[[nodiscard]] Instant coarse_mono() noexcept;

/// The system's clocks.
struct SystemClock {
  [[nodiscard]] static Instant mono() noexcept { return io::mono(); }
  [[nodiscard]] static WallTime wall() noexcept { return io::wall(); }
};

/// A clock that stands still until it is told: for tests, for simulations and for games with a time of their own. A
/// copy is the same clock.
class ManualClock {
 public:
  explicit ManualClock(Now start = {}) : hands_(std::make_shared<Hands>(start)) {}

  [[nodiscard]] Instant mono() const noexcept { return hands_->mono.load(std::memory_order_acquire); }
  [[nodiscard]] WallTime wall() const noexcept { return hands_->wall.load(std::memory_order_acquire); }
  /// Moves both on by so much.
  void advance(Duration by) noexcept {
    hands_->mono.fetch_add(by, std::memory_order_acq_rel);
    hands_->wall.fetch_add(by, std::memory_order_acq_rel);
  }
  /// Moves them to any time, back as well.
  void set(Now to) noexcept {
    hands_->mono.store(to.mono, std::memory_order_release);
    hands_->wall.store(to.wall, std::memory_order_release);
  }

 private:
  struct Hands {
    explicit Hands(Now start) noexcept : mono(start.mono), wall(start.wall) {}
    std::atomic<Instant> mono;
    std::atomic<WallTime> wall;
  };
  std::shared_ptr<Hands> hands_;
};

}  // namespace llmcore::io
