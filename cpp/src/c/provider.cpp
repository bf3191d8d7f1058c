#include <string>
#include <vector>

#include "guard.hpp"
#include "handles.hpp"
#include "llmcore/net/client_setup.hpp"

namespace llmcore::c {

bool configure(const llmcore_config& from, Client::Config& to, std::string& problem) {
  using net::ConfigManager;
  ConfigManager manager = ConfigManager::load(ConfigManager::process_environment());
  if (from.provider != nullptr) manager.set("provider", from.provider);
  if (from.model != nullptr) manager.set("model", from.model);
  const std::string place = "providers." + manager.settings().provider + ".";
  if (from.api_key != nullptr) manager.set(place + "api_key", from.api_key);
  if (from.base_url != nullptr) manager.set(place + "base_url", from.base_url);
  std::vector<std::string> problems = manager.problems();
  to = net::client_config_of(manager.settings(), net::ProviderFactory(), {}, problems);
  problem.clear();
  for (const std::string& one : problems) problem += (problem.empty() ? "" : "; ") + one;
  return problem.empty();
}

}  // namespace llmcore::c
