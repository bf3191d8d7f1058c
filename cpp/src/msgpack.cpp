#include "llmcore/msgpack.hpp"

#include <bit>
#include <limits>

#include "text.hpp"

namespace llmcore {
namespace {

constexpr std::uint8_t kNil = 0xc0, kFalse = 0xc2, kTrue = 0xc3;
constexpr std::uint8_t kFloat = 0xca, kDouble = 0xcb;
constexpr std::uint8_t kUnsigned = 0xcc, kSigned = 0xd0;  // of 1, 2, 4, 8 bytes
constexpr std::uint8_t kText = 0xd9, kArray = 0xdc, kMap = 0xde;

}  // namespace

std::uint8_t MsgpackReader::byte() noexcept {
  if (failed_ || at_ >= bytes_.size()) {
    failed_ = true;
    return 0;
  }
  return static_cast<std::uint8_t>(bytes_[at_++]);
}

std::uint64_t MsgpackReader::big_endian(std::size_t size) noexcept {
  std::uint64_t value = 0;
  for (const char c : take(size)) value = value << 8 | static_cast<std::uint8_t>(c);
  return value;
}

std::string_view MsgpackReader::take(std::uint64_t size) noexcept {
  if (failed_ || size > bytes_.size() - at_) {
    failed_ = true;
    return {};
  }
  const std::string_view taken = bytes_.substr(at_, static_cast<std::size_t>(size));
  at_ += taken.size();
  return taken;
}

// Every value has a byte of its own: more of them than bytes are left is a lie.
std::size_t MsgpackReader::count(std::uint64_t values, std::size_t at_least) noexcept {
  if (failed_ || values > (bytes_.size() - at_) / at_least) {
    failed_ = true;
    return 0;
  }
  return static_cast<std::size_t>(values);
}

std::size_t MsgpackReader::array() noexcept {
  const std::uint8_t head = byte();
  if (head >> 4 == 0x9) return count(head & 0x0f, 1);
  if (head == kArray) return count(big_endian(2), 1);
  if (head == kArray + 1) return count(big_endian(4), 1);
  failed_ = true;
  return 0;
}

std::size_t MsgpackReader::map() noexcept {
  const std::uint8_t head = byte();
  if (head >> 4 == 0x8) return count(head & 0x0f, 2);
  if (head == kMap) return count(big_endian(2), 2);
  if (head == kMap + 1) return count(big_endian(4), 2);
  failed_ = true;
  return 0;
}

std::string_view MsgpackReader::text() noexcept {
  const std::uint8_t head = byte();
  std::string_view text;
  if (head >> 5 == 0x5) {
    text = take(head & 0x1f);
  } else if (head >= kText && head <= kText + 2) {
    text = take(big_endian(std::size_t{1} << (head - kText)));
  } else {
    failed_ = true;
  }
  if (!is_utf8(text)) failed_ = true;
  return failed_ ? std::string_view{} : text;
}

std::int64_t MsgpackReader::integer() noexcept {
  const std::uint8_t head = byte();
  if (head < 0x80) return head;
  if (head >= 0xe0) return static_cast<std::int8_t>(head);
  if (head >= kUnsigned && head < kUnsigned + 4) {
    const std::uint64_t value = big_endian(std::size_t{1} << (head - kUnsigned));
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) failed_ = true;
    return failed_ ? 0 : static_cast<std::int64_t>(value);
  }
  if (head >= kSigned && head < kSigned + 4) {
    const std::size_t size = std::size_t{1} << (head - kSigned);
    const std::uint64_t value = big_endian(size);
    const std::size_t unused = 64 - 8 * size;
    return static_cast<std::int64_t>(value << unused) >> unused;  // keeps the sign
  }
  failed_ = true;
  return 0;
}

double MsgpackReader::real() noexcept {
  if (at_ < bytes_.size()) {
    const auto head = static_cast<std::uint8_t>(bytes_[at_]);
    if (head == kFloat) {
      ++at_;
      return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(big_endian(4))));
    }
    if (head == kDouble) {
      ++at_;
      return std::bit_cast<double>(big_endian(8));
    }
  }
  return static_cast<double>(integer());
}

bool MsgpackReader::boolean() noexcept {
  const std::uint8_t head = byte();
  if (head != kFalse && head != kTrue) failed_ = true;
  return head == kTrue;
}

bool MsgpackReader::nil() noexcept {
  if (failed_ || at_ >= bytes_.size() || static_cast<std::uint8_t>(bytes_[at_]) != kNil) return false;
  ++at_;
  return true;
}

std::optional<std::string_view> MsgpackReader::optional_text() noexcept {
  if (nil()) return std::nullopt;
  return text();
}

std::optional<std::int64_t> MsgpackReader::optional_integer() noexcept {
  if (nil()) return std::nullopt;
  return integer();
}

std::optional<double> MsgpackReader::optional_real() noexcept {
  if (nil()) return std::nullopt;
  return real();
}

// Not recursive: what is nested deep must not exhaust the stack.
void MsgpackReader::skip() noexcept {
  std::uint64_t left = 1;
  while (left != 0 && !failed_) {
    --left;
    const std::uint8_t head = byte();
    std::uint64_t size = 0;
    if (head < 0x80 || head >= 0xe0 || head == kNil || head == kFalse || head == kTrue) continue;
    if (head >> 5 == 0x5) {
      size = head & 0x1f;
    } else if (head >> 4 == 0x9) {
      left += count(head & 0x0f, 1);
    } else if (head >> 4 == 0x8) {
      left += 2 * count(head & 0x0f, 2);
    } else if (head >= 0xc4 && head <= 0xc6) {  // bytes
      size = big_endian(std::size_t{1} << (head - 0xc4));
    } else if (head >= 0xc7 && head <= 0xc9) {  // a type of somebody's own, with a length
      size = big_endian(std::size_t{1} << (head - 0xc7)) + 1;
    } else if (head == kFloat) {
      size = 4;
    } else if (head == kDouble) {
      size = 8;
    } else if (head >= kUnsigned && head < kUnsigned + 4) {
      size = std::uint64_t{1} << (head - kUnsigned);
    } else if (head >= kSigned && head < kSigned + 4) {
      size = std::uint64_t{1} << (head - kSigned);
    } else if (head >= 0xd4 && head <= 0xd8) {  // a type of somebody's own, of 1, 2, 4, 8 or 16 bytes
      size = (std::uint64_t{1} << (head - 0xd4)) + 1;
    } else if (head >= kText && head <= kText + 2) {
      size = big_endian(std::size_t{1} << (head - kText));
    } else if (head == kArray || head == kArray + 1) {
      left += count(big_endian(head == kArray ? 2 : 4), 1);
    } else if (head == kMap || head == kMap + 1) {
      left += 2 * count(big_endian(head == kMap ? 2 : 4), 2);
    } else {
      failed_ = true;
    }
    take(size);
  }
}

}  // namespace llmcore
