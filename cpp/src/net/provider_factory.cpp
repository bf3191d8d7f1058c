#include "llmcore/net/provider_factory.hpp"

#include <algorithm>
#include <utility>

#include "answer_headers.hpp"
#include "llmcore/net/providers.hpp"
#include "phrases.hpp"

namespace llmcore::net {
namespace {

std::string normal(std::string_view name) {
  std::string made = lowered(trimmed(name));
  std::replace(made.begin(), made.end(), '_', '-');
  return made;
}

}  // namespace

std::string_view to_string(ProviderType type) noexcept {
  switch (type) {
    case ProviderType::openai: return "openai";
    case ProviderType::anthropic: return "anthropic";
    case ProviderType::local_llama: return "llama";
    case ProviderType::offline: return "offline";
    case ProviderType::openai_responses: return "openai-responses";
    case ProviderType::azure: return "azure";
    case ProviderType::ollama: return "ollama";
  }
  return "offline";
}

std::optional<ProviderType> provider_type_of(std::string_view name) {
  const std::string wanted = normal(name);
  if (wanted == "local-llama") return ProviderType::local_llama;
  const Host* const host = host_of(wanted);
  if (host == nullptr) return std::nullopt;
  switch (host->protocol) {
    case Protocol::chat: return ProviderType::openai;
    case Protocol::responses: return ProviderType::openai_responses;
    case Protocol::azure: return ProviderType::azure;
    case Protocol::messages: return ProviderType::anthropic;
    case Protocol::ollama: return ProviderType::ollama;
    case Protocol::llama: return ProviderType::local_llama;
    case Protocol::offline: return ProviderType::offline;
  }
  return std::nullopt;
}

std::string ProviderFactory::add(std::string_view name, Make make) {
  const std::string wanted = normal(name);
  if (wanted.empty() || !is_printable(wanted) || wanted.find_first_of("/ ") != std::string::npos || !make) {
    return R"(this is no name for a provider: take letters, digits, "." and "-", and something that makes it)";
  }
  own_[wanted] = std::move(make);
  return {};
}

std::shared_ptr<Provider> ProviderFactory::create(std::string_view name, const Settings& settings,
                                                  std::string& problem) const {
  problem.clear();
  std::string wanted = normal(name);
  if (wanted == "local-llama") wanted = "llama";
  if (const auto own = own_.find(wanted); own != own_.end()) {
    std::shared_ptr<Provider> made = own->second(settings, problem);
    if (made && made->name() == wanted) return made;
    if (problem.empty()) problem = "what was added as '" + wanted + "' made no provider of that name";
    return nullptr;
  }
  const Host* const host = host_of(wanted);
  if (host == nullptr) {
    problem =
        "there is no provider '" + (is_printable(wanted) ? wanted.substr(0, 64) : std::string("?")) + "'; known are ";
    for (const std::string& each : known()) problem += each + ", ";
    problem.resize(problem.size() - 2);
    return nullptr;
  }
  if (host->protocol == Protocol::offline) return std::make_shared<OfflineProvider>();
  const ProviderSettings own = settings.provider_settings(wanted);
  HttpOptions options{own.api_key, own.base_url, wanted, {}, own.api_version};
  problem = HttpProvider::problem(*host, options);
  if (!problem.empty()) return nullptr;
  switch (host->protocol) {
    case Protocol::responses: return std::make_shared<OpenAIResponsesProvider>(std::move(options));
    case Protocol::azure: return std::make_shared<AzureOpenAIProvider>(std::move(options));
    case Protocol::messages: return std::make_shared<AnthropicProvider>(std::move(options));
    case Protocol::ollama: return std::make_shared<OllamaProvider>(std::move(options));
    case Protocol::llama: return std::make_shared<LocalLlamaProvider>(std::move(options), *host);
    default: return std::make_shared<OpenAIProvider>(std::move(options), *host);
  }
}

std::vector<std::string> ProviderFactory::known() const {
  std::vector<std::string> names;
  for (const Host& host : hosts()) names.emplace_back(host.name);
  for (const auto& [name, make] : own_) names.push_back(name);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace llmcore::net
