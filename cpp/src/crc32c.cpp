#include "llmcore/crc32c.hpp"

#include <array>
#include <bit>
#include <cstring>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define LLMCORE_CRC32C_X86 1
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
#define LLMCORE_CRC32C_ARM 1
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

namespace llmcore {
namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78;  // 0x1edc6f41, the lowest bit first

using Table = std::array<std::uint32_t, 256>;

constexpr std::uint32_t step(const Table& table, std::uint32_t state, std::uint8_t byte) noexcept {
  return (state >> 8U) ^ table[(state ^ byte) & 0xffU];
}

/// kTables[n][b]: the state after byte b and n bytes of zero, from state 0.
constexpr std::array<Table, 8> make_tables() noexcept {
  std::array<Table, 8> tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t state = byte;
    for (int bit = 0; bit < 8; ++bit) state = (state >> 1U) ^ ((state & 1U) != 0 ? kPolynomial : 0);
    tables[0][byte] = state;
  }
  for (std::size_t n = 1; n < tables.size(); ++n) {
    for (std::size_t byte = 0; byte < 256; ++byte) tables[n][byte] = step(tables[0], tables[n - 1][byte], 0);
  }
  return tables;
}

constexpr std::array<Table, 8> kTables = make_tables();

#if defined(LLMCORE_CRC32C_X86) || defined(LLMCORE_CRC32C_ARM)

/// What a number of zero bytes makes of a state, one table for each of its bytes: with it the checksums of neighbouring
/// stretches, computed side by side because the instruction takes three cycles and a new one can start in each, are
/// joined.
template <std::size_t Zeros>
struct Shift {
  std::array<Table, 4> tables{};
  constexpr Shift() noexcept {
    std::array<std::uint32_t, 32> of_bit{};
    for (unsigned bit = 0; bit < 32; ++bit) {
      std::uint32_t state = std::uint32_t{1} << bit;
      for (std::size_t n = 0; n < Zeros; ++n) state = step(kTables[0], state, 0);
      of_bit[bit] = state;
    }
    for (unsigned place = 0; place < 4; ++place) {
      for (unsigned byte = 1; byte < 256; ++byte) {
        const unsigned lowest = byte & (0U - byte);
        const auto bit = static_cast<unsigned>(std::countr_zero(lowest));
        tables[place][byte] = tables[place][byte ^ lowest] ^ of_bit[8 * place + bit];
      }
    }
  }
  std::uint32_t operator()(std::uint32_t state) const noexcept {
    return tables[0][state & 0xffU] ^ tables[1][(state >> 8U) & 0xffU] ^ tables[2][(state >> 16U) & 0xffU] ^
           tables[3][state >> 24U];
  }
};

constexpr std::size_t kLong = 256;
constexpr std::size_t kShort = 64;
constexpr Shift<kLong> kShiftLong;
constexpr Shift<kShort> kShiftShort;

std::uint64_t load(const std::uint8_t* p) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, p, sizeof(word));
  return word;
}

#endif

#ifdef LLMCORE_CRC32C_X86

#define LLMCORE_CRC32C_TARGET __attribute__((target("sse4.2")))

LLMCORE_CRC32C_TARGET inline std::uint64_t take_word(std::uint64_t state, std::uint64_t word) noexcept {
  return _mm_crc32_u64(state, word);
}
LLMCORE_CRC32C_TARGET inline std::uint32_t take_byte(std::uint32_t state, std::uint8_t byte) noexcept {
  return _mm_crc32_u8(state, byte);
}

bool has_crc_instructions() noexcept {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  constexpr unsigned kSse42 = 1U << 20U;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & kSse42) != 0;
}

#elif defined(LLMCORE_CRC32C_ARM)

#if defined(__clang__)
#define LLMCORE_CRC32C_TARGET __attribute__((target("crc")))
#else
#define LLMCORE_CRC32C_TARGET __attribute__((target("+crc")))
#endif

