// One segment file, read a piece at a time; and how segments are named. For the journal's own sources.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "llmcore/io/file.hpp"
#include "llmcore/journal_format.hpp"

namespace llmcore::io {

[[nodiscard]] std::string segment_path(const std::string& directory, std::uint64_t number);
[[nodiscard]] std::string torn_path(const std::string& directory, std::uint64_t number);

/// The numbers of the segments in a directory, ascending.
[[nodiscard]] Result<std::vector<std::uint64_t>> list_segments(FileSystem& files, const std::string& directory);

/// A file and the parser that goes over it, with a bounded buffer between them.
class SegmentCursor {
 public:
  [[nodiscard]] static Result<SegmentCursor> open(FileSystem& files, const std::string& directory, std::uint64_t number,
                                                  std::uint32_t max_record_bytes);

  /// The parser's next step, `more` never among them. What a step points at stays until the next call.
  [[nodiscard]] JournalParser::Step next(bool sealed);
  /// Asks the system again how long the file is. True if it grew.
  [[nodiscard]] bool look_again();

  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] const JournalParser& parser() const noexcept { return parser_; }

 private:
  SegmentCursor(std::unique_ptr<File> file, std::uint64_t size, std::uint64_t number, std::uint32_t max_record_bytes)
      : file_(std::move(file)), size_(size), number_(number), parser_(number, max_record_bytes) {}
  [[nodiscard]] bool fill(std::size_t wanted);

  std::unique_ptr<File> file_;
  std::uint64_t size_;
  std::uint64_t number_;
  JournalParser parser_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  // of the window in buffer_
  std::size_t end_ = 0;
};

}  // namespace llmcore::io
