// Saved answers of any bytes: raw, and with a checksum that fits, so that what is behind it is reached as well.
#include "llmcore/saved_cache.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "bytes.hpp"
#include "llmcore/crc32c.hpp"

namespace {

using llmcore::fuzz::require;

void try_reading(std::string_view bytes) {
  llmcore::SavedCacheWriter writer;
  std::size_t given = 0;
  const char* const problem =
      llmcore::read_saved_cache(bytes, [&](const llmcore::Fingerprint& key, std::string_view answer) {
        require(answer.data() >= bytes.data() && answer.data() + answer.size() <= bytes.data() + bytes.size(),
                "an answer lies within the bytes");
        writer.add(key, answer);
        ++given;
      });
  require(problem == nullptr || given == 0, "what is refused is refused as a whole");
  if (problem == nullptr) require(writer.finish() == bytes, "there is one form of the same answers");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try_reading(bytes);
  std::string fitting(bytes);
  const std::uint32_t crc = llmcore::crc32c(bytes);
  for (unsigned i = 0; i < 4; ++i) fitting.push_back(static_cast<char>((crc >> (8 * i)) & 0xFFU));
  try_reading(fitting);
  return 0;
}
