#include "llmcore/ledger_batch.hpp"

#include <algorithm>
#include <unordered_map>

#include "assert.hpp"

namespace llmcore {
namespace {

void complete(LedgerEntry& entry, const LedgerEntry& earlier) {
  if (!earlier.payload) return;
  if (!entry.payload) {
    entry.payload = earlier.payload;
    return;
  }
  for (std::size_t i = 0; i < entry.payload->texts.size(); ++i) {
    if (!entry.payload->texts[i]) entry.payload->texts[i] = earlier.payload->texts[i];
  }
}

// What it was for is what the note says; whose it was, and its type, what the call itself said.
void apply(LedgerEntry& entry, const LedgerEntry& note) {
  for (const std::size_t field : {kTrackableType, kTrackableId}) {
    if (note.context[field]) entry.context[field] = note.context[field];
  }
  if (!entry.context[kUserId]) entry.context[kUserId] = note.context[kUserId];
  if (!entry.call_type) entry.call_type = note.call_type;
}

}  // namespace

bool LedgerBatch::add(std::uint64_t number, std::uint16_t kind, std::string_view bytes) {
  const auto known = static_cast<LedgerEntryKind>(kind);
  if (known != LedgerEntryKind::open && known != LedgerEntryKind::close && known != LedgerEntryKind::note) return false;
  if (bytes.size() > UINT32_MAX || !scratch_.read(bytes)) return false;
  Item item;
  item.number = number;
  item.offset = arena_.size();
  item.length = static_cast<std::uint32_t>(bytes.size());
  item.id_offset = static_cast<std::uint32_t>(scratch_.id.data() - bytes.data());
  item.id_length = static_cast<std::uint32_t>(scratch_.id.size());
  item.kind = known;
  item.has_texts = scratch_.payload.has_value();
  arena_.append(bytes);
  items_.push_back(item);
  ends_ += known == LedgerEntryKind::close ? 1 : 0;
  return true;
}

void LedgerBatch::choose(std::uint64_t position) {
  const auto by_number = [](const Item& a, const Item& b) { return a.number < b.number; };
  if (!std::is_sorted(items_.begin(), items_.end(), by_number)) {
    std::stable_sort(items_.begin(), items_.end(), by_number);
  }
  calls_.clear();
  notes_.clear();
  std::unordered_map<std::string_view, std::size_t> by_id;
  by_id.reserve(items_.size());
  for (std::uint32_t i = 0; i < items_.size(); ++i) {
    const Item& item = items_[i];
    if (item.number <= position) continue;
    if (item.kind == LedgerEntryKind::note) {
      notes_.push_back(i);
      continue;
    }
    const auto [known, is_new] = by_id.try_emplace(id_of(item), calls_.size());
    if (is_new) {
      calls_.push_back({i, {}, {}});
      continue;
    }
    Chosen& chosen = calls_[known->second];
    if (item.kind < items_[chosen.item].kind) continue;
    if (items_[chosen.item].has_texts) chosen.earlier.push_back(chosen.item);
    chosen.item = i;
  }
  std::erase_if(notes_, [&](std::uint32_t note) {
    const auto found = by_id.find(id_of(items_[note]));
    if (found == by_id.end()) return false;
    calls_[found->second].notes.push_back(note);
    return true;
  });
}

LedgerEntryKind LedgerBatch::read_call(std::size_t index, LedgerEntry& into) const {
  const Chosen& chosen = calls_[index];
  const Item& item = items_[chosen.item];
  [[maybe_unused]] const bool read = into.read(bytes_of(item));
  LLMCORE_ASSERT(read);  // it was, when it was added
  if (!chosen.earlier.empty() || !chosen.notes.empty()) {
    LedgerEntry other;
    for (auto earlier = chosen.earlier.rbegin(); earlier != chosen.earlier.rend(); ++earlier) {
      if (other.read(bytes_of(items_[*earlier]))) complete(into, other);
    }
    for (const std::uint32_t note : chosen.notes) {
      if (other.read(bytes_of(items_[note]))) apply(into, other);
    }
  }
  return item.kind;
}

void LedgerBatch::read_note(std::size_t index, LedgerEntry& into) const {
  [[maybe_unused]] const bool read = into.read(bytes_of(items_[notes_[index]]));
  LLMCORE_ASSERT(read);
}

}  // namespace llmcore
