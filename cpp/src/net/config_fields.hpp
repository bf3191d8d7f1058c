// What can be set: every setting's name, its kind and where it goes.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "llmcore/net/config_manager.hpp"

namespace llmcore::net {

/// Reads all that was said into settings, in words of what is wrong.
class SettingsReader {
 public:
  using All = std::map<ConfigManager::Path, ConfigManager::Said>;
  explicit SettingsReader(const All& all) : all_(all) {}

  [[nodiscard]] Settings read();
  [[nodiscard]] std::vector<std::string>& problems() noexcept { return problems_; }
  /// Whether something about it, one of `all`, was wrong.
  [[nodiscard]] bool refused(const ConfigManager::Said& said) const { return refused_.count(&said) != 0; }

 private:
  void read_names();
  void read_one(const ConfigManager::Path& path, const ConfigManager::Said& said);
  bool read_number(const std::string& name, const ConfigManager::Said& said);
  bool read_lane(const ConfigManager::Path& path, const ConfigManager::Said& said, std::size_t at,
                 RateLimiterConfig& limits);
  void read_provider(const ConfigManager::Path& path, const ConfigManager::Said& said);
  void read_version(const std::string& provider, const ConfigManager::Said& said, const std::string& text);
  void read_budgets(const ConfigManager::Said& said);
  void read_price(const std::string& model, const ConfigManager::Said& said);
  void read_queue();
  void unknown(const ConfigManager::Path& path, const ConfigManager::Said& said);
  void wrong(const ConfigManager::Said& said, std::string_view allowed, bool secret = false);

  const All& all_;
  Settings settings_;
  std::vector<std::string> problems_;
  std::set<const ConfigManager::Said*> refused_;
};

/// "a.b.c".
[[nodiscard]] std::string dotted(const ConfigManager::Path& path);
/// Whether `name` is a section, and one that is nearly called so; empty: none is.
[[nodiscard]] bool is_section(std::string_view name) noexcept;
[[nodiscard]] std::string_view nearest_section(std::string_view name) noexcept;

}  // namespace llmcore::net
