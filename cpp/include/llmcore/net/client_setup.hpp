// From a configuration to a client: one call, and a game can talk.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "llmcore/net/client.hpp"
#include "llmcore/net/config_manager.hpp"
#include "llmcore/net/provider_factory.hpp"

namespace llmcore::net {

/// A client's configuration: the provider and model that `settings` name, then `fallbacks` in their order, each
/// "provider" or "provider/model"; libcurl for a transport; limits, queue, budgets, prices and cache as set. A provider
/// that cannot be made is left out, and `problems` says why: what remains, the offline texts at the least, works. It says as
/// well who has no key or no address, whose calls go on to the next.
[[nodiscard]] Client::Config client_config_of(const Settings& settings, const ProviderFactory& factory,
                                              const std::vector<std::string>& fallbacks,
                                              std::vector<std::string>& problems);

}  // namespace llmcore::net
