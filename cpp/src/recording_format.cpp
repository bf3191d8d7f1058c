#include "llmcore/recording_format.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <type_traits>

#include "llmcore/hash.hpp"
#include "llmcore/recording_fields.hpp"

namespace llmcore {
namespace {

/// What a payload of a recording is: so many bytes that nobody has any more.
class SizeOnly final : public Payload {
 public:
  explicit SizeOnly(std::size_t size) : size_(size) {}
  [[nodiscard]] std::size_t size() const noexcept override { return size_; }

 private:
  std::size_t size_;
};

// --- to bytes ----------------------------------------------------------------------------------------------------------

/// Integers as LEB128 (signed ones zigzag first), flags and enumerators as one byte, hashes as they are, everything
/// that may be longer behind its length. Fields that came after `version` are left out.
class Writer {
 public:
  Writer(std::string& to, std::uint32_t version) : to_(to), version_(version) {}

  template <class T>
  void operator()(std::string_view /*name*/, const T& value) {
    put(value);
  }
  template <class T>
  void operator()(std::string_view /*name*/, const T& value, std::uint32_t since) {
    if (since <= version_) {
      put(value);
    } else if (value != T{}) {
      problem_ = "a value in it has no place in the layout of this version";
    }
  }
  [[nodiscard]] const char* problem() const noexcept { return problem_; }

 private:
  void byte(std::uint8_t value) { to_.push_back(static_cast<char>(value)); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7U) byte(static_cast<std::uint8_t>(value | 0x80U));
    byte(static_cast<std::uint8_t>(value));
  }
  void length(std::size_t value) {
    if (value > kLongestList) problem_ = "a list in it has more than 65,536 items";
    varint(value);
  }

  void put(bool value) { byte(value ? 1 : 0); }
  void put(std::uint32_t value) { varint(value); }
  void put(std::uint64_t value) { varint(value); }
  void put(std::int64_t value) {
    varint((static_cast<std::uint64_t>(value) << 1U) ^ static_cast<std::uint64_t>(value >> 63));
  }
  void put(const std::string& value) {
    varint(value.size());
    to_ += value;
  }
  void put(const StateHash& value) {
    for (unsigned shift = 0; shift < 64; shift += 8) byte(static_cast<std::uint8_t>(value.value >> shift));
  }
  void put(const Fingerprint& value) {
    for (const std::uint8_t each : value.bytes) byte(each);
  }
  void put(const Blob& value) {
    put(value != nullptr);
    if (value != nullptr) varint(value->size());
  }
  template <class E>
    requires std::is_enum_v<E>
  void put(E value) {
    if (static_cast<std::size_t>(value) >= Names<E>::count) problem_ = "a value in it has no name";
    byte(static_cast<std::uint8_t>(value));
  }
  template <class T>
  void put(const std::optional<T>& value) {
    put(value.has_value());
    if (value) put(*value);
  }
  template <class T>
  void put(const std::shared_ptr<const T>& value) {
    put(value != nullptr);
    if (value != nullptr) put(*value);
  }
  template <class T>
  void put(const std::vector<T>& value) {
    length(value.size());
    for (const T& each : value) put(each);
  }
  template <class T, std::size_t N>
  void put(const std::array<T, N>& value) {
    for (const T& each : value) put(each);
  }
  template <class T, class Less>
  void put(const std::map<std::string, T, Less>& value) {
    length(value.size());
    for (const auto& [key, each] : value) {
      put(key);
      put(each);
    }
  }
  template <class A, class B>
  void put(const std::pair<A, B>& value) {
    put(value.first);
    put(value.second);
  }
  void put(const Input& value) {
    byte(static_cast<std::uint8_t>(value.index()));
    std::visit([this](const auto& input) { put(input); }, value);
  }
  template <Described T>
  void put(const T& value) {
    describe(*this, value);
  }

  std::string& to_;
  std::uint32_t version_;
  const char* problem_ = nullptr;
};

// --- from bytes --------------------------------------------------------------------------------------------------------

/// Reads what Writer wrote, and nothing that it would have written otherwise. After the first problem it reads nothing
/// more.
class Reader {
 public:
  Reader(std::string_view from, std::uint32_t version) : from_(from), version_(version) {}

  template <class T>
  void operator()(std::string_view /*name*/, T& value, std::uint32_t since = 1) {
    if (problem_ == nullptr && since <= version_) get(value);
  }
  [[nodiscard]] const char* problem() const noexcept {
    if (problem_ != nullptr || from_.empty()) return problem_;
    return "bytes are left over at its end";
  }

