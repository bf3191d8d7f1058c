// Server-sent events, as the HTML standard has them: lines end in LF, CR or CRLF, an empty line ends an event. Or lines
// alone, each of them an event without a name (NDJSON).
//
// Of one stream and for one thread. Bytes may be cut anywhere, in the middle of a character or of a CRLF as well. What
// is held is at most one event; each byte is looked at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace llmcore::net {

/// An event, or an answer in one piece, that is longer is refused before it is taken into memory as a whole.
inline constexpr std::size_t kLongestEvent = std::size_t{64} << 20;
/// All of a stream's bytes. What goes on for longer has gone wrong.
inline constexpr std::size_t kLongestStream = std::size_t{256} << 20;

class EventSplitter {
 public:
  enum class Framing : std::uint8_t { events, lines };
  /// `limit`: bytes of one event, and of one line.
  explicit EventSplitter(Framing framing = Framing::events, std::size_t limit = kLongestEvent) noexcept
      : framing_(framing), limit_(limit) {}

  /// Calls `function(name, data)` with every event that these bytes complete, until it returns false. An event without
  /// data is none.
  template <typename Function>
  void feed(std::string_view bytes, Function&& function) {
    while (!bytes.empty() && !overflowed_) {
      if (!take_line(bytes)) return;
      if (!end_line()) continue;
      const bool more = function(std::string_view(ready_name_), std::string_view(ready_));
      if (!more) return;
    }
  }
  /// The event that the end of the bytes left open, if any. Changes nothing that feed() would notice but its end.
  template <typename Function>
  void flush(Function&& function) {
    if (overflowed_) return;
    if (end_line() || end_line()) function(std::string_view(ready_name_), std::string_view(ready_));
  }
  /// An event was longer than the limit, and was let go.
  [[nodiscard]] bool overflowed() const noexcept { return overflowed_; }

 private:
  /// Moves bytes into the line, up to its end; whether that was there.
  bool take_line(std::string_view& bytes);
  /// Takes in the line that has ended; true if that was the end of an event.
  bool end_line();

  Framing framing_;
  std::size_t limit_;
  std::string line_;  // that has not ended
  std::string data_;  // of the event so far, a line feed behind each line
  std::string name_;
  std::string ready_;  // the event that has ended
  std::string ready_name_;
  bool has_data_ = false;
  bool skip_lf_ = false;
  bool started_ = false;
  bool overflowed_ = false;
};

}  // namespace llmcore::net
