// CRC-32C (Castagnoli): the checksum of everything in a journal.
//
// Pure, thread-safe, O(bytes). Finds every error of one to three bits and every burst of up to 32 bits in a record; it
// is no protection against somebody who wants two records to agree.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace llmcore {

/// The checksum of the bytes that `crc` was computed over, followed by `bytes`. Uses the processor's CRC instructions
/// where it has them; the checksum is the same.
[[nodiscard]] std::uint32_t crc32c_extend(std::uint32_t crc, std::string_view bytes) noexcept;

[[nodiscard]] inline std::uint32_t crc32c(std::string_view bytes) noexcept { return crc32c_extend(0, bytes); }

namespace detail {

/// The two ways to compute it, apart so that they can be tested against each other.
using Crc32cExtend = std::uint32_t (*)(std::uint32_t crc, const std::uint8_t* bytes, std::size_t size) noexcept;
[[nodiscard]] std::uint32_t crc32c_extend_portable(std::uint32_t crc, const std::uint8_t* bytes,
                                                   std::size_t size) noexcept;
/// Nullptr where this processor has no CRC-32C instructions.
[[nodiscard]] Crc32cExtend crc32c_extend_accelerated() noexcept;

}  // namespace detail

}  // namespace llmcore
