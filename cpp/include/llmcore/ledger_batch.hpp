// Entries of a spool on their way into a database, and what of them is to be written.
//
// A call's end says all that its beginning did, so the last word counts; texts that only its beginning has stay with it,
// and a note that comes with its call becomes a part of it. Externally synchronised; add O(bytes), choose O(entries).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "llmcore/ledger_entry.hpp"

namespace llmcore {

class LedgerBatch {
 public:
  /// Takes a copy of an entry. False: it is none, and is not taken.
  [[nodiscard]] bool add(std::uint64_t number, std::uint16_t kind, std::string_view bytes);

  [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return arena_.size(); }
  /// How many of the entries are ends of calls.
  [[nodiscard]] std::size_t ends() const noexcept { return ends_; }

  /// Chooses what the entries behind `position` come to.
  void choose(std::uint64_t position);
  /// Of what was chosen: calls, in the order in which they were first heard of, and notes on calls that are elsewhere.
  [[nodiscard]] std::size_t calls() const noexcept { return calls_.size(); }
  [[nodiscard]] std::size_t notes() const noexcept { return notes_.size(); }
  /// Views into the batch, valid until something is added.
  LedgerEntryKind read_call(std::size_t index, LedgerEntry& into) const;
  void read_note(std::size_t index, LedgerEntry& into) const;
  /// The id of a call, without reading the rest.
  [[nodiscard]] std::string_view id_of(std::size_t index) const noexcept { return id_of(items_[calls_[index].item]); }

 private:
  struct Item {
    std::uint64_t number = 0;
    std::size_t offset = 0;
    std::uint32_t length = 0;
    std::uint32_t id_offset = 0;  ///< from the entry's first byte
    std::uint32_t id_length = 0;
    LedgerEntryKind kind = LedgerEntryKind::open;
    bool has_texts = false;
  };
  struct Chosen {
    std::uint32_t item = 0;
    std::vector<std::uint32_t> earlier;  ///< with texts, newest last
    std::vector<std::uint32_t> notes;
  };
  [[nodiscard]] std::string_view bytes_of(const Item& item) const noexcept {
    return std::string_view(arena_).substr(item.offset, item.length);
  }
  [[nodiscard]] std::string_view id_of(const Item& item) const noexcept {
    return bytes_of(item).substr(item.id_offset, item.id_length);
  }

  std::string arena_;
  std::vector<Item> items_;
  std::size_t ends_ = 0;
  std::vector<Chosen> calls_;
  std::vector<std::uint32_t> notes_;
  LedgerEntry scratch_;
};

}  // namespace llmcore
