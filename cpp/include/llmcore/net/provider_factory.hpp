// Providers by name: those built in, and those that a program registers.
//
// Not thread-safe while something is being added; create() may then be called by any number of threads. Errors are
// values.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llmcore/net/config_manager.hpp"
#include "llmcore/net/provider.hpp"

namespace llmcore::net {

/// The kinds of providers that are built in. A compatible host ("groq") is of the kind `openai`.
enum class ProviderType : std::uint8_t { openai, anthropic, local_llama, offline, openai_responses, azure, ollama };
/// "openai", "anthropic", "llama", "offline", "openai-responses", "azure", "ollama".
[[nodiscard]] std::string_view to_string(ProviderType type) noexcept;
/// The kind that a provider of that name is of, in upper or lower case; also "local_llama". Nothing of other names.
[[nodiscard]] std::optional<ProviderType> provider_type_of(std::string_view name);

class ProviderFactory {
 public:
  /// Makes a provider of the name that it was added under; nullptr, with `problem` set, where it cannot.
  using Make = std::function<std::shared_ptr<Provider>(const Settings& settings, std::string& problem)>;

  /// Makes a provider of one's own known. A name that is taken, by a built-in one too, is taken over. Empty, or why the
  /// name cannot be used.
  [[nodiscard]] std::string add(std::string_view name, Make make);
  /// The provider of that name, configured by `settings`; nullptr, with `problem` set: there is none, or its
  /// configuration cannot be used.
  [[nodiscard]] std::shared_ptr<Provider> create(std::string_view name, const Settings& settings,
                                                 std::string& problem) const;
  [[nodiscard]] std::shared_ptr<Provider> create(ProviderType type, const Settings& settings,
                                                 std::string& problem) const {
    return create(to_string(type), settings, problem);
  }
  /// Every name that create() takes, sorted.
  [[nodiscard]] std::vector<std::string> known() const;

 private:
  std::map<std::string, Make, std::less<>> own_;
};

}  // namespace llmcore::net
