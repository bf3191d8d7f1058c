// Reads MessagePack where it lies: no copies, no allocation, every length checked against what is left.
//
// A reader walks over one value after the other. The first thing that is not what was asked for makes it fail, and it
// stays failed: ask ok() once at the end. Not thread-safe; each step O(1) but for skip(), O(bytes), and for text(),
// which checks that it is UTF-8.
// Source of the format: https://github.com/msgpack/msgpack/blob/master/spec.md
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace llmcore {

class MsgpackReader {
 public:
  explicit MsgpackReader(std::string_view bytes) noexcept : bytes_(bytes) {}

  /// How many values, or pairs of them, come next; 0 when it is no array or map.
  std::size_t array() noexcept;
  std::size_t map() noexcept;
  /// UTF-8; empty when it is none.
  std::string_view text() noexcept;
  /// Any integer that fits; 0 when it does not.
  std::int64_t integer() noexcept;
  /// A floating-point number or an integer.
  double real() noexcept;
  bool boolean() noexcept;
  /// Steps over a nil if one is next.
  bool nil() noexcept;
  std::optional<std::string_view> optional_text() noexcept;
  std::optional<std::int64_t> optional_integer() noexcept;
  std::optional<double> optional_real() noexcept;
  /// Steps over one value, whatever it is and holds.
  void skip() noexcept;
  /// From now on it has failed.
  void fail() noexcept { failed_ = true; }

  [[nodiscard]] bool ok() const noexcept { return !failed_; }
  /// Whether everything is read.
  [[nodiscard]] bool at_end() const noexcept { return at_ == bytes_.size(); }

 private:
  std::uint8_t byte() noexcept;
  std::uint64_t big_endian(std::size_t size) noexcept;
  std::string_view take(std::uint64_t size) noexcept;
  std::size_t count(std::uint64_t values, std::size_t at_least) noexcept;

  std::string_view bytes_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

}  // namespace llmcore
