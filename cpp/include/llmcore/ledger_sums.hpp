// Sums of calls for a ledger: by hour, by day, by a user's day and by a company's day, each apart by tenant, call type,
// provider, model, status, source and error code.
//
// What a writer adds up during one transaction, to be put on top of what its database has. Amounts are held at the end of
// their range. Externally synchronised; count O(length of the names), rows O(n log n).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "llmcore/latency_sketch.hpp"
#include "llmcore/types.hpp"

namespace llmcore {

/// A name of at most `most` characters: one that is longer is cut, and told apart by a hash.
[[nodiscard]] std::string ledger_name(std::string_view utf8, std::size_t most);

/// A finished call, as far as sums go: what its row says.
struct LedgerCall {
  std::string_view tenant, call_type, provider, model, status, source, error_code;
  std::optional<std::string_view> user;
  std::optional<std::string_view> company;
  std::string_view created;  ///< "2026-03-01 12:00:00.000000"
  std::int64_t attempts = 0;
  std::int64_t input_tokens = 0;
  std::int64_t output_tokens = 0;
  std::int64_t cached_tokens = 0;
  std::int64_t reasoning_tokens = 0;
  std::optional<std::int64_t> cost;
  std::int64_t saved = 0;
  Duration queued = 0;
  std::optional<Duration> latency;  ///< of a call that was answered by a provider
};

class LedgerSums {
 public:
  /// scope, start, name, tenant, call_type, provider, model, status, source, error_code
  using Key = std::array<std::string, 10>;
  /// calls, attempts, input, output, cached, reasoning tokens, cost, calls without a price, saved, time in queues
  using Amounts = std::array<std::int64_t, 10>;
  static constexpr std::size_t kName = 200, kModel = 128, kOther = 64;  ///< characters

  struct Sums {
    Amounts amounts{};
    Duration longest_queued = 0;
    LatencySketch latency;
  };

  /// Where a call counts, days left out; and what it adds.
  [[nodiscard]] static std::vector<Key> keys_of(const LedgerCall& call);
  [[nodiscard]] static Amounts amounts_of(const LedgerCall& call) noexcept;
  /// The day that an hour is a part of.
  [[nodiscard]] static Key day_of(const Key& hour);

  void count(const LedgerCall& call);
  void clear() { sums_.clear(); }
  [[nodiscard]] bool empty() const noexcept { return sums_.empty(); }
  /// Everything in one order, days made of their hours included, and a row of nothing for each other key.
  [[nodiscard]] std::map<Key, Sums> rows(const std::vector<Key>& also) const;

 private:
  struct Hash {
    std::size_t operator()(const Key& key) const noexcept;
  };
  std::unordered_map<Key, Sums, Hash> sums_;
};

}  // namespace llmcore
