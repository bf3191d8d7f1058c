#include "llmcore/net/client_setup.hpp"

#include <algorithm>
#include <utility>

#include "llmcore/net/curl_transport.hpp"

namespace llmcore::net {

Client::Config client_config_of(const Settings& settings, const ProviderFactory& factory,
                                const std::vector<std::string>& fallbacks, std::vector<std::string>& problems) {
  Client::Config config;
  config.engine = settings.engine;
  config.cache = settings.cache;
  config.max_tokens = settings.max_tokens;
  config.prices = settings.prices;
  const auto place = [&](std::string_view name, std::string_view model) {
    std::string problem;
    const std::shared_ptr<Provider> made = factory.create(name, settings, problem);
    if (!made) {
      problems.push_back(std::move(problem));
      return;
    }
    const std::string own(made->name());
    // Without a key or an address each call would go on to the next place, and nobody would know why.
    ChatRequest probe;
    probe.model = model.empty() ? made->default_model() : model;
    probe.messages.push_back({Client::Role::user, "?", {}, {}});
    const auto encoded = made->encode(probe);
    if (const auto* failure = std::get_if<Failure>(&encoded); failure != nullptr && failure->outcome == Outcome::auth) {
      problems.push_back(failure->message);
    }
    config.chain.push_back({own, std::string(model)});
    const auto same = [&](const std::shared_ptr<Provider>& each) { return each->name() == own; };
    if (std::none_of(config.providers.begin(), config.providers.end(), same)) config.providers.push_back(made);
  };
  place(settings.provider, settings.model);
  for (const std::string& each : fallbacks) {
    const std::size_t slash = std::min(each.find('/'), each.size());
    place(std::string_view(each).substr(0, slash), std::string_view(each).substr(std::min(slash + 1, each.size())));
  }
  config.transport = std::make_shared<CurlTransport>();
  return config;
}

}  // namespace llmcore::net