 private:
  void fail(const char* why) noexcept {
    if (problem_ == nullptr) problem_ = why;
    from_ = {};
  }
  [[nodiscard]] std::string_view take(std::uint64_t count) noexcept {
    if (count > from_.size()) {
      fail("it ends too early");
      return {};
    }
    const std::string_view taken = from_.substr(0, static_cast<std::size_t>(count));
    from_.remove_prefix(taken.size());
    return taken;
  }
  [[nodiscard]] std::uint8_t byte() noexcept {
    const std::string_view taken = take(1);
    return taken.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(taken.front());
  }
  [[nodiscard]] std::uint64_t varint() noexcept {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const std::uint8_t part = byte();
      if (problem_ != nullptr) return 0;
      if (shift == 63 && part > 1) break;
      value |= static_cast<std::uint64_t>(part & 0x7FU) << shift;
      if (part < 0x80) {
        if (part == 0 && shift > 0) break;  // written with more bytes than it takes
        return value;
      }
    }
    fail("a number in it is malformed");
    return 0;
  }
  /// How many items follow: each takes a byte at least, so more than what is left is a lie.
  [[nodiscard]] std::size_t length() noexcept {
    const std::uint64_t value = varint();
    if (value > kLongestList || value > from_.size()) {
      fail("a list in it is longer than it can be");
      return 0;
    }
    return static_cast<std::size_t>(value);
  }

  void get(bool& value) {
    const std::uint8_t found = byte();
    if (found > 1) fail("a flag in it is neither 0 nor 1");
    value = found == 1;
  }
  void get(std::uint32_t& value) {
    const std::uint64_t found = varint();
    if (found > std::numeric_limits<std::uint32_t>::max()) fail("a number in it is too large");
    value = static_cast<std::uint32_t>(found);
  }
  void get(std::uint64_t& value) { value = varint(); }
  void get(std::int64_t& value) {
    const std::uint64_t found = varint();
    value = static_cast<std::int64_t>(found >> 1U) ^ -static_cast<std::int64_t>(found & 1U);
  }
  void get(std::string& value) { value = take(varint()); }
  void get(StateHash& value) {
    value.value = 0;
    unsigned shift = 0;
    for (const char each : take(8)) {
      value.value |= static_cast<std::uint64_t>(static_cast<std::uint8_t>(each)) << shift;
      shift += 8;
    }
  }
  void get(Fingerprint& value) {
    const std::string_view found = take(value.bytes.size());
    std::transform(found.begin(), found.end(), value.bytes.begin(),
                   [](char each) { return static_cast<std::uint8_t>(each); });
  }
  void get(Blob& value) {
    if (!present()) return;
    value = payload_of_size(varint());
    if (value == nullptr) fail("a payload is larger than any can be");
  }
  template <class E>
    requires std::is_enum_v<E>
  void get(E& value) {
    const std::uint8_t found = byte();
    if (found >= Names<E>::count) {
      fail("a value in it has no name");
      return;
    }
    value = static_cast<E>(found);
  }
  [[nodiscard]] bool present() {
    bool found = false;
    get(found);
    return found && problem_ == nullptr;
  }
  template <class T>
  void get(std::optional<T>& value) {
    value.reset();
    if (present()) get(value.emplace());
  }
  template <class T>
  void get(std::shared_ptr<const T>& value) {
    if (!present()) return;
    auto made = std::make_shared<T>();
    get(*made);
    value = std::move(made);
  }
  template <class T>
  void get(std::vector<T>& value) {
    value.clear();  // a default may be in it
    for (std::size_t left = length(); left > 0 && problem_ == nullptr; --left) get(value.emplace_back());
  }
  template <class T, std::size_t N>
  void get(std::array<T, N>& value) {
    for (T& each : value) get(each);
  }
  template <class T, class Less>
  void get(std::map<std::string, T, Less>& value) {
    for (std::size_t left = length(); left > 0 && problem_ == nullptr; --left) {
      std::string key;
      get(key);
      if (!value.empty() && !(value.rbegin()->first < key)) fail("names in it are out of order");
      if (problem_ == nullptr) get(value[std::move(key)]);
    }
  }
  template <class A, class B>
  void get(std::pair<A, B>& value) {
    get(value.first);
    get(value.second);
  }
  void get(Input& value) {
    if (!emplace_alternative(value, byte())) {
      fail("an input of this kind is not known");
      return;
    }
    std::visit([this](auto& input) { get(input); }, value);
  }
  template <Described T>
  void get(T& value) {
    if (problem_ == nullptr) describe(*this, value);
  }

