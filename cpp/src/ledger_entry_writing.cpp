// An entry as MessagePack, each value in its shortest form, as other writers have it.
#include <bit>
#include <cstring>

#include "llmcore/ledger_entry.hpp"

namespace llmcore {
namespace {

constexpr std::size_t kCallFields = 33;
constexpr std::size_t kAttemptFields = 12;
constexpr std::size_t kPayloadTexts = 7;

class Writer {
 public:
  explicit Writer(std::string& to) noexcept : to_(to) {}

  void nil() { byte(0xC0); }
  void boolean(bool value) { byte(value ? 0xC3 : 0xC2); }
  void array(std::size_t size) { size < 16 ? byte(0x90 | size) : tagged(0xDC, size, 2); }
  void map(std::size_t size) { byte(0x80 | size); }  // of fewer than 16
  void integer(std::int64_t value) {
    const auto bits = static_cast<std::uint64_t>(value);
    if (value >= -32 && value < 128) {
      byte(bits & 0xFF);
    } else if (value >= 0) {
      value <= 0xFF         ? tagged(0xCC, bits, 1)
      : value <= 0xFFFF     ? tagged(0xCD, bits, 2)
      : value <= 0xFFFFFFFF ? tagged(0xCE, bits, 4)
                            : tagged(0xCF, bits, 8);
    } else {
      value >= -0x80           ? tagged(0xD0, bits, 1)
      : value >= -0x8000       ? tagged(0xD1, bits, 2)
      : value >= -0x80000000LL ? tagged(0xD2, bits, 4)
                               : tagged(0xD3, bits, 8);
    }
  }
  void real(double value) { tagged(0xCB, std::bit_cast<std::uint64_t>(value), 8); }
  void text(std::string_view value) {
    const std::size_t size = value.size();
    size < 32        ? byte(0xA0 | size)
    : size <= 0xFF   ? tagged(0xD9, size, 1)
    : size <= 0xFFFF ? tagged(0xDA, size, 2)
                     : tagged(0xDB, size, 4);
    to_.append(value);
  }
  void text(const std::optional<std::string_view>& value) { value ? text(*value) : nil(); }
  void integer(const std::optional<std::int64_t>& value) { value ? integer(*value) : nil(); }

 private:
  void byte(std::uint64_t value) { to_.push_back(static_cast<char>(value)); }
  void tagged(unsigned tag, std::uint64_t value, unsigned bytes) {
    byte(tag);
    for (unsigned left = bytes; left != 0; --left) byte(value >> (8 * (left - 1)) & 0xFF);
  }

  std::string& to_;
};

void write_usage(Writer& writer, const Usage& usage) {
  writer.array(kUsageBuckets.size() + 1);
  for (const auto bucket : kUsageBuckets) writer.integer(usage.*bucket);
  writer.boolean(usage.estimated);
}

void write_attempt(Writer& writer, const LedgerAttempt& attempt) {
  writer.array(kAttemptFields);
  writer.integer(static_cast<std::int64_t>(attempt.call));
  writer.integer(static_cast<std::int64_t>(attempt.attempt));
  writer.integer(attempt.number);
  writer.integer(attempt.target);
  writer.text(attempt.provider);
  writer.text(attempt.model);
  writer.integer(static_cast<std::int64_t>(attempt.outcome));
  write_usage(writer, attempt.usage);
  writer.integer(attempt.cost);
  writer.integer(attempt.started);
  writer.integer(attempt.latency);
  writer.integer(attempt.retry_after);
}

void write_context(Writer& writer, const LedgerEntry& entry) {
  std::size_t said = (entry.hand_number ? 1U : 0U) + (entry.tags.empty() ? 0U : 1U);
  for (const auto& text : entry.context) said += text ? 1 : 0;
  writer.map(said);
  for (std::size_t i = 0; i < entry.context.size(); ++i) {
    if (!entry.context[i]) continue;
    writer.text(kContextFields[i]);
    writer.text(entry.context[i]);
  }
  if (entry.hand_number) {
    writer.text(std::string_view("hand_number"));
    writer.integer(entry.hand_number);
  }
  if (!entry.tags.empty()) {
    writer.text(std::string_view("tags"));
    writer.array(entry.tags.size());
    for (const std::string_view tag : entry.tags) writer.text(tag);
  }
}

void write_call(Writer& writer, const LedgerEntry& entry) {
  writer.array(kCallFields);
  writer.text(entry.id);
  writer.text(entry.call_type);
  writer.text(entry.status);
  writer.integer(static_cast<std::int64_t>(entry.outcome));
  writer.integer(static_cast<std::int64_t>(entry.source));
  writer.text(entry.provider);
  writer.text(entry.model);
  write_context(writer, entry);
  writer.text(entry.response_model);
  write_usage(writer, entry.usage);
  writer.integer(entry.cost);
  writer.integer(entry.saved);
  writer.text(entry.price_source);
  writer.integer(entry.latency);
  writer.integer(entry.queued);
  writer.integer(entry.first_token);
  writer.array(entry.attempts.size());
  for (const LedgerAttempt& attempt : entry.attempts) write_attempt(writer, attempt);
  writer.text(entry.finish_reason);
  writer.text(entry.error_code);
  writer.text(entry.error_message);
  writer.boolean(entry.fallback_used);
  writer.boolean(entry.cache_hit);
  entry.temperature ? writer.real(*entry.temperature) : writer.nil();
  writer.integer(entry.max_tokens);
  writer.integer(entry.image_count);
  writer.text(entry.image_size);
  writer.integer(entry.created_at);
  writer.integer(entry.started_at);
  writer.integer(entry.completed_at);
  writer.text(entry.request_id);
  writer.text(entry.tenant);
  writer.integer(entry.reserved);
  writer.integer(entry.reported_cost);
}

}  // namespace

void LedgerEntry::append_to(std::string& bytes) const {
  Writer writer(bytes);
  writer.array(3);
  write_call(writer, *this);
  writer.text(metadata);
  if (!payload) {
    writer.nil();
    return;
  }
  writer.array(1 + kPayloadTexts);
  writer.text(payload->policy);
  for (const auto& text : payload->texts) writer.text(text);
}

}  // namespace llmcore
