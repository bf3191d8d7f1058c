#include "llmcore/net/hosts.hpp"

#include <algorithm>
#include <array>

namespace llmcore::net {
namespace {

constexpr std::string_view kOpenAIs = " api.openai.com openai.azure.com cognitiveservices.azure.com ";

constexpr std::array<Host, 16> kHosts{{
    {.name = "openai",
     .base_url = "https://api.openai.com/v1",
     .key_variable = "OPENAI_API_KEY",
     .url_variable = "OPENAI_BASE_URL",
     .model = "gpt-4o-mini",
     .completion_limit_hosts = kOpenAIs},
    {.name = "openai-responses",
     .base_url = "https://api.openai.com/v1",
     .key_variable = "OPENAI_API_KEY",
     .url_variable = "OPENAI_BASE_URL",
     .model = "gpt-4o-mini",
     .protocol = Protocol::responses},
    {.name = "azure",
     .key_variable = "AZURE_OPENAI_API_KEY",
     .url_variable = "AZURE_OPENAI_ENDPOINT",
     .protocol = Protocol::azure,
     .completion_limit_hosts = kOpenAIs},
    {.name = "anthropic",
     .base_url = "https://api.anthropic.com",
     .key_variable = "ANTHROPIC_API_KEY",
     .url_variable = "ANTHROPIC_BASE_URL",
     .model = "claude-sonnet-4-5",
     .protocol = Protocol::messages},
    {.name = "llama",
     .base_url = "http://127.0.0.1:8080",
     .key_variable = "LLAMA_API_KEY",
     .url_variable = "LLAMA_SERVER_URL",
     .model = "default",
     .protocol = Protocol::llama,
     .free = true},
    {.name = "lmstudio",
     .base_url = "http://127.0.0.1:1234",
     .key_variable = "LMSTUDIO_API_KEY",
     .url_variable = "LMSTUDIO_BASE_URL",
     .protocol = Protocol::llama,
     .free = true},
    {.name = "ollama",
     .base_url = "http://127.0.0.1:11434",
     .key_variable = "OLLAMA_API_KEY",
     .url_variable = "OLLAMA_BASE_URL",
     .model = "llama3.2",
     .protocol = Protocol::ollama,
     .free = true},
    {.name = "offline", .model = "offline", .protocol = Protocol::offline, .free = true},
    {.name = "groq",
     .base_url = "https://api.groq.com/openai/v1",
     .key_variable = "GROQ_API_KEY",
     .url_variable = "GROQ_BASE_URL",
     .model = "llama-3.3-70b-versatile",
     .completion_limit_hosts = " api.groq.com ",
     .unknown = " logprobs top_logprobs logit_bias "},
    {.name = "openrouter",
     .base_url = "https://openrouter.ai/api/v1",
     .key_variable = "OPENROUTER_API_KEY",
     .url_variable = "OPENROUTER_BASE_URL",
     .model = "openai/gpt-4o-mini",
     .extra_name = "usage",
     .extra_json = R"({"include":true})"},  // the cost as OpenRouter has it
    {.name = "mistral",
     .base_url = "https://api.mistral.ai/v1",
     .key_variable = "MISTRAL_API_KEY",
     .url_variable = "MISTRAL_BASE_URL",
     .model = "mistral-small-latest",
     .asks_for_usage = false,
     .renamed = " seed=random_seed max_completion_tokens=max_tokens ",
     .unknown = " logprobs top_logprobs logit_bias user store service_tier "},
    {.name = "deepseek",
     .base_url = "https://api.deepseek.com/v1",
     .key_variable = "DEEPSEEK_API_KEY",
     .url_variable = "DEEPSEEK_BASE_URL",
     .model = "deepseek-chat",
     .renamed = " max_completion_tokens=max_tokens "},
    {.name = "together",
     .base_url = "https://api.together.xyz/v1",
     .key_variable = "TOGETHER_API_KEY",
     .url_variable = "TOGETHER_BASE_URL",
     .model = "meta-llama/Llama-3.3-70B-Instruct-Turbo"},
    {.name = "cerebras",
     .base_url = "https://api.cerebras.ai/v1",
     .key_variable = "CEREBRAS_API_KEY",
     .url_variable = "CEREBRAS_BASE_URL",
     .model = "llama-3.3-70b",
     .completion_limit_hosts = " api.cerebras.ai ",
     .unknown = " frequency_penalty presence_penalty logit_bias "},
    {.name = "xai",
     .base_url = "https://api.x.ai/v1",
     .key_variable = "XAI_API_KEY",
     .url_variable = "XAI_BASE_URL",
     .model = "grok-3-mini"},
    {.name = "gemini",
     .base_url = "https://generativelanguage.googleapis.com/v1beta/openai",
     .key_variable = "GEMINI_API_KEY",
     .url_variable = "GEMINI_BASE_URL",
     .model = "gemini-2.5-flash",
     .total_holds_reasoning = true},
}};

}  // namespace

std::span<const Host> hosts() noexcept { return kHosts; }

const Host* host_of(std::string_view name) noexcept {
  const auto* found =
      std::find_if(kHosts.begin(), kHosts.end(), [name](const Host& host) { return host.name == name; });
  return found == kHosts.end() ? nullptr : found;
}

}  // namespace llmcore::net
