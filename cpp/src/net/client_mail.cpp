#include "client_mail.hpp"

#include <cstring>
#include <type_traits>

namespace llmcore::net {
namespace {

/// A text's place in an event: behind the event itself, one after the other in this order.
constexpr std::size_t kTexts = 6;

std::array<std::string_view*, kTexts> texts_of(Client::Event& event) noexcept {
  return {&event.text, &event.error, &event.provider, &event.model, &event.finish, &event.tool_calls};
}

/// What an event in the ring begins with.
enum class Shape : std::uint64_t { token, any };

/// The next piece of an answer, which nearly every event is: a line of the processor's cache in place of five.
struct TokenWire {
  Shape shape;
  CallId call;
  std::uint64_t tag;
  std::size_t size;  // of the text, which is behind it
};

/// Any event without its texts.
struct Wire {
  Shape shape;
  Client::Event event;
  std::array<std::size_t, kTexts> sizes;
  char* apart;  // the texts, where they are too long; otherwise nullptr
};
static_assert(std::is_trivially_copyable_v<Client::Event>, "an event is copied as it lies");

}  // namespace

bool EventRing::push(const Client::Event& event) {
  if (event.kind == Client::Event::Kind::token && sizeof(TokenWire) + event.text.size() <= ring_.longest()) {
    const TokenWire wire{Shape::token, event.call, event.tag, event.text.size()};
    char* const frame = ring_.reserve(sizeof wire + wire.size);
    if (frame == nullptr) return false;
    std::memcpy(frame, &wire, sizeof wire);
    if (wire.size != 0) std::memcpy(frame + sizeof wire, event.text.data(), wire.size);
    ring_.commit();
    return true;
  }
  Wire wire{Shape::any, event, {}, nullptr};
  std::size_t total = 0;
  const auto texts = texts_of(wire.event);
  for (std::size_t i = 0; i < kTexts; ++i) total += wire.sizes[i] = texts[i]->size();
  const bool apart = sizeof wire + total > ring_.longest();
  char* const frame = ring_.reserve(sizeof wire + (apart ? 0 : total));
  if (frame == nullptr) return false;
  char* to = frame + sizeof wire;
  if (apart) to = wire.apart = std::make_unique<char[]>(total).release();
  for (std::size_t i = 0; i < kTexts; ++i) {
    if (wire.sizes[i] != 0) std::memcpy(to, texts[i]->data(), wire.sizes[i]);
    to += wire.sizes[i];
  }
  std::memcpy(frame, &wire, sizeof wire);
  ring_.commit();
  return true;
}

bool EventRing::next(Client::Event& event) {
  const char* const frame = ring_.next();
  if (frame == nullptr) return false;
  Shape shape;
  std::memcpy(&shape, frame, sizeof shape);
  if (shape == Shape::token) {
    TokenWire wire;
    std::memcpy(&wire, frame, sizeof wire);
    event = {};
    event.kind = Client::Event::Kind::token;
    event.call = wire.call;
    event.tag = wire.tag;
    event.text = {frame + sizeof wire, wire.size};
    return true;
  }
  Wire wire;
  std::memcpy(&wire, frame, sizeof wire);
  event = wire.event;
  const char* from = frame + sizeof wire;
  if (wire.apart != nullptr) {
    held_.emplace_back(wire.apart);
    from = wire.apart;
  }
  const auto texts = texts_of(event);
  for (std::size_t i = 0; i < kTexts; ++i) {
    *texts[i] = std::string_view(from, wire.sizes[i]);
    from += wire.sizes[i];
  }
  return true;
}

void EventRing::release() {
  held_.clear();
  ring_.release();
}

EventRing::~EventRing() {
  Client::Event event;
  while (next(event)) {
  }
}

}  // namespace llmcore::net
