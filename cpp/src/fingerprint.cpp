#include "llmcore/fingerprint.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define LLMCORE_SHA_NI 1
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace llmcore {
namespace {

constexpr std::size_t kBlock = 64;
constexpr std::size_t kLengthField = 8;  // the message's length in bits, at the end of the last block

using State = std::array<std::uint32_t, 8>;

// First 32 bits of the fractional parts of the cube roots of the first 64 primes.
alignas(16) constexpr std::array<std::uint32_t, 64> kRoundConstants = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// First 32 bits of the fractional parts of the square roots of the first 8 primes.
constexpr State kInitialState = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

std::uint32_t load_big_endian(const std::uint8_t* p) noexcept {
  return (std::uint32_t{p[0]} << 24U) | (std::uint32_t{p[1]} << 16U) | (std::uint32_t{p[2]} << 8U) |
         std::uint32_t{p[3]};
}

#ifdef LLMCORE_SHA_NI

bool has_sha_instructions() noexcept {
  // Asked of CPUID directly: Clang 14's __builtin_cpu_supports does not know "sha".
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  constexpr unsigned kSsse3 = 1U << 9U;
  constexpr unsigned kSse41 = 1U << 19U;
  constexpr unsigned kSha = 1U << 29U;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kSsse3) == 0 || (c & kSse41) == 0) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & kSha) != 0;
}

// The instructions work on the state as two vectors {a, b, e, f} and {c, d, g, h} (highest lane first) and do two
// rounds each.
__attribute__((target("sha,sse4.1"))) void blocks_sha_ni(State& state, const std::uint8_t* blocks,
                                                         std::size_t count) noexcept {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  const auto at = [](auto* p) { return reinterpret_cast<const __m128i*>(p); };

  const __m128i dcba = _mm_loadu_si128(at(state.data()));
  const __m128i hgfe = _mm_loadu_si128(at(state.data() + 4));
  const __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
  const __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
  __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);

  for (; count > 0; --count, blocks += kBlock) {
    const __m128i abef_before = abef;
    const __m128i cdgh_before = cdgh;
    __m128i w[4];  // the sixteen newest words of the message schedule, four to a vector
    for (std::size_t i = 0; i < 4; ++i) {
      w[i] = _mm_shuffle_epi8(_mm_loadu_si128(at(blocks + 16 * i)), big_endian);
    }
#if defined(__clang__)
#pragma clang loop unroll(full)
#else
#pragma GCC unroll 16
#endif
    for (std::size_t i = 0; i < 16; ++i) {
      __m128i& words = w[i % 4];
      if (i >= 4) {
        const __m128i sevens = _mm_alignr_epi8(w[(i + 3) % 4], w[(i + 2) % 4], 4);
        words = _mm_sha256msg1_epu32(words, w[(i + 1) % 4]);
        words = _mm_sha256msg2_epu32(_mm_add_epi32(words, sevens), w[(i + 3) % 4]);
      }
      const __m128i input = _mm_add_epi32(words, _mm_load_si128(at(kRoundConstants.data() + 4 * i)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, input);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(input, 0x0e));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }

  const __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state.data()), _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state.data() + 4), _mm_alignr_epi8(dchg, feba, 8));
}

#endif

void take_blocks(State& state, const std::uint8_t* blocks, std::size_t count) noexcept {
  const detail::Sha256Blocks accelerated = detail::sha256_blocks_accelerated();
  (accelerated != nullptr ? accelerated : detail::sha256_blocks_portable)(state, blocks, count);
}

template <std::size_t N>
std::array<char, N> little_endian(std::uint64_t value) noexcept {
  std::array<char, N> bytes{};
  for (std::size_t i = 0; i < N; ++i) bytes[i] = static_cast<char>(static_cast<std::uint8_t>(value >> (8 * i)));
  return bytes;
}

}  // namespace

