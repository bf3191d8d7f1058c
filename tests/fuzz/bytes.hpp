// Values out of a fuzzer's bytes, and a check that stops it.
//
// When the bytes are used up everything is 0, false and empty, so that every input means something. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace llmcore::fuzz {

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  [[nodiscard]] bool empty() const noexcept { return rest_.empty(); }
  std::uint8_t byte() noexcept {
    if (rest_.empty()) return 0;
    const auto first = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return first;
  }
  bool flag() noexcept { return (byte() & 1U) != 0; }
  /// In [0, bound); bound must be > 0.
  std::size_t below(std::size_t bound) noexcept { return byte() % bound; }
  std::uint64_t word() noexcept {
    std::uint64_t word = 0;
    for (int i = 0; i < 8; ++i) word = word << 8U | byte();
    return word;
  }
  /// Any number there is, but mostly those that mean something: small ones, and the ends of the range.
  std::int64_t number() noexcept {
    switch (below(8)) {
      case 0: return static_cast<std::int64_t>(word());
      case 1: return static_cast<std::int64_t>(~std::uint64_t{0} >> 1U) - byte();
      case 2: return -std::int64_t{byte()};
      case 3: return std::int64_t{1} << below(63);
      case 4: return std::int64_t{byte()} * 1'000'000'000;
      case 5: return std::int64_t{byte()} * 1'000'000;
      default: return byte();
    }
  }
  /// So many bytes; all that is left if there are fewer.
  std::string_view take(std::size_t count) noexcept {
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  /// Up to 255 bytes.
  std::string_view text() noexcept { return take(byte()); }

 private:
  std::string_view rest_;
};

/// Not assert(): a fuzzer built without assertions must look all the same.
inline void require(bool holds, std::string_view law) {
  if (holds) return;
  std::fprintf(stderr, "a law was broken: %.*s\n", static_cast<int>(law.size()), law.data());
  std::abort();
}

}  // namespace llmcore::fuzz