  std::string_view from_;
  std::uint32_t version_;
  const char* problem_ = nullptr;
};

// --- what makes no sense -----------------------------------------------------------------------------------------------

const char* problem_of(const std::shared_ptr<const PriceCard>& price) {
  return price == nullptr || price->valid() ? nullptr : "a price card has a negative rate or tiers out of order";
}

const char* problem_of(const Usage& usage) {
  return usage.valid() ? nullptr : "a token count is negative or above 2^53";
}

/// What the engine's other callers are held to, so that replaying does not meet what running never does.
struct Sense {
  const char* operator()(const Submit& input) const {
    for (const Target& target : input.targets) {
      if (const char* problem = problem_of(target.price)) return problem;
    }
    return nullptr;
  }
  const char* operator()(const Replied& input) const {
    if (input.payload != nullptr && input.payload->size() > kLargestEvent) return "a payload is larger than any can be";
    const char* problem = problem_of(input.usage);
    return problem != nullptr ? problem : problem_of(input.price);
  }
  const char* operator()(const Failed& input) const {
    if (input.retry_after < 0) return "retry_after is negative";
    const char* problem = problem_of(input.usage);
    return problem != nullptr ? problem : problem_of(input.price);
  }
  template <class T>
  const char* operator()(const T& /*input*/) const {
    return nullptr;
  }
};

const char* name_problem(const std::string& name) {
  if (name.empty()) return "the name is empty";
  return name.size() > kLongestName ? "the name has more than 4,096 bytes" : nullptr;
}

const char* problem_of(const RecordedEvent& event) {
  if (const auto* begin = std::get_if<recorded::Begin>(&event)) {
    if (begin->version == 0) return "it has no version";
    return begin->version > kRecordingVersion ? "it was written by a newer version of llmcore" : nullptr;
  }
  if (const auto* start = std::get_if<recorded::Start>(&event)) {
    return start->config.problems().empty() ? nullptr : "the configuration is unusable";
  }
  if (const auto* fed = std::get_if<recorded::Fed>(&event)) {
    if (fed->now.mono < 0) return "the monotonic time is negative";
    return std::visit(Sense{}, fed->input);
  }
  if (const auto* response = std::get_if<recorded::Response>(&event)) {
    if (response->status > 999) return "the status is no HTTP status";
    return (response->status == 0) == response->error.has_value() ? nullptr
                                                                  : "it is an answer and an error, or neither";
  }
  if (const auto* draw = std::get_if<recorded::Draw>(&event)) {
    if (draw->bound != 0 && draw->value >= draw->bound) return "the value is outside of its bound";
    return name_problem(draw->name);
  }
  if (const auto* snapshot = std::get_if<recorded::Snapshot>(&event)) {
    if (snapshot->bytes && hash_of_state(*snapshot->bytes) != snapshot->state)
      return "the hash is not that of the bytes";
    return name_problem(snapshot->name);
  }
  return nullptr;
}

}  // namespace

Blob payload_of_size(std::uint64_t size) {
  return size > kLargestEvent ? nullptr : std::make_shared<SizeOnly>(static_cast<std::size_t>(size));
}

const char* encode_event(const RecordedEvent& event, std::string& to, std::uint32_t version) {
  const std::size_t before = to.size();
  const char* problem = problem_of(event);
  if (problem == nullptr) {
    Writer writer(to, version);
    std::visit([&](const auto& each) { describe(writer, each); }, event);
    problem = writer.problem();
    if (problem == nullptr && to.size() - before > kLargestEvent) problem = "it has more than 128 MiB";
    if (problem != nullptr) to.resize(before);
  }
  return problem;
}

const char* decode_event(RecordKind kind, std::string_view bytes, RecordedEvent& to, std::uint32_t version) {
  const auto found = std::find(kEventKinds.begin(), kEventKinds.end(), kind);
  if (!emplace_alternative(to, static_cast<std::size_t>(found - kEventKinds.begin()))) {
    return "an event of this kind is not known";
  }
  if (bytes.size() > kLargestEvent) return "it has more than 128 MiB";
  Reader reader(bytes, version);
  std::visit([&](auto& each) { describe(reader, each); }, to);
  const char* problem = reader.problem();
  return problem != nullptr ? problem : problem_of(to);
}

StateHash hash_of_state(std::string_view bytes) noexcept { return {mix64(std::uint64_t{0}, bytes)}; }

}  // namespace llmcore
