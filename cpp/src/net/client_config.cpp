#include <algorithm>
#include <set>
#include <string>

#include "llmcore/net/client.hpp"
#include "llmcore/net/provider.hpp"

namespace llmcore {

std::vector<std::string> Client::Config::problems() const {
  constexpr std::size_t kMostCalls = 1'000'000;
  constexpr std::size_t kFewestBytes = std::size_t{64} * 1024;
  constexpr std::size_t kMostBytes = std::size_t{1} << 30;
  std::vector<std::string> all = engine.problems();
  if (max_calls < 1 || max_calls > kMostCalls) all.emplace_back("max_calls is from 1 to 1,000,000.");
  if (event_bytes < kFewestBytes || event_bytes > kMostBytes) all.emplace_back("event_bytes is from 64 KiB to 1 GiB.");
  if (max_tokens < 1) all.emplace_back("max_tokens is at least 1.");
  std::set<std::string, std::less<>> names{"offline"};
  for (const std::shared_ptr<net::Provider>& provider : providers) {
    if (!provider) {
      all.emplace_back("providers holds a null pointer.");
    } else if (provider->name().empty()) {
      all.emplace_back("A provider has no name.");
    } else if (!names.emplace(provider->name()).second && provider->name() != "offline") {
      all.push_back("Two providers are called " + std::string(provider->name()) + ".");
    }
  }
  for (const Place& place : chain) {
    if (names.count(place.provider) == 0) {
      all.push_back("The chain names a provider that providers does not hold: " + place.provider + ".");
    }
  }
  for (const auto& [place, card] : prices) {
    if (!card || !card->valid()) all.push_back("The price of " + place + " is none.");
  }
  return all;
}

}  // namespace llmcore
