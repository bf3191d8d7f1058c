#include "llmcore/config.hpp"

#include "shown.hpp"

namespace llmcore {

Config Config::game() { return {}; }

Config Config::server() {
  Config config;
  config.limits.requests_per_minute = 0;
  config.limits.minute_burst = false;
  config.queue = RequestQueueConfig::server();
  return config;
}

std::vector<std::string> Config::problems() const {
  std::vector<std::string> found;
  const auto note = [&](const std::string& part, const char* problem) {
    if (problem != nullptr) found.push_back(part + ": " + problem);
  };
  note("limits", limits.problem());
  for (const auto& [provider, limit] : provider_limits) note("limits.providers." + shown(provider), limit.problem());
  note("queue", queue.problem());
  note("cache", cache.problem());
  note("retry", backoff.problem());
  note("recovery", recovery.problem());
  note("tracker", tracker.problem());
  for (std::size_t i = 0; i < budgets.size(); ++i) {
    const std::string problem = budgets[i].problem();
    if (!problem.empty()) found.push_back("budgets[" + std::to_string(i) + "]: " + problem);
  }
  if (deadline <= 0) found.emplace_back("deadline: must be above 0");
  if (attempt_timeout <= 0) found.emplace_back("attempt_timeout: must be above 0");
  // 16 targets x 60 attempts stay below the 1024 attempts that an attempt's id has room for.
  if (recovery.max_attempts > 60) found.emplace_back("recovery: max_attempts must be at most 60");
  if (max_lanes < 1) found.emplace_back("max_lanes: must be at least 1");
  return found;
}

}  // namespace llmcore
