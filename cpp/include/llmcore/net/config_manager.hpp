// Configuration: the environment over a JSON file over defaults, setting by setting, under the names of
// docs/configuration.md.
//
//   auto config = ConfigManager::load(ConfigManager::process_environment());
//   for (const std::string& problem : config.problems()) log(problem);  // all of them at once
//   Settings settings = config.settings();
//
// Only load(), add_file() and save_file() touch files, and only process_environment() the environment. Keys are never
// saved and never in a problem's sentence. Not thread-safe while it is being changed. Errors are values.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llmcore/config.hpp"
#include "llmcore/money.hpp"

namespace llmcore::net {

/// How one provider is reached; what is empty is as the provider's own default.
struct ProviderSettings {
  std::string api_key;
  std::string base_url;
  std::string api_version{};  ///< Azure's
};

/// Everything that can be set for a game, resolved. Those of a back end's ledger are Python's.
struct Settings {
  std::string provider = "offline";  ///< of a call that names none
  std::string model;                 ///< of a call to it that names none; empty: the provider's own
  std::map<std::string, ProviderSettings, std::less<>> providers;
  Config engine = Config::game();     ///< limits, queue, cache, retries, health, budgets, deadline
  bool cache = true;                  ///< whether calls that do not say so may be answered from the cache
  std::int64_t max_tokens = 2800;     ///< of a call that names none
  std::optional<double> temperature;  ///< empty: 1, which providers assume and which is not sent
  /// By model or "provider/model".
  std::map<std::string, std::shared_ptr<const PriceCard>, std::less<>> prices;

  /// How a provider is reached; empty when nothing is configured. "openai-responses" shares what openai has.
  [[nodiscard]] ProviderSettings provider_settings(std::string_view name) const;
};

class ConfigManager {
 public:
  using Environment = std::map<std::string, std::string, std::less<>>;

  /// The variables of this process.
  [[nodiscard]] static Environment process_environment();
  /// Defaults, then the file (the one given, else the one that LLMCORE_CONFIG names, else llmcore.json in the working
  /// directory where there is one), then the environment.
  [[nodiscard]] static ConfigManager load(const Environment& environment, std::string_view file = {});

  /// Each takes in one source. What another said before stays where this one says nothing, and an environment always
  /// goes over files. What cannot be read is among problems().
  void add_environment(const Environment& environment);
  void add_file(std::string_view path);
  /// `name` is what problems call it.
  void add_json(std::string_view text, std::string_view name);
  /// One setting, "limits.requests_per_minute", over all else.
  void set(std::string_view setting, std::string_view value);
  /// Everything that `other` says, over what this one says.
  void merge(const ConfigManager& other);

  /// One sentence for each setting that is wrong: where it came from, and what is allowed. Empty when all is well.
  [[nodiscard]] std::vector<std::string> problems() const;
  /// What is wrong counts as not said.
  [[nodiscard]] Settings settings() const;

  /// All that was said and is not wrong, as a JSON file that add_file() takes: without keys, whatever looks like one, and a
  /// URL's query that may hold one.
  [[nodiscard]] std::string save() const;
  /// Empty, or why it could not be written; then the file is as it was.
  [[nodiscard]] std::string save_file(std::string_view path) const;

  using Path = std::vector<std::string>;
  struct Said {
    std::string text;  ///< JSON, or plain text of the environment
    bool plain = false;
    std::string name;  ///< what the user would call it
    int rank = 0;      ///< over those of a lower one
  };

 private:
  void put(Path path, Said said);
  /// Takes a section apart, down to its settings.
  void put_all(const Path& path, std::string_view json, const std::string& prefix, int rank);

  std::map<Path, Said> said_;
  std::vector<std::string> unreadable_;
};

}  // namespace llmcore::net
