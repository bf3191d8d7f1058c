#include "llmcore/ledger_sums.hpp"

#include <algorithm>

#include "llmcore/fingerprint.hpp"
#include "llmcore/hash.hpp"
#include "text.hpp"

namespace llmcore {
namespace {

constexpr std::size_t kHashed = 12;  // hexadecimal digits

std::string start_of(std::string_view created, std::size_t kept, std::string_view rest) {
  std::string start(created.substr(0, kept));
  start += rest;
  return start;
}

void add(LedgerSums::Sums& sums, const LedgerSums::Amounts& amounts) noexcept {
  for (std::size_t i = 0; i < amounts.size(); ++i) sums.amounts[i] = add_saturated(sums.amounts[i], amounts[i]);
}

}  // namespace

std::string ledger_name(std::string_view utf8, std::size_t most) {
  if (utf8.size() <= most || characters_of(utf8) <= most) return std::string(utf8);
  Sha256 hash;
  hash.update(utf8);
  std::string name(first_characters(utf8, most - kHashed - 1));
  name += '~';
  name += hash.finish().hex().substr(0, kHashed);
  return name;
}

std::vector<LedgerSums::Key> LedgerSums::keys_of(const LedgerCall& call) {
  std::vector<Key> keys;
  keys.reserve(3);
  keys.push_back({"hour", start_of(call.created, 13, ":00:00.000000"), "", ledger_name(call.tenant, kOther),
                  ledger_name(call.call_type, kOther), ledger_name(call.provider, kOther),
                  ledger_name(call.model, kModel), std::string(call.status), std::string(call.source),
                  ledger_name(call.error_code, kOther)});
  const auto add = [&](const char* scope, std::string_view name) {
    Key key = keys.front();
    key[0] = scope;
    key[1] = start_of(call.created, 10, " 00:00:00.000000");
    key[2] = ledger_name(name, kName);
    keys.push_back(std::move(key));
  };
  if (call.user) add("user", *call.user);
  if (call.company) add("company", *call.company);
  return keys;
}

LedgerSums::Amounts LedgerSums::amounts_of(const LedgerCall& call) noexcept {
  return {1,
          call.attempts,
          call.input_tokens,
          call.output_tokens,
          call.cached_tokens,
          call.reasoning_tokens,
          call.cost.value_or(0),
          call.cost ? 0 : 1,
          call.saved,
          call.queued};
}

LedgerSums::Key LedgerSums::day_of(const Key& hour) {
  Key day = hour;
  day[0] = "day";
  day[1] = start_of(hour[1], 10, " 00:00:00.000000");
  return day;
}

void LedgerSums::count(const LedgerCall& call) {
  const Amounts amounts = amounts_of(call);
  for (Key& key : keys_of(call)) {
    Sums& sums = sums_[std::move(key)];
    add(sums, amounts);
    sums.longest_queued = std::max(sums.longest_queued, call.queued);
    if (call.latency) sums.latency.add(*call.latency);
  }
}

std::map<LedgerSums::Key, LedgerSums::Sums> LedgerSums::rows(const std::vector<Key>& also) const {
  std::map<Key, Sums> rows;
  for (const auto& [key, sums] : sums_) {
    if (key[0] == "hour") {
      Sums& day = rows[day_of(key)];
      add(day, sums.amounts);
      day.longest_queued = std::max(day.longest_queued, sums.longest_queued);
      day.latency.merge(sums.latency);
    }
    rows.emplace(key, sums);
  }
  for (const Key& key : also) rows.try_emplace(key);
  return rows;
}

std::size_t LedgerSums::Hash::operator()(const Key& key) const noexcept {
  std::size_t hash = 0;
  for (const std::string& part : key) hash = hash * 31 + std::hash<std::string>{}(part);
  return hash;
}

}  // namespace llmcore