namespace detail {

void sha256_blocks_portable(State& state, const std::uint8_t* blocks, std::size_t count) noexcept {
  for (; count > 0; --count, blocks += kBlock) {
    std::array<std::uint32_t, 64> w;
    for (std::size_t i = 0; i < 16; ++i) w[i] = load_big_endian(blocks + 4 * i);
    for (std::size_t i = 16; i < 64; ++i) {
      const std::uint32_t x = w[i - 15];
      const std::uint32_t y = w[i - 2];
      const std::uint32_t sigma0 = std::rotr(x, 7) ^ std::rotr(x, 18) ^ (x >> 3U);
      const std::uint32_t sigma1 = std::rotr(y, 17) ^ std::rotr(y, 19) ^ (y >> 10U);
      w[i] = w[i - 16] + sigma0 + w[i - 7] + sigma1;
    }
    auto [a, b, c, d, e, f, g, h] = state;
    for (std::size_t i = 0; i < 64; ++i) {
      const std::uint32_t sum1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
      const std::uint32_t choice = (e & f) ^ (~e & g);
      const std::uint32_t t1 = h + sum1 + choice + kRoundConstants[i] + w[i];
      const std::uint32_t sum0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
      const std::uint32_t majority = (a & b) ^ (a & c) ^ (b & c);
      h = g;
      g = f;
      f = e;
      e = d + t1;
      d = c;
      c = b;
      b = a;
      a = t1 + sum0 + majority;
    }
    const State after = {a, b, c, d, e, f, g, h};
    for (std::size_t i = 0; i < state.size(); ++i) state[i] += after[i];
  }
}

Sha256Blocks sha256_blocks_accelerated() noexcept {
#ifdef LLMCORE_SHA_NI
  static const bool kAvailable = has_sha_instructions();
  return kAvailable ? &blocks_sha_ni : nullptr;
#else
  return nullptr;
#endif
}

}  // namespace detail

Sha256::Sha256() noexcept : state_(kInitialState), buffer_{} {}

void Sha256::update(std::string_view bytes) noexcept {
  if (bytes.empty()) return;
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  std::size_t size = bytes.size();
  const std::size_t held = static_cast<std::size_t>(length_ % kBlock);
  length_ += size;

  if (held > 0) {
    const std::size_t taken = std::min(size, kBlock - held);
    std::memcpy(buffer_.data() + held, data, taken);
    if (held + taken < kBlock) return;
    take_blocks(state_, buffer_.data(), 1);
    data += taken;
    size -= taken;
  }
  if (size >= kBlock) take_blocks(state_, data, size / kBlock);
  const std::size_t rest = size % kBlock;
  if (rest > 0) std::memcpy(buffer_.data(), data + (size - rest), rest);
}

Fingerprint Sha256::finish() noexcept {
  std::size_t held = static_cast<std::size_t>(length_ % kBlock);
  buffer_[held++] = 0x80;
  if (held > kBlock - kLengthField) {
    std::memset(buffer_.data() + held, 0, kBlock - held);
    take_blocks(state_, buffer_.data(), 1);
    held = 0;
  }
  std::memset(buffer_.data() + held, 0, kBlock - kLengthField - held);
  const std::uint64_t bits = length_ * 8;
  for (std::size_t i = 0; i < kLengthField; ++i) {
    buffer_[kBlock - 1 - i] = static_cast<std::uint8_t>(bits >> (8 * i));
  }
  take_blocks(state_, buffer_.data(), 1);

  Fingerprint digest;
  for (std::size_t i = 0; i < digest.bytes.size(); ++i) {
    digest.bytes[i] = static_cast<std::uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
  }
  return digest;
}

std::string Fingerprint::hex() const {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 0x0fU];
  }
  return text;
}

std::size_t FingerprintHash::operator()(const Fingerprint& f) const noexcept {
  std::size_t hash = 0;
  for (std::size_t i = 0; i < sizeof(hash); ++i) hash |= std::size_t{f.bytes[i]} << (8 * i);
  return hash;
}

Fingerprint fingerprint(std::string_view tenant, std::string_view provider, std::string_view model,
                        std::string_view canonical_request) noexcept {
  const auto version = little_endian<4>(kFingerprintVersion);
  Sha256 sha;
  for (const std::string_view field :
       {std::string_view(version.data(), version.size()), tenant, provider, model, canonical_request}) {
    const auto length = little_endian<8>(field.size());
    sha.update({length.data(), length.size()});
    sha.update(field);
  }
  return sha.finish();
}

}  // namespace llmcore
