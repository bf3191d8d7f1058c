#include "llmcore/net/provider.hpp"

#include "llmcore/net/transport.hpp"

namespace llmcore::net {

std::string_view header(const Headers& headers, std::string_view name) noexcept {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

std::optional<RateObservation> Provider::observe(const Headers& /*headers*/) const { return std::nullopt; }

Decoded Provider::answer(const ChatRequest& /*request*/, std::string_view /*call_type*/) const {
  Failure failure;
  failure.outcome = Outcome::bad_request;
  failure.message = std::string(name()) + " answers over HTTP, not within the process";
  return failure;
}

}  // namespace llmcore::net
