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

/// The event without its texts, as it lies in the ring.
struct Wire {
  Client::Event event;
  std::array<std::size_t, kTexts> sizes;
  char* apart;  // the texts, where they are too long; otherwise nullptr
};
static_assert(std::is_trivially_copyable_v<Client::Event>, "an event is copied as it lies");

}  // namespace

bool EventRing::push(const Client::Event& event) {
  Wire wire{event, {}, nullptr};
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
