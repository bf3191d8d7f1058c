// Bytes as an entry of a ledger's spool: read or refused, with views into the bytes and nowhere else, and the same twice.
#include "llmcore/ledger_entry.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bytes.hpp"
#include "llmcore/ledger_batch.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using llmcore::fuzz::require;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  llmcore::LedgerEntry entry;
  const bool read = entry.read(bytes);
  if (read) {
    require(entry.id.data() >= bytes.data() && entry.id.data() + entry.id.size() <= bytes.data() + bytes.size(),
            "an id lies within the bytes");
    require(entry.usage.valid(), "usage is valid");
    static_cast<void>(llmcore::ledger_tags(entry.tags));
    static_cast<void>(llmcore::ledger_time(entry.created_at));
  }
  llmcore::LedgerBatch batch;
  require(batch.add(1, 1, bytes) == read && batch.add(2, 2, bytes) == read && batch.add(3, 4, bytes) == read,
          "a batch takes what can be read");
  batch.choose(0);
  require(batch.calls() == (read ? 1U : 0U) && batch.notes() == 0, "one id is one call");
  if (read) batch.read_call(0, entry);
  return 0;
}
