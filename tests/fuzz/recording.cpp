// A recording of any events: of bytes as they come, or of values, written as it should be. Each is refused in words, or there is one
// form of it; what is taken is run, by two engines that have to agree.
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "bytes.hpp"
#include "drawn.hpp"
#include "llmcore/recording_format.hpp"

namespace {

namespace recorded = llmcore::recorded;
using llmcore::kind_of;
using llmcore::RecordedEvent;
using llmcore::RecordKind;
using llmcore::fuzz::Bytes;
using llmcore::fuzz::require;

constexpr int kMostEvents = 64;

template <class T>
std::string encoded(const T& event) {
  std::string bytes;
  require(llmcore::encode_event(event, bytes) == nullptr, "what was read can be written");
  return bytes;
}

std::string any_string(Bytes& bytes) { return std::string(bytes.text()); }

llmcore::Fingerprint any_key(Bytes& bytes) { return llmcore::fingerprint("", "", "", any_string(bytes)); }

std::shared_ptr<const llmcore::PriceCard> any_card(Bytes& bytes) {
  return bytes.flag() ? llmcore::fuzz::any_price(bytes) : nullptr;
}

llmcore::Input any_input(Bytes& bytes) {
  switch (bytes.below(7)) {
    case 0: return llmcore::Tick{};
    case 1: return llmcore::Cancel{bytes.byte()};
    case 2: return llmcore::Streaming{bytes.byte()};
    case 3: {
      llmcore::Replied reply{bytes.byte(), llmcore::fuzz::any_usage(bytes), any_card(bytes), nullptr};
      if (bytes.flag()) reply.payload = llmcore::payload_of_size(static_cast<std::uint64_t>(bytes.number()));
      return reply;
    }
    case 4: {
      llmcore::Failed failed;
      failed.attempt = bytes.byte();
      failed.outcome = static_cast<llmcore::Outcome>(bytes.below(llmcore::kOutcomeCount + 1));
      if (bytes.flag()) failed.should_retry = bytes.flag();
      failed.retry_after = bytes.number();
      failed.usage = llmcore::fuzz::any_usage(bytes);
      failed.price = any_card(bytes);
      return failed;
    }
    case 5: {
      llmcore::Observed observed{any_string(bytes), any_string(bytes), {}};
      if (bytes.flag()) observed.limits.remaining_requests = bytes.number();
      if (bytes.flag()) observed.limits.remaining_tokens = bytes.number();
      observed.limits.requests_reset = bytes.number();
      observed.limits.tokens_reset = bytes.number();
      if (bytes.flag()) observed.limits.requests_limit = bytes.number();
      if (bytes.flag()) observed.limits.tokens_limit = bytes.number();
      return observed;
    }
    default: return llmcore::fuzz::any_submit(bytes);
  }
}

RecordedEvent any_event(Bytes& bytes) {
  switch (bytes.below(10)) {
    case 0: return recorded::Begin{static_cast<std::uint32_t>(bytes.number()), any_string(bytes)};
    case 1: return recorded::Start{llmcore::fuzz::any_config(bytes)};
    case 2:
      return recorded::Request{bytes.word(),      bytes.byte(),      any_key(bytes),    bytes.byte(),
                               any_string(bytes), any_string(bytes), any_string(bytes), any_string(bytes)};
    case 3: {
      recorded::Response response{bytes.word(), bytes.byte(), any_key(bytes), bytes.byte(), 200, {}, "", {}, ""};
      for (std::size_t headers = bytes.below(4); headers > 0; --headers) {
        std::string name = any_string(bytes);
        response.headers.emplace_back(std::move(name), any_string(bytes));
      }
      response.status = static_cast<std::uint32_t>(bytes.number());
      if (bytes.flag()) response.error = static_cast<llmcore::Outcome>(bytes.below(llmcore::kOutcomeCount + 1));
      response.body = any_string(bytes);
      response.message = any_string(bytes);
      return response;
    }
    case 4: return recorded::Frame{bytes.number()};
    case 5: return recorded::Draw{any_string(bytes), bytes.word(), bytes.word()};
    case 6: {
      recorded::Snapshot snapshot{bytes.number(), any_string(bytes), {bytes.word()}, std::nullopt};
      if (bytes.flag()) snapshot.bytes = any_string(bytes);
      if (snapshot.bytes && bytes.below(4) != 0) snapshot.state = llmcore::hash_of_state(*snapshot.bytes);
      return snapshot;
    }
    case 7: return recorded::End{bytes.word()};
    default: {
      const llmcore::Now now{bytes.number(), bytes.number()};
      return recorded::Fed{now, any_input(bytes), {bytes.word()}};
    }
  }
}

/// Bytes that may be an event of that kind.
std::pair<RecordKind, std::string> any_bytes(Bytes& bytes) {
  if (bytes.below(4) == 0) {
    const RecordedEvent event = any_event(bytes);
    std::string written = "before";
    const char* problem = llmcore::encode_event(event, written);
    if (problem != nullptr) {
      require(*problem != '\0' && written == "before", "a refusal says why, and writes nothing");
      return {RecordKind::open, ""};
    }
    written.erase(0, 6);
    RecordedEvent back;
    require(llmcore::decode_event(kind_of(event), written, back) == nullptr, "what was written can be read");
    require(llmcore::difference_of(event, back).field.empty(), "what was written comes back");
    return {kind_of(event), std::move(written)};
  }
  const std::size_t kind = bytes.below(llmcore::kEventKinds.size());
  const std::size_t size = std::size_t{bytes.byte()} << 8U | bytes.byte();
  return {llmcore::kEventKinds[kind], std::string(bytes.take(size))};
}

/// Two engines that are fed alike, as a replay does it.
class Twins {
 public:
  explicit Twins(const llmcore::Config& config) : one_(config), other_(config) {}

  void feed(const recorded::Fed& fed) {
    one_.handle(fed.input, fed.now);
    other_.handle(fed.input, fed.now);
    while (one_.poll()) require(other_.poll().has_value(), "the same inputs, the same actions");
    require(!other_.poll().has_value(), "the same inputs, the same actions");
    require(one_.state_hash() == other_.state_hash(), "the same inputs, the same state");
    const std::string broken = one_.check();
    require(broken.empty(), broken);
  }

 private:
  llmcore::Engine one_;
  llmcore::Engine other_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(data, size);
  std::optional<Twins> engines;
  std::optional<RecordedEvent> before;
  for (int events = 0; events < kMostEvents && !bytes.empty(); ++events) {
    const auto [kind, written] = any_bytes(bytes);
    RecordedEvent event;
    if (const char* problem = llmcore::decode_event(kind, written, event)) {
      require(*problem != '\0', "a refusal says why");
      continue;
    }
    require(kind_of(event) == kind, "an event is of its kind");
    require(encoded(event) == written, "an event has one form");
    require(llmcore::difference_of(event, event).field.empty(), "an event differs in nothing from itself");
    if (before) {
      const bool equal = kind_of(*before) == kind && encoded(*before) == written;
      require(llmcore::difference_of(*before, event).field.empty() == equal, "what differs differs in a field");
    }
    if (const auto* start = std::get_if<recorded::Start>(&event)) engines.emplace(start->config);
    if (const auto* fed = std::get_if<recorded::Fed>(&event); fed != nullptr && engines) engines->feed(*fed);
    before = std::move(event);
  }
  return 0;
}
