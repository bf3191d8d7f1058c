// A mutual exclusion for sections of well under a microsecond, such as an operation of a component.
//
// One atomic exchange to take and one store to give back, where std::mutex costs twice that. Whoever finds it taken
// steps back for longer each time, which leaves the holder's cache alone: two threads that want it all the time get more
// done than with a mutex that hands over. After that it yields and in the end sleeps for moments, so that a holder who
// lost his processor gets it back, whatever the priorities are.
//
// Not fair, not recursive, and not for sections that wait for anything. Usable with std::lock_guard.
//
// fork(): a lock that another thread holds at that moment stays held in the child, as a std::mutex would. Fork while no
// other thread is inside, as a Python process does (its threads hold the interpreter's lock inside).
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

namespace llmcore::io {

class SpinLock {
 public:
  SpinLock() = default;
  SpinLock(const SpinLock&) = delete;
  SpinLock& operator=(const SpinLock&) = delete;

  void lock() noexcept {
    if (!taken_.exchange(true, std::memory_order_acquire)) return;
    wait();
  }
  [[nodiscard]] bool try_lock() noexcept { return !taken_.exchange(true, std::memory_order_acquire); }
  void unlock() noexcept { taken_.store(false, std::memory_order_release); }

 private:
  void wait() noexcept {
    constexpr unsigned kShortest = 16;
    constexpr unsigned kLongest = 2048;
    constexpr unsigned kYields = 256;
    unsigned pause = kShortest;
    unsigned yields = 0;
    for (;;) {
      if (pause <= kLongest) {
        for (unsigned i = 0; i < pause; ++i) relax();
        pause *= 2;
      } else if (yields < kYields) {
        std::this_thread::yield();
        ++yields;
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
      if (!taken_.load(std::memory_order_relaxed) && try_lock()) return;
    }
  }

  // Tells the processor that this is a wait: the other thread of its core gets more of it.
  static void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  std::atomic<bool> taken_{false};
};

}  // namespace llmcore::io
