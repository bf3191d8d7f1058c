// Cached answers as bytes: what a game puts into its save file and takes back from it.
//
// Pure functions; thread-safe; O(bytes). The bytes are: "LLMCACHE", version (4 bytes), how many answers (4 bytes), then
// for each its key (32 bytes), its length (4 bytes) and itself, and at the end the CRC32C of all before it (4 bytes);
// numbers have their lowest byte first. A save file comes from anywhere: one that was cut, changed or made up is refused
// as a whole, before anything of it is used, and reading allocates nothing.
//
// The keys are those of fingerprint.hpp, tenant, provider, model and request in them: an answer is found again only by
// who asks the same, and the file does not show what was asked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "llmcore/fingerprint.hpp"

namespace llmcore {

inline constexpr std::uint32_t kSavedCacheVersion = 1;

/// Writes them one after the other.
class SavedCacheWriter {
 public:
  /// `most_bytes`: the file's bound; answers that do not fit any more are left out.
  explicit SavedCacheWriter(std::size_t most_bytes = std::size_t{64} * 1024 * 1024);

  /// False if it was left out.
  bool add(const Fingerprint& key, std::string_view answer);
  /// The file's bytes. The writer must not be used afterwards.
  [[nodiscard]] std::string finish();

  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint32_t left_out() const noexcept { return left_out_; }

 private:
  std::string bytes_;
  std::size_t most_bytes_;
  std::uint32_t count_ = 0;
  std::uint32_t left_out_ = 0;
};

/// Calls `function` with each answer, in the order in which they were added; the views are into `bytes`. Nullptr, or
/// why the bytes are refused: then the function was not called.
[[nodiscard]] const char* read_saved_cache(std::string_view bytes,
                                           const std::function<void(const Fingerprint&, std::string_view)>& function);

}  // namespace llmcore
