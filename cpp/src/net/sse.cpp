#include "sse.hpp"

#include <algorithm>

#include "answer_headers.hpp"

namespace llmcore::net {

bool EventSplitter::take_line(std::string_view& bytes) {
  if (skip_lf_) {
    skip_lf_ = false;
    if (bytes.front() == '\n') bytes.remove_prefix(1);
  }
  const std::size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
  if (line_.size() + end > limit_) {
    overflowed_ = true;
    line_.clear();
    data_.clear();
    return false;
  }
  line_ += bytes.substr(0, end);
  if (end == bytes.size()) {
    bytes = {};
    return false;
  }
  skip_lf_ = bytes[end] == '\r';
  bytes.remove_prefix(end + 1);
  return true;
}

bool EventSplitter::end_line() {
  std::string_view line = line_;
  if (!started_) {
    started_ = true;
    if (line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  }
  bool ended = false;
  if (framing_ == Framing::lines) {
    ready_ = line;
    ended = !line.empty();
  } else if (line.empty()) {
    ended = has_data_;
    if (ended) {
      data_.pop_back();
      ready_.swap(data_);
      ready_name_.swap(name_);
    }
    data_.clear();
    name_.clear();
    has_data_ = false;
    ended = ended && !ready_.empty();
  } else if (line.starts_with("data:") || line == "data") {
    line.remove_prefix(std::min<std::size_t>(5, line.size()));
    if (line.starts_with(' ')) line.remove_prefix(1);
    if (data_.size() + line.size() > limit_) {
      overflowed_ = true;
      data_.clear();
    } else {
      data_ += line;
      data_ += '\n';
      has_data_ = true;
    }
  } else if (line.starts_with("event:")) {
    name_ = trimmed(line.substr(6));
  }
  // Comments, "id", "retry" and whatever else there may be say nothing about the answer.
  line_.clear();
  return ended;
}

}  // namespace llmcore::net
