#include "llmcore/io/uuid7.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <random>
#include <string_view>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/types.h>
#include <unistd.h>
#endif
#if defined(__linux__)
#include <sys/random.h>
#endif

namespace llmcore::io {
namespace {

constexpr unsigned kCounterBits = 12;
constexpr std::uint64_t kMostMilliseconds = (std::uint64_t{1} << 48) - 1;
// A new millisecond starts its counter in the lower half, which leaves at least 2,048 ids before it runs into the next.
constexpr std::uint64_t kCounterSeedMask = (std::uint64_t{1} << (kCounterBits - 1)) - 1;

using Words = std::array<std::uint64_t, 32>;

bool fill_from_kernel([[maybe_unused]] Words& words) noexcept {
#if defined(__linux__)
  std::array<unsigned char, sizeof(Words)> bytes;
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t got = getrandom(bytes.data() + have, bytes.size() - have, 0);
    if (got > 0) {
      have += static_cast<std::size_t>(got);
    } else if (got < 0 && errno != EINTR) {
      return false;
    }
  }
  std::memcpy(words.data(), bytes.data(), bytes.size());
  return true;
#else
  return false;
#endif
}

void fill(Words& words) {
  if (fill_from_kernel(words)) return;
  std::random_device device;
  for (auto& word : words) word = (std::uint64_t{device()} << 32U) | (device() & 0xFFFF'FFFFU);
}

std::int64_t process_id() noexcept {
#if defined(__unix__) || defined(__APPLE__)
  return static_cast<std::int64_t>(getpid());
#else
  return 0;
#endif
}

/// Random words of one thread. It looks at the process before every word, so that a forked child never uses a word that
/// its parent may use as well.
class RandomWords {
 public:
  std::uint64_t next() {
    const std::int64_t process = process_id();
    if (used_ == words_.size() || process != process_) {
      fill(words_);
      process_ = process;
      used_ = 0;
    }
    return words_[used_++];
  }

 private:
  Words words_{};
  std::size_t used_ = std::tuple_size_v<Words>;
  std::int64_t process_ = -1;
};

/// Milliseconds and counter as one number, the last one handed out. Without a lock: a fork while another thread holds
/// one would leave it locked in the child for ever.
std::uint64_t advance(std::uint64_t milliseconds, RandomWords& random) {
  static constinit std::atomic<std::uint64_t> shared{0};
  std::uint64_t last = shared.load(std::memory_order_relaxed);
  for (;;) {
    // Within a millisecond, or behind it when the clock went back, the counter goes on, into the milliseconds when it
    // is full.
    const bool later = milliseconds > (last >> kCounterBits);
    const std::uint64_t next = later ? (milliseconds << kCounterBits) | (random.next() & kCounterSeedMask) : last + 1;
    if (shared.compare_exchange_weak(last, next, std::memory_order_relaxed)) return next;
  }
}

constexpr bool is_hyphen_place(std::size_t i) noexcept { return i == 8 || i == 13 || i == 18 || i == 23; }

int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string uuid7(WallTime wall) {
  thread_local RandomWords random;
  const auto milliseconds = static_cast<std::uint64_t>(std::max<WallTime>(wall, 0) / kMillisecond);
  const std::uint64_t place = advance(std::min(milliseconds, kMostMilliseconds), random);
  const std::uint64_t counter = place & ((std::uint64_t{1} << kCounterBits) - 1);
  const std::uint64_t high = ((place >> kCounterBits) << 16U) | 0x7000U | counter;
  const std::uint64_t low = (std::uint64_t{0b10} << 62U) | (random.next() >> 2U);

  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(36, '-');
  unsigned nibble = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_hyphen_place(i)) continue;
    const std::uint64_t half = nibble < 16 ? high : low;
    text[i] = kDigits[(half >> (60U - 4U * (nibble % 16U))) & 0xFU];
    ++nibble;
  }
  return text;
}

std::int64_t uuid7_milliseconds(const std::string& text) noexcept {
  if (text.size() != 36) return -1;
  std::int64_t milliseconds = 0;
  unsigned nibble = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_hyphen_place(i)) {
      if (text[i] != '-') return -1;
      continue;
    }
    const int value = hex_value(text[i]);
    if (value < 0) return -1;
    if (nibble < 12) milliseconds = milliseconds * 16 + value;
    if (nibble == 12 && value != 7) return -1;
    if (nibble == 16 && (value & 0b1100) != 0b1000) return -1;
    ++nibble;
  }
  return milliseconds;
}

}  // namespace llmcore::io
