// The one manifest of what a record of a journal can be.
//
// A number is given once and never given anew: journals of every version have to stay readable. A reader carries
// kinds it does not know through, so adding a line here is all that a new kind needs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace llmcore {

// Each line: name, number. What the payload of a kind holds is told by docs/journal_format.md.
//   1 to 63     the ledger's spool
//   64 to 127   recordings of a program's run
//   128 to 32767 reserved; from 32768 on, a program's own kinds (kFirstOwnRecordKind)
#define LLMCORE_RECORD_KINDS(X) \
  X(open, 1)                    \
  X(close, 2)                   \
  X(checkpoint, 3)              \
  X(note, 4)                    \
  X(config, 64)                 \
  X(input, 65)                  \
  X(request_body, 66)           \
  X(response_body, 67)          \
  X(frame, 68)                  \
  X(rng, 69)                    \
  X(snapshot, 70)               \
  X(recording_begin, 71)        \
  X(recording_end, 72)

enum class RecordKind : std::uint16_t {
#define LLMCORE_RECORD_KIND(name, number) name = number,
  LLMCORE_RECORD_KINDS(LLMCORE_RECORD_KIND)
#undef LLMCORE_RECORD_KIND
};

inline constexpr std::uint16_t kFirstOwnRecordKind = 32768;

/// Every kind of the manifest, in its order.
inline constexpr std::array kRecordKinds = {
#define LLMCORE_RECORD_KIND(name, number) RecordKind::name,
    LLMCORE_RECORD_KINDS(LLMCORE_RECORD_KIND)
#undef LLMCORE_RECORD_KIND
};

/// The kind's name, or "" for a number that the manifest does not know.
[[nodiscard]] constexpr std::string_view to_string(RecordKind kind) noexcept {
  switch (kind) {
#define LLMCORE_RECORD_KIND(name, number) \
  case RecordKind::name: return #name;
    LLMCORE_RECORD_KINDS(LLMCORE_RECORD_KIND)
#undef LLMCORE_RECORD_KIND
  }
  return "";
}

}  // namespace llmcore
