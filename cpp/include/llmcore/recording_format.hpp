// What a recording holds, event by event, and the bytes of each.
//
// A recording is a journal of events: how the engine was configured, every input with its time and the state hash after
// it, what was sent to providers and what came back, and what the host adds: frames, random draws, snapshots of its
// world. Nothing else is needed to run all of it again. docs/replay.md has the layout to the byte.
//
// Pure functions over values; thread-safe. encode() and decode() are O(bytes) and exact inverses: an event that encode()
// takes comes back equal, and bytes that decode() takes come back byte for byte, so there is one form of each event in a version of the layout.
// Whatever the bytes, decode() neither crashes nor allocates more than a small multiple of their size. encode() refuses
// what decode() would refuse: what could not be replayed is not recorded.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "llmcore/config.hpp"
#include "llmcore/engine.hpp"
#include "llmcore/fingerprint.hpp"
#include "llmcore/journal_kinds.hpp"
#include "llmcore/outcome.hpp"
#include "llmcore/types.hpp"

namespace llmcore {

/// Of the layout of events. A field that is added says since which version it is there: the layouts before it do without,
/// and stay readable. 2: searches of the web and their price, and the limits that a provider says that it holds.
inline constexpr std::uint32_t kRecordingVersion = 2;
/// Most bytes of one event, most items of a list in it, and most bytes of a name.
inline constexpr std::size_t kLargestEvent = std::size_t{128} * 1024 * 1024;
inline constexpr std::size_t kLongestList = 65'536;
inline constexpr std::size_t kLongestName = 4'096;

/// 64 bits that tell two states apart: of an engine, or of a host's world.
struct StateHash {
  std::uint64_t value = 0;
  friend bool operator==(const StateHash&, const StateHash&) = default;
};

namespace recorded {

/// The first event of every recording.
struct Begin {
  std::uint32_t version = kRecordingVersion;
  std::string producer;  ///< who wrote it: "llmcore 0.1.0"
};

/// An engine begins, and the inputs that follow are its.
struct Start {
  Config config;
};

/// The engine was handed this. Of a payload only the size is kept: that is all that the engine sees of it.
struct Fed {
  Now now;
  Input input;
  StateHash state;  ///< of the engine after it
};

/// An HTTP request as it went to a provider, without its headers and without any key. Equal requests have equal
/// fingerprints and are told apart by their ordinal, from 0.
struct Request {
  CallId call = 0;
  AttemptId attempt = 0;
  Fingerprint fingerprint;
  std::uint32_t ordinal = 0;
  std::string provider;
  std::string method;
  std::string url;
  std::string body;
};

using Headers = std::vector<std::pair<std::string, std::string>>;

/// What came back: an answer of whatever status, or, with an `error`, that there was none.
struct Response {
  CallId call = 0;
  AttemptId attempt = 0;
  Fingerprint fingerprint;
  std::uint32_t ordinal = 0;
  std::uint32_t status = 0;  ///< 0: there was no answer
  Headers headers;           ///< those that the provider's decoder looked at
  std::string body;
  std::optional<Outcome> error;
  std::string message;  ///< of the error
};

/// A frame of the host begins.
struct Frame {
  std::int64_t tick = 0;
};

/// A random number that the host drew: uniform in [0, bound), or, with a bound of 0, any 64 bits.
struct Draw {
  std::string name;
  std::uint64_t bound = 0;
  std::uint64_t value = 0;
};

/// The state of a part of the host's world.
struct Snapshot {
  std::int64_t tick = 0;
  std::string name;
  StateHash state;
  std::optional<std::string> bytes;  ///< the state itself, where it was worth keeping
};

/// The recording ended as it should: `events` before this one. Without it the program was killed, or still runs.
struct End {
  std::uint64_t events = 0;
};

}  // namespace recorded

using RecordedEvent =
    std::variant<recorded::Begin, recorded::Start, recorded::Fed, recorded::Request, recorded::Response,
                 recorded::Frame, recorded::Draw, recorded::Snapshot, recorded::End>;
/// What each alternative, in its order, is in a journal.
inline constexpr std::array kEventKinds{
    RecordKind::recording_begin, RecordKind::config, RecordKind::input, RecordKind::request_body,
    RecordKind::response_body,   RecordKind::frame,  RecordKind::rng,   RecordKind::snapshot,
    RecordKind::recording_end};
static_assert(kEventKinds.size() == std::variant_size_v<RecordedEvent>);

[[nodiscard]] inline RecordKind kind_of(const RecordedEvent& event) noexcept { return kEventKinds[event.index()]; }

/// Appends the event's bytes in a layout of kRecordingVersion or before to `to`. Nullptr, or why the event cannot be
/// recorded, as that it says what this layout has no place for: then `to` is as before.
[[nodiscard]] const char* encode_event(const RecordedEvent& event, std::string& to,
                                       std::uint32_t version = kRecordingVersion);
/// Nullptr, or what is wrong with the bytes: then `to` holds nothing of use. What the layout does not have yet is as in
/// an event that nobody has filled in.
[[nodiscard]] const char* decode_event(RecordKind kind, std::string_view bytes, RecordedEvent& to,
                                       std::uint32_t version = kRecordingVersion);

/// The first field in which two events differ, as a path ("input.submit.targets[0].model"), with both values as text
/// ("absent" where one has none), cut down to where they differ. An empty field: the events are equal.
struct FieldDifference {
  std::string field;
  std::string expected;
  std::string got;
};
[[nodiscard]] FieldDifference difference_of(const RecordedEvent& expected, const RecordedEvent& got);

/// What stands for a payload of so many bytes that nobody has any more; nullptr for more than an event holds.
[[nodiscard]] Blob payload_of_size(std::uint64_t size);

/// The hash that snapshots of these bytes carry.
[[nodiscard]] StateHash hash_of_state(std::string_view bytes) noexcept;

}  // namespace llmcore
