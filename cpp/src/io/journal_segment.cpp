#include "journal_segment.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

namespace llmcore::io {
namespace {

constexpr std::size_t kChunk = 64U * 1024;
constexpr std::size_t kDigits = 20;  // as many as the largest number has, so that names sort as their numbers do
constexpr std::string_view kSegmentSuffix = ".journal";
constexpr std::string_view kTornSuffix = ".torn";

std::string numbered(const std::string& directory, std::uint64_t number, std::string_view suffix) {
  const std::string digits = std::to_string(number);
  std::string path = directory;
  path += '/';
  path.append(kDigits - digits.size(), '0');
  path += digits;
  path += suffix;
  return path;
}

std::optional<std::uint64_t> segment_number(std::string_view name) noexcept {
  if (name.size() != kDigits + kSegmentSuffix.size() || !name.ends_with(kSegmentSuffix)) return std::nullopt;
  std::uint64_t number = 0;
  const char* end = name.data() + kDigits;
  const auto [stopped, error] = std::from_chars(name.data(), end, number);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return number;
}

}  // namespace

std::string segment_path(const std::string& directory, std::uint64_t number) {
  return numbered(directory, number, kSegmentSuffix);
}

std::string torn_path(const std::string& directory, std::uint64_t number) {
  return numbered(directory, number, kTornSuffix);
}

Result<std::vector<std::uint64_t>> list_segments(FileSystem& files, const std::string& directory) {
  const auto names = files.list(directory);
  if (!names) return names.error();
  std::vector<std::uint64_t> numbers;
  for (const std::string& name : *names) {
    if (const auto number = segment_number(name)) numbers.push_back(*number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

Result<SegmentCursor> SegmentCursor::open(FileSystem& files, const std::string& directory, std::uint64_t number,
                                          std::uint32_t max_record_bytes) {
  auto file = files.open_read(segment_path(directory, number));
  if (!file) return file.error();
  const auto size = (*file)->size();
  if (!size) return size.error();
  return SegmentCursor(std::move(*file), *size, number, max_record_bytes);
}

JournalParser::Step SegmentCursor::next(bool sealed) {
  using What = JournalParser::Step::What;
  for (;;) {
    const std::uint64_t offset = parser_.offset();
    const std::uint64_t left = size_ > offset ? size_ - offset : 0;
    const std::string_view window(buffer_.data() + begin_, end_ - begin_);
    const JournalParser::Step step = parser_.next(window, left, sealed);
    begin_ += step.consumed;
    if (step.what != What::more) return step;
    if (!fill(step.wanted)) {
      JournalParser::Step broken;
      broken.what = What::problem;
      const std::uint64_t at = parser_.offset();
      broken.problem = {
          JournalProblem::What::unreadable_file, number_, at, size_ > at ? size_ - at : 0, parser_.expected_seq(), 0};
      size_ = at;  // and nothing more is looked for in it
      begin_ = end_;
      return broken;
    }
  }
}

bool SegmentCursor::fill(std::size_t wanted) {
  // The parser asks for no more than the file has left, and for no more than one record: this is the bound.
  if (begin_ < end_) std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  if (buffer_.size() < std::max(wanted, kChunk)) buffer_.resize(std::max(wanted, kChunk));
  const std::uint64_t at = parser_.offset() + end_;
  const auto room =
      static_cast<std::size_t>(std::min<std::uint64_t>(buffer_.size() - end_, size_ > at ? size_ - at : 0));
  const auto got = file_->read(at, buffer_.data() + end_, room);
  if (!got) return false;
  end_ += *got;
  if (*got < room) size_ = at + *got;  // it became shorter while being read
  return true;
}

bool SegmentCursor::look_again() {
  const auto size = file_->size();
  if (!size || *size <= size_) return false;
  size_ = *size;
  return true;
}

}  // namespace llmcore::io
