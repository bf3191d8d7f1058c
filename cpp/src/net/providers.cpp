#include "llmcore/net/providers.hpp"

#include <utility>

#include "answer_headers.hpp"
#include "chat.hpp"
#include "chat_request.hpp"
#include "failures.hpp"
#include "messages.hpp"
#include "ollama.hpp"
#include "responses.hpp"

namespace llmcore::net {
namespace {

/// Whether a host is one of these, or below one.
bool is_among(std::string_view host, std::string_view list) noexcept {
  while (!list.empty()) {
    list.remove_prefix(list.find_first_not_of(' ') == std::string_view::npos ? list.size()
                                                                             : list.find_first_not_of(' '));
    const std::string_view one = list.substr(0, list.find(' '));
    list.remove_prefix(one.size());
    if (one.empty()) continue;
    if (host == one) return true;
    if (host.ends_with(one) && host[host.size() - one.size() - 1] == '.') return true;
  }
  return false;
}

/// The URL of the API of a local server that is given by its address alone.
HttpOptions versioned(HttpOptions options, const Host& host) {
  const std::string url(trimmed(options.base_url.empty() ? host.base_url : std::string_view(options.base_url)));
  const std::size_t mark = std::min(url.find('?'), url.size());
  std::string before = url.substr(0, mark);
  while (before.ends_with('/')) before.pop_back();
  const std::size_t authority = before.find("://");
  const bool bare = authority != std::string::npos && before.find('/', authority + 3) == std::string::npos;
  options.base_url = bare ? before + "/v1" + url.substr(mark) : url;
  return options;
}

/// The latest version of Azure's API that is not a preview.
constexpr std::string_view kAzureVersion = "2024-10-21";

/// As one segment of a URL.
std::string escaped(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += kDigits[byte >> 4U];
      out += kDigits[byte & 0xFU];
    }
  }
  return out;
}

}  // namespace

OpenAIProvider::OpenAIProvider(HttpOptions options, const Host& host) : HttpProvider(host, std::move(options)) {
  limit_name_ = is_among(url().host, host.completion_limit_hosts) ? "max_completion_tokens" : "max_tokens";
}

std::variant<HttpRequest, Failure> OpenAIProvider::encode(const ChatRequest& chat) const {
  ChatBody made = encode_chat(chat, host(), limit_name_, chat.stream);
  if (made.problem) return failure(Outcome::bad_request, std::move(*made.problem));
  return request(url().with("/chat/completions"), std::move(made.body));
}

Decoded OpenAIProvider::decode(int status, const Headers& headers, std::string_view body) const {
  const Reading reading{headers, key(), now()};
  if (status != 200) return failure_of(status, reading, body);
  return decode_chat(reading, body, host());
}

std::unique_ptr<StreamDecoder> OpenAIProvider::stream_decoder(const Headers& headers) const {
  return chat_stream(*this, headers, host(), key(), now());
}

std::optional<RateObservation> OpenAIProvider::observe(const Headers& headers) const { return observation_of(headers); }

AzureOpenAIProvider::AzureOpenAIProvider(HttpOptions options) : OpenAIProvider(options, *host_of("azure")) {
  versioned_ = !url().path.ends_with("/v1");
  const bool given = url().query.find("api-version=") != std::string::npos;
  if (given || (!versioned_ && options.api_version.empty())) return;
  query_ = "api-version=" + (options.api_version.empty() ? std::string(kAzureVersion) : escaped(options.api_version));
}

std::pair<std::string, std::string> AzureOpenAIProvider::authorization() const {
  return {"api-key", std::string(key())};
}

std::variant<HttpRequest, Failure> AzureOpenAIProvider::encode(const ChatRequest& chat) const {
  std::string deployment;
  ChatBody made = encode_chat(chat, host(), limit_name(), chat.stream, &deployment);
  if (made.problem) return failure(Outcome::bad_request, std::move(*made.problem));
  const std::string path = versioned_ ? "/openai/deployments/" + escaped(deployment) : std::string();
  return request(url().with(path + "/chat/completions", query_), std::move(made.body));
}

OpenAIResponsesProvider::OpenAIResponsesProvider(HttpOptions options)
    : HttpProvider(*host_of("openai-responses"), std::move(options)) {}

std::variant<HttpRequest, Failure> OpenAIResponsesProvider::encode(const ChatRequest& chat) const {
  ChatBody made = encode_responses(chat);
  if (made.problem) return failure(Outcome::bad_request, std::move(*made.problem));
  return request(url().with("/responses"), std::move(made.body));
}

Decoded OpenAIResponsesProvider::decode(int status, const Headers& headers, std::string_view body) const {
  const Reading reading{headers, key(), now()};
  return status == 200 ? decode_responses(reading, body) : failure_of(status, reading, body);
}

std::unique_ptr<StreamDecoder> OpenAIResponsesProvider::stream_decoder(const Headers& headers) const {
  return responses_stream(*this, headers, key(), now());
}

