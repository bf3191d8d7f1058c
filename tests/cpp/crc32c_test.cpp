#include "llmcore/crc32c.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "llmcore/rng.hpp"

namespace llmcore {
namespace {

std::string random_bytes(std::size_t size, std::uint64_t seed) {
  Rng rng(seed);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(rng.next());
  return bytes;
}

/// Bit by bit, as the definition has it.
std::uint32_t by_definition(std::uint32_t crc, std::string_view bytes) {
  std::uint32_t state = ~crc;
  for (const char c : bytes) {
    state ^= static_cast<std::uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) state = (state >> 1U) ^ ((state & 1U) != 0 ? 0x82f63b78U : 0U);
  }
  return ~state;
}

TEST(Crc32c, KnownVectors) {
  EXPECT_EQ(crc32c(""), 0U);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
  // RFC 3720, appendix B.4.
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U);
  std::string ascending;
  for (int i = 0; i < 32; ++i) ascending += static_cast<char>(i);
  EXPECT_EQ(crc32c(ascending), 0x46dd794eU);
  EXPECT_EQ(crc32c(std::string(ascending.rbegin(), ascending.rend())), 0x113fdb5cU);
}

TEST(Crc32c, EveryLengthAgreesWithTheDefinition) {
  // Past the sizes at which the fast ways change their step, and at every alignment.
  const std::string bytes = random_bytes(2100, 1);
  for (std::size_t size = 0; size + 8 < bytes.size(); size += size < 300 ? 1 : 37) {
    const std::string_view part = std::string_view(bytes).substr(size % 8, size);
    ASSERT_EQ(crc32c(part), by_definition(0, part)) << size;
  }
}

TEST(Crc32c, BothWaysAgree) {
  const std::string bytes = random_bytes(70'000, 2);
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  const std::uint32_t portable = detail::crc32c_extend_portable(7, data, bytes.size());
  EXPECT_EQ(portable, by_definition(7, bytes));
  const detail::Crc32cExtend accelerated = detail::crc32c_extend_accelerated();
  if (accelerated == nullptr) GTEST_SKIP() << "this processor has no CRC-32C instructions";
  for (std::size_t size = 0; size <= 2000; ++size) {
    ASSERT_EQ(accelerated(7, data + size % 8, size), detail::crc32c_extend_portable(7, data + size % 8, size)) << size;
  }
  EXPECT_EQ(accelerated(7, data, bytes.size()), portable);
}

TEST(Crc32c, GoesOnWhereItLeftOff) {
  const std::string bytes = random_bytes(1500, 3);
  const std::uint32_t whole = crc32c(bytes);
  for (std::size_t cut = 0; cut <= bytes.size(); cut += 7) {
    const std::string_view view = bytes;
    ASSERT_EQ(crc32c_extend(crc32c(view.substr(0, cut)), view.substr(cut)), whole) << cut;
  }
}

}  // namespace
}  // namespace llmcore
