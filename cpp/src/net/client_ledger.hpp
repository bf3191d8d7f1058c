// Calls written down as they are sent and as they end: a spool in a directory of the host's, for `llmcore ledger import`.
//
// The worker's: it writes files. What cannot be written is counted and delays nothing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "llmcore/engine.hpp"
#include "llmcore/io/journal.hpp"
#include "llmcore/ledger_entry.hpp"
#include "llmcore/net/client.hpp"
#include "llmcore/net/provider.hpp"

namespace llmcore::net {

struct LiveCall;

class ClientLedger {
 public:
  ClientLedger(std::string directory, bool texts) : directory_(std::move(directory)), texts_(texts) {}

  /// A call is about to be sent.
  void begin(const LiveCall& call, const Send& send);
  /// A call is over.
  void record(const LiveCall& call, const Finish& finish, const Reply* reply, std::string_view error);
  /// Brings everything to the system and lets go of the directory.
  void close();

  /// Entries that could not be written.
  [[nodiscard]] std::int64_t unwritten() const noexcept { return unwritten_; }

 private:
  void fill(const LiveCall& call);
  void append(LedgerEntryKind kind);

  std::string directory_;
  bool texts_;
  std::unique_ptr<io::JournalWriter> journal_;
  Instant tried_at_ = 0;
  std::int64_t unwritten_ = 0;
  LedgerEntry entry_;  // these are kept for their memory
  std::string bytes_;
  std::string messages_;
  std::string tool_calls_;
};

}  // namespace llmcore::net