std::optional<RateObservation> OpenAIResponsesProvider::observe(const Headers& headers) const {
  return observation_of(headers);
}

LocalLlamaProvider::LocalLlamaProvider(HttpOptions options, const Host& host)
    : OpenAIProvider(versioned(std::move(options), host), host) {}

std::variant<HttpRequest, Failure> LocalLlamaProvider::health() const {
  if (host().name != "llama") return models();  // LM Studio has no other
  Url root = url();
  if (root.path.ends_with("/v1")) root.path.resize(root.path.size() - 3);
  return request(root.with("/health"), {}, "GET");
}

std::variant<bool, Failure> LocalLlamaProvider::is_healthy(int status, const Headers& headers,
                                                           std::string_view body) const {
  if (status == 200) return true;
  if (status == 503) return false;
  return failure_of(status, {headers, key(), now()}, body);
}

std::variant<HttpRequest, Failure> LocalLlamaProvider::models() const {
  return request(url().with("/models"), {}, "GET");
}

std::variant<std::vector<std::string>, Failure> LocalLlamaProvider::model_names(int status, const Headers& headers,
                                                                                std::string_view body) const {
  const Reading reading{headers, key(), now()};
  if (status != 200) return failure_of(status, reading, body);
  std::string repaired;
  const auto answer = parse_leniently(body, repaired);
  if (!answer) return failure_of(status, reading, body);
  const Json data = (*answer)["data"];
  const Json listed = data.says_something() ? data : (*answer)["models"];
  if (!listed.is(Json::Kind::list)) return failure_of(status, reading, body);
  std::vector<std::string> names;
  listed.each([&names](Json each) {
    for (const std::string_view member : {"id", "model", "name"}) {
      if (std::string name = each[member].text(); !name.empty()) {
        names.push_back(std::move(name));
        break;
      }
    }
    return true;
  });
  return names;
}

OllamaProvider::OllamaProvider(HttpOptions options) : LocalLlamaProvider(std::move(options), *host_of("ollama")) {
  native_ = url().path.ends_with("/api");
}

std::variant<HttpRequest, Failure> OllamaProvider::encode(const ChatRequest& chat) const {
  if (!native_) return LocalLlamaProvider::encode(chat);
  ChatBody made = encode_ollama(chat);
  if (made.problem) return failure(Outcome::bad_request, std::move(*made.problem));
  return request(url().with("/chat"), std::move(made.body));
}

Decoded OllamaProvider::decode(int status, const Headers& headers, std::string_view body) const {
  if (status == 200) {
    if (auto own = decode_ollama({headers, key(), now()}, body)) return std::move(*own);
  }
  return LocalLlamaProvider::decode(status, headers, body);
}

std::unique_ptr<StreamDecoder> OllamaProvider::stream_decoder(const Headers& headers) const {
  return ollama_stream(*this, headers, key(), now(),
                       [this, headers] { return LocalLlamaProvider::stream_decoder(headers); });
}

std::variant<HttpRequest, Failure> OllamaProvider::models() const {
  return native_ ? request(url().with("/tags"), {}, "GET") : LocalLlamaProvider::models();
}

AnthropicProvider::AnthropicProvider(HttpOptions options) : HttpProvider(*host_of("anthropic"), std::move(options)) {
  messages_url_ = url().with(url().path.ends_with("/v1") ? "/messages" : "/v1/messages");
}

std::pair<std::string, std::string> AnthropicProvider::authorization() const {
  return {"x-api-key", std::string(key())};
}

std::variant<HttpRequest, Failure> AnthropicProvider::encode(const ChatRequest& chat) const {
  std::string betas;
  ChatBody made = encode_messages(chat, betas);
  if (made.problem) return failure(Outcome::bad_request, std::move(*made.problem));
  auto asked = request(messages_url_, std::move(made.body));
  if (auto* http = std::get_if<HttpRequest>(&asked)) {
    http->headers.emplace_back("anthropic-version", "2023-06-01");
    if (!betas.empty()) http->headers.emplace_back("anthropic-beta", std::move(betas));
  }
  return asked;
}

Decoded AnthropicProvider::decode(int status, const Headers& headers, std::string_view body) const {
  const Reading reading{headers, key(), now()};
  if (status == 200) return decode_messages(reading, body);
  Failure refused = failure_of(status, reading, body);
  std::string repaired;
  if (const auto told = parse_leniently(body, repaired)) take_request_id(refused, *told, key());
  return refused;
}

std::unique_ptr<StreamDecoder> AnthropicProvider::stream_decoder(const Headers& headers) const {
  return messages_stream(*this, headers, key(), now());
}

std::optional<RateObservation> AnthropicProvider::observe(const Headers& headers) const {
  return anthropic_observation_of(headers, now());
}

}  // namespace llmcore::net