LLMCORE_CRC32C_TARGET inline std::uint64_t take_word(std::uint64_t state, std::uint64_t word) noexcept {
  return __builtin_arm_crc32cd(static_cast<std::uint32_t>(state), word);
}
LLMCORE_CRC32C_TARGET inline std::uint32_t take_byte(std::uint32_t state, std::uint8_t byte) noexcept {
  return __builtin_arm_crc32cb(state, byte);
}

bool has_crc_instructions() noexcept {
#if defined(__APPLE__)
  return true;  // every 64-bit processor of theirs
#elif defined(__linux__)
  constexpr unsigned long kCrc32 = 1UL << 7U;
  return (getauxval(AT_HWCAP) & kCrc32) != 0;
#else
  return false;
#endif
}

#endif

#if defined(LLMCORE_CRC32C_X86) || defined(LLMCORE_CRC32C_ARM)

template <std::size_t Stretch>
LLMCORE_CRC32C_TARGET inline std::uint64_t take_stretches(std::uint64_t state, const std::uint8_t*& bytes,
                                                          std::size_t& size, const Shift<Stretch>& shift) noexcept {
  while (size >= 3 * Stretch) {
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    for (std::size_t at = 0; at < Stretch; at += 8) {
      state = take_word(state, load(bytes + at));
      second = take_word(second, load(bytes + Stretch + at));
      third = take_word(third, load(bytes + 2 * Stretch + at));
    }
    state = shift(static_cast<std::uint32_t>(state)) ^ second;
    state = shift(static_cast<std::uint32_t>(state)) ^ third;
    bytes += 3 * Stretch;
    size -= 3 * Stretch;
  }
  return state;
}

LLMCORE_CRC32C_TARGET std::uint32_t extend_by_instruction(std::uint32_t crc, const std::uint8_t* bytes,
                                                          std::size_t size) noexcept {
  std::uint64_t state = ~crc;
  state = take_stretches(state, bytes, size, kShiftLong);
  state = take_stretches(state, bytes, size, kShiftShort);
  for (; size >= 8; bytes += 8, size -= 8) state = take_word(state, load(bytes));
  auto rest = static_cast<std::uint32_t>(state);
  for (; size > 0; ++bytes, --size) rest = take_byte(rest, *bytes);
  return ~rest;
}

#endif

}  // namespace

namespace detail {

std::uint32_t crc32c_extend_portable(std::uint32_t crc, const std::uint8_t* bytes, std::size_t size) noexcept {
  std::uint32_t state = ~crc;
  for (; size >= 8; bytes += 8, size -= 8) {
    const std::uint32_t low = state ^ (std::uint32_t{bytes[0]} | (std::uint32_t{bytes[1]} << 8U) |
                                       (std::uint32_t{bytes[2]} << 16U) | (std::uint32_t{bytes[3]} << 24U));
    state = kTables[7][low & 0xffU] ^ kTables[6][(low >> 8U) & 0xffU] ^ kTables[5][(low >> 16U) & 0xffU] ^
            kTables[4][low >> 24U] ^ kTables[3][bytes[4]] ^ kTables[2][bytes[5]] ^ kTables[1][bytes[6]] ^
            kTables[0][bytes[7]];
  }
  for (; size > 0; ++bytes, --size) state = step(kTables[0], state, *bytes);
  return ~state;
}

Crc32cExtend crc32c_extend_accelerated() noexcept {
#if defined(LLMCORE_CRC32C_X86) || defined(LLMCORE_CRC32C_ARM)
  static const bool kAvailable = has_crc_instructions();
  return kAvailable ? &extend_by_instruction : nullptr;
#else
  return nullptr;
#endif
}

}  // namespace detail

std::uint32_t crc32c_extend(std::uint32_t crc, std::string_view bytes) noexcept {
  const detail::Crc32cExtend accelerated = detail::crc32c_extend_accelerated();
  return (accelerated != nullptr ? accelerated : detail::crc32c_extend_portable)(
      crc, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

}  // namespace llmcore
