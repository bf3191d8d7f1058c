#include "stream.hpp"

#include <algorithm>
#include <utility>

#include "answer_headers.hpp"

namespace llmcore::net {

void DecodedStream::feed(std::string_view bytes, std::vector<Chunk>& chunks) {
  if (result_ || bytes.empty()) return;
  std::string before;
  if (!decided_) {
    if (!seen_.empty()) {
      seen_ += bytes;
      before.swap(seen_);
      bytes = before;
    }
    if (!decide(bytes)) return;
  }
  size_ += bytes.size();
  if (in_one_piece_) {
    if (size_ <= kLongestEvent) seen_ += bytes;
    return;
  }
  if (ended()) return;
  if (size_ > kLongestStream) {
    break_off(
        failure(Outcome::server_error, "the stream is longer than " + std::to_string(kLongestStream) + " bytes", 200));
    return;
  }
  events_.feed(bytes, [&](std::string_view name, std::string_view data) {
    Chunk chunk;
    if (event(name, data, chunk)) chunks.push_back(std::move(chunk));
    return !ended();
  });
  if (events_.overflowed()) {
    break_off(failure(Outcome::server_error,
                      "an event of the stream is longer than " + std::to_string(kLongestEvent) + " bytes", 200));
  }
}

bool DecodedStream::decide(std::string_view& bytes) {
  std::string_view start = bytes;
  if (start.starts_with("\xEF\xBB\xBF")) start.remove_prefix(3);
  start.remove_prefix(std::min(start.find_first_not_of(" \t\r\n"), start.size()));
  if (start.empty() || bytes.size() < 3) {
    if (bytes.size() <= kLongestEvent) seen_ = std::string(bytes);
    return false;
  }
  decided_ = true;
  const bool braced = start.front() == '{' && framing_ == EventSplitter::Framing::events;
  in_one_piece_ = braced || start.front() == '<' || start.front() == '[';
  return true;
}

void DecodedStream::break_off(Failure failure) {
  if (!failure_) failure_ = std::move(failure);
}

Decoded DecodedStream::finish() {
  if (!result_) result_ = finished();
  return *result_;
}

Decoded DecodedStream::finished() {
  const bool undecided = !decided_ && !trimmed(seen_).empty();
  if (in_one_piece_ && size_ > kLongestEvent) {
    return failure(Outcome::server_error, "the answer is longer than " + std::to_string(kLongestEvent) + " bytes", 200);
  }
  if (in_one_piece_ || undecided) return provider_.decode(200, headers_, seen_);
  if (!ended()) {
    events_.flush([&](std::string_view name, std::string_view data) {
      std::string repaired;
      if (trimmed(data) != "[DONE]" && !parse_leniently(data, repaired)) return;  // it was cut itself
      Chunk chunk;
      (void)event(name, data, chunk);
    });
  }
  Failure broken;
  if (failure_) {
    broken = std::move(*failure_);
  } else if (ended_ || complete()) {
    if (auto whole = reply()) return std::move(*whole);
    broken = failure(Outcome::server_error, "the stream holds no answer", 200);
  } else {
    broken = failure(Outcome::connection, "the stream was cut before the end of the answer", 200);
    broken.request_id = request_id_of(headers_, key_);
  }
  if (auto partial = reply()) broken.partial = std::make_shared<const Reply>(std::move(*partial));
  return broken;
}

ToolCallDelta ToolCalls::add(std::optional<std::int64_t> index, ToolCall piece) {
  constexpr std::size_t kMostCalls = 10'000;
  const auto same = [&](const Place& place) {
    return index ? place.index == index : !place.index && !piece.id.empty() && place.id == piece.id;
  };
  std::optional<std::size_t> at;
  if (index || !piece.id.empty()) {
    const auto place = std::find_if(places_.rbegin(), places_.rend(), same);
    if (place != places_.rend()) at = place->at;
  } else if (!calls_.empty()) {
    at = calls_.size() - 1;
  }
  // Gemini gives all of its calls the index 0.
  if (at && !piece.id.empty() && !piece.name.empty() && !calls_[*at].id.empty() && calls_[*at].id != piece.id)
    at.reset();
  if (!at && calls_.size() >= kMostCalls) at = calls_.size() - 1;
  ToolCallDelta delta;
  delta.arguments = piece.arguments;
  if (!at) {
    delta.index = static_cast<std::int64_t>(calls_.size());
    delta.id = piece.id;
    delta.name = piece.name;
    delta.type = piece.type;
    places_.push_back({index, index ? std::string() : piece.id, calls_.size()});
    calls_.push_back(std::move(piece));
    return delta;
  }
  ToolCall& call = calls_[*at];
  delta.index = static_cast<std::int64_t>(*at);
  delta.type = call.type;
  if (call.id.empty()) delta.id = call.id = std::move(piece.id);
  if (call.name.empty()) delta.name = call.name = std::move(piece.name);
  call.arguments += piece.arguments;
  return delta;
}

bool ToolCalls::knows(std::optional<std::int64_t> index) const noexcept {
  return std::any_of(places_.begin(), places_.end(), [index](const Place& place) { return place.index == index; });
}

}  // namespace llmcore::net
