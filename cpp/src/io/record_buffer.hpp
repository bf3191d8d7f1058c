// Encoded records in a row, waiting to be written. For the journal's own sources.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "llmcore/journal_format.hpp"

namespace llmcore::io {

/// Its memory grows to what it once held, and stays so.
class RecordBuffer {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t records() const noexcept { return records_.size(); }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::string_view bytes() const noexcept { return {data_.get(), size_}; }

  void add(RecordEncoder& encoder, std::uint16_t kind, std::string_view payload) {
    const std::size_t whole = kRecordHeaderBytes + payload.size();
    if (capacity_ - size_ < whole) grow(size_ + whole);
    records_.push_back({kind, static_cast<std::uint32_t>(payload.size())});
    const auto header = encoder.next(kind, payload);
    std::memcpy(data_.get() + size_, header.data(), header.size());
    if (!payload.empty()) std::memcpy(data_.get() + size_ + header.size(), payload.data(), payload.size());
    size_ += whole;
  }

  void clear() noexcept {
    size_ = 0;
    records_.clear();
  }

  struct Prefix {
    std::size_t records = 0;
    std::size_t bytes = 0;
  };
  /// The records that are whole within the first `bytes` bytes.
  [[nodiscard]] Prefix whole_within(std::size_t bytes) const noexcept {
    Prefix prefix;
    for (const Record& record : records_) {
      const std::size_t whole = kRecordHeaderBytes + record.length;
      if (prefix.bytes + whole > bytes) break;
      prefix.bytes += whole;
      ++prefix.records;
    }
    return prefix;
  }
  void drop(const Prefix& prefix) {
    records_.erase(records_.begin(), records_.begin() + static_cast<std::ptrdiff_t>(prefix.records));
    size_ -= prefix.bytes;
    if (size_ > 0) std::memmove(data_.get(), data_.get() + prefix.bytes, size_);
  }

  /// The same records for another segment.
  void encode_anew(RecordEncoder& encoder) {
    RecordBuffer anew;
    std::size_t at = 0;
    for (const Record& record : records_) {
      anew.add(encoder, record.kind, bytes().substr(at + kRecordHeaderBytes, record.length));
      at += kRecordHeaderBytes + record.length;
    }
    *this = std::move(anew);
  }

 private:
  struct Record {
    std::uint16_t kind;
    std::uint32_t length;
  };

  void grow(std::size_t wanted) {
    const std::size_t capacity = std::max(wanted, 2 * capacity_);
    auto data = std::make_unique_for_overwrite<char[]>(capacity);
    if (size_ > 0) std::memcpy(data.get(), data_.get(), size_);
    data_ = std::move(data);
    capacity_ = capacity;
  }

  std::unique_ptr<char[]> data_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::vector<Record> records_;
};

}  // namespace llmcore::io
