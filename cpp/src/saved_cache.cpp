#include "llmcore/saved_cache.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "llmcore/crc32c.hpp"

namespace llmcore {
namespace {

constexpr std::string_view kMagic = "LLMCACHE";
constexpr std::size_t kHeader = 16;
constexpr std::size_t kCountAt = 12;
constexpr std::size_t kCrc = 4;
constexpr std::size_t kEntry = 36;  // key and length

void put(std::string& to, std::uint32_t value) {
  for (unsigned shift = 0; shift < 32; shift += 8) to.push_back(static_cast<char>((value >> shift) & 0xFFU));
}

std::uint32_t get(std::string_view bytes, std::size_t at) noexcept {
  std::uint32_t value = 0;
  for (unsigned i = 0; i < 4; ++i) value |= std::uint32_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  return value;
}

}  // namespace

SavedCacheWriter::SavedCacheWriter(std::size_t most_bytes) : bytes_(kMagic), most_bytes_(most_bytes) {
  put(bytes_, kSavedCacheVersion);
  put(bytes_, 0);
}

bool SavedCacheWriter::add(const Fingerprint& key, std::string_view answer) {
  const std::size_t room = most_bytes_ - std::min(most_bytes_, bytes_.size() + kEntry + kCrc);
  constexpr std::uint32_t kMost = std::numeric_limits<std::uint32_t>::max();
  if (answer.size() > room || answer.size() > kMost || count_ == kMost) {
    ++left_out_;
    return false;
  }
  bytes_.append(reinterpret_cast<const char*>(key.bytes.data()), key.bytes.size());
  put(bytes_, static_cast<std::uint32_t>(answer.size()));
  bytes_.append(answer);
  ++count_;
  return true;
}

std::string SavedCacheWriter::finish() {
  for (unsigned i = 0; i < 4; ++i) bytes_[kCountAt + i] = static_cast<char>((count_ >> (8 * i)) & 0xFFU);
  put(bytes_, crc32c(bytes_));
  return std::move(bytes_);
}

const char* read_saved_cache(std::string_view bytes,
                             const std::function<void(const Fingerprint&, std::string_view)>& function) {
  if (bytes.size() < kHeader + kCrc || bytes.substr(0, kMagic.size()) != kMagic) return "these are no saved answers";
  if (get(bytes, kMagic.size()) != kSavedCacheVersion) return "these answers were saved by another version";
  const std::string_view body = bytes.substr(0, bytes.size() - kCrc);
  if (crc32c(body) != get(bytes, body.size())) return "the saved answers are damaged: the checksum is not theirs";
  const std::uint32_t count = get(bytes, kCountAt);
  // The checksum stops accidents, not somebody who can compute one: every length is looked at before the first answer is used.
  std::size_t at = kHeader;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (body.size() - at < kEntry) return "the saved answers end too early";
    const std::size_t size = get(body, at + kEntry - 4);
    at += kEntry;
    if (body.size() - at < size) return "the saved answers end too early";
    at += size;
  }
  if (at != body.size()) return "there is something behind the saved answers";
  at = kHeader;
  for (std::uint32_t i = 0; i < count; ++i) {
    Fingerprint key;
    std::copy_n(body.begin() + static_cast<std::ptrdiff_t>(at), key.bytes.size(), key.bytes.begin());
    const std::size_t size = get(body, at + kEntry - 4);
    function(key, body.substr(at + kEntry, size));
    at += kEntry + size;
  }
  return nullptr;
}

}  // namespace llmcore
