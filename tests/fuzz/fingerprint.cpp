// Fingerprints and SHA-256 over any bytes, cut up in any way.
#include "llmcore/fingerprint.hpp"

#include <array>
#include <string>

#include "bytes.hpp"

namespace {

using llmcore::Fingerprint;
using llmcore::Sha256;
using llmcore::fuzz::require;

Fingerprint sha256(std::string_view bytes) {
  Sha256 sha;
  sha.update(bytes);
  return sha.finish();
}

/// The padded message by the blocks function alone: what FIPS 180-4 says, in a few lines.
Fingerprint by_blocks(std::string message, llmcore::detail::Sha256Blocks blocks) {
  const std::uint64_t bits = std::uint64_t{message.size()} * 8;
  message += '\x80';
  while (message.size() % 64 != 56) message += '\0';
  for (unsigned shift = 64; shift > 0; shift -= 8) message += static_cast<char>(bits >> (shift - 8) & 0xffU);
  std::array<std::uint32_t, 8> state{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  blocks(state, reinterpret_cast<const std::uint8_t*>(message.data()), message.size() / 64);
  Fingerprint digest;
  for (std::size_t i = 0; i < digest.bytes.size(); ++i) {
    digest.bytes[i] = static_cast<std::uint8_t>(state[i / 4] >> (24 - 8 * (i % 4)));
  }
  return digest;
}

std::string prefixed(std::string_view field) {
  std::string out;
  for (unsigned shift = 0; shift < 64; shift += 8) {
    out += static_cast<char>(std::uint64_t{field.size()} >> shift & 0xffU);
  }
  return out.append(field);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  llmcore::fuzz::Bytes bytes(data, size);
  const std::string_view tenant = bytes.text();
  const std::string_view provider = bytes.text();
  const std::string_view model = bytes.text();
  const std::string_view request = bytes.text();

  std::string version;
  for (unsigned shift = 0; shift < 32; shift += 8) {
    version += static_cast<char>(llmcore::kFingerprintVersion >> shift & 0xffU);
  }
  const std::string message =
      prefixed(version) + prefixed(tenant) + prefixed(provider) + prefixed(model) + prefixed(request);
  const Fingerprint whole = sha256(message);
  require(llmcore::fingerprint(tenant, provider, model, request) == whole, "the layout of a key");
  require(by_blocks(message, llmcore::detail::sha256_blocks_portable) == whole, "SHA-256 in portable code");
  if (const auto accelerated = llmcore::detail::sha256_blocks_accelerated(); accelerated != nullptr) {
    require(by_blocks(message, accelerated) == whole, "SHA-256 by the processor's instructions");
  }

  Sha256 pieces;
  for (std::string_view rest = message; !rest.empty();) {
    const std::size_t cut = std::size_t{bytes.byte()} + 1;
    pieces.update(rest.substr(0, cut));
    rest.remove_prefix(std::min(cut, rest.size()));
  }
  require(pieces.finish() == whole, "cut up in any way");

  // A byte that moves from one field to the next makes another request.
  if (!tenant.empty()) {
    const std::string moved = std::string(1, tenant.back()) + std::string(provider);
    const Fingerprint other = llmcore::fingerprint(tenant.substr(0, tenant.size() - 1), moved, model, request);
    require(other != whole, "no two requests share a key");
  }
  require(whole.hex().size() == 64 && whole.hex().find_first_not_of("0123456789abcdef") == std::string::npos, "hex");
  return 0;
}
