// The providers that are built in: OpenAI's Chat Completions and every server that speaks the same, Azure's deployments,
// OpenAI's Responses, servers on one's own machine (Ollama's own API too), Anthropic's Messages, and the one that answers
// without any.
//
// Each holds its configuration and no state, and any number of threads may share one. Decoders of streams refer to the
// provider that made them, which must live as long. The key is in the headers of requests, and nowhere else: no message
// shows it, whatever a server echoes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "llmcore/net/hosts.hpp"
#include "llmcore/net/provider.hpp"
#include "llmcore/offline.hpp"

namespace llmcore::net {

/// How a provider over HTTP is reached.
struct HttpOptions {
  std::string api_key;   ///< may be missing where the URL leads to this machine or a private network
  std::string base_url;  ///< empty: the host's; a query stays at the end of the URL
  std::string name;      ///< in settings, prices, limits and the ledger; empty: the host's
  /// Against which dates in headers are measured; empty: the system's clock.
  std::function<WallTime()> now;
  std::string api_version{};  ///< of Azure's API; empty: the latest that is no preview
};

/// What every provider that is reached over HTTP has in common: its key, its URL, its headers.
class HttpProvider : public Provider {
 public:
  /// What is wrong with the key or the URL; empty: nothing is.
  [[nodiscard]] static std::string problem(const Host& host, const HttpOptions& options);

  [[nodiscard]] std::string_view name() const noexcept final { return name_; }
  [[nodiscard]] std::string_view default_model() const noexcept final { return host_.model; }
  [[nodiscard]] bool free() const noexcept override { return host_.free; }
  [[nodiscard]] const Host& host() const noexcept { return host_; }
  /// Where it sends: scheme, host and path, without a query.
  [[nodiscard]] std::string address() const;

 protected:
  /// Throws std::invalid_argument when problem() names one.
  HttpProvider(const Host& host, HttpOptions options);

  struct Url {
    std::string scheme, authority, host, path, query;
    /// `query_behind` goes after the URL's own.
    [[nodiscard]] std::string with(std::string_view path_behind, std::string_view query_behind = {}) const;
  };
  [[nodiscard]] const Url& url() const noexcept { return url_; }
  [[nodiscard]] std::string_view key() const noexcept { return key_; }
  [[nodiscard]] WallTime now() const;
  /// A request to `to`, or why there can be none.
  [[nodiscard]] std::variant<HttpRequest, Failure> request(std::string to, std::string body,
                                                           std::string_view method = "POST") const;
  [[nodiscard]] virtual std::pair<std::string, std::string> authorization() const;

 private:
  const Host& host_;
  std::string name_;
  std::string key_;
  Url url_;
  bool may_lack_key_ = false;
  std::function<WallTime()> now_;
};

/// Chat Completions over HTTP.
class OpenAIProvider : public HttpProvider {
 public:
  explicit OpenAIProvider(HttpOptions options, const Host& host = *host_of("openai"));

  [[nodiscard]] std::variant<HttpRequest, Failure> encode(const ChatRequest& request) const override;
  [[nodiscard]] Decoded decode(int status, const Headers& headers, std::string_view body) const override;
  [[nodiscard]] std::unique_ptr<StreamDecoder> stream_decoder(const Headers& headers) const override;
  [[nodiscard]] std::optional<RateObservation> observe(const Headers& headers) const override;

 protected:
  /// The name of max_tokens, where the URL leads.
  [[nodiscard]] std::string_view limit_name() const noexcept { return limit_name_; }

 private:
  std::string_view limit_name_;
};

/// Deployments of one Azure resource, https://NAME.openai.azure.com; a request's model is the name of the deployment.
/// A `base_url` that ends in "/openai/v1" speaks the newer API, without versions and deployments in its URLs.
class AzureOpenAIProvider final : public OpenAIProvider {
 public:
  explicit AzureOpenAIProvider(HttpOptions options);

  [[nodiscard]] std::variant<HttpRequest, Failure> encode(const ChatRequest& request) const override;

 private:
  [[nodiscard]] std::pair<std::string, std::string> authorization() const override;
  bool versioned_ = true;  // and by deployment
  std::string query_;
};

/// OpenAI's Responses over HTTP.
class OpenAIResponsesProvider final : public HttpProvider {
 public:
  explicit OpenAIResponsesProvider(HttpOptions options);

  [[nodiscard]] std::variant<HttpRequest, Failure> encode(const ChatRequest& request) const override;
  [[nodiscard]] Decoded decode(int status, const Headers& headers, std::string_view body) const override;
  [[nodiscard]] std::unique_ptr<StreamDecoder> stream_decoder(const Headers& headers) const override;
  [[nodiscard]] std::optional<RateObservation> observe(const Headers& headers) const override;
};

/// A local server: llama.cpp's, LM Studio, and whatever else speaks Chat Completions there. Needs no key.
class LocalLlamaProvider : public OpenAIProvider {
 public:
  /// Without a path its API is taken to be under /v1.
  explicit LocalLlamaProvider(HttpOptions options = {}, const Host& host = *host_of("llama"));

  /// The HTTP request that asks whether the server is up and its model loaded, and what its answer says: true, false
  /// while the model is being loaded, or a Failure.
  [[nodiscard]] std::variant<HttpRequest, Failure> health() const;
  [[nodiscard]] std::variant<bool, Failure> is_healthy(int status, const Headers& headers, std::string_view body) const;
  /// The HTTP request that asks which models there are, and what its answer says.
  [[nodiscard]] virtual std::variant<HttpRequest, Failure> models() const;
  [[nodiscard]] std::variant<std::vector<std::string>, Failure> model_names(int status, const Headers& headers,
                                                                            std::string_view body) const;
};

/// Ollama. A `base_url` that ends in "/api" is spoken to in Ollama's own words, any other in OpenAI's; answers of both are
/// understood, whichever was asked for.
class OllamaProvider final : public LocalLlamaProvider {
 public:
  explicit OllamaProvider(HttpOptions options = {});

  [[nodiscard]] std::variant<HttpRequest, Failure> encode(const ChatRequest& request) const override;
  [[nodiscard]] Decoded decode(int status, const Headers& headers, std::string_view body) const override;
  [[nodiscard]] std::unique_ptr<StreamDecoder> stream_decoder(const Headers& headers) const override;
  [[nodiscard]] std::variant<HttpRequest, Failure> models() const override;

 private:
  bool native_ = false;
};

/// Anthropic's Messages over HTTP. `base_url` with or without its version. The param "betas", a list of names, goes into
/// the header anthropic-beta.
class AnthropicProvider final : public HttpProvider {
 public:
  explicit AnthropicProvider(HttpOptions options);

  [[nodiscard]] std::variant<HttpRequest, Failure> encode(const ChatRequest& request) const override;
  [[nodiscard]] Decoded decode(int status, const Headers& headers, std::string_view body) const override;
  [[nodiscard]] std::unique_ptr<StreamDecoder> stream_decoder(const Headers& headers) const override;
  [[nodiscard]] std::optional<RateObservation> observe(const Headers& headers) const override;

 private:
  [[nodiscard]] std::pair<std::string, std::string> authorization() const override;
  std::string messages_url_;
};

/// The provider that always answers, inside the process and free of charge: the same text for the same request, in C++
/// and in Python. What it is about follows from the call type, and may be said in the request's params: `problem`,
/// `severity` (0 to 1000) and `placeholders` (an object of strings). A request for JSON gets an object with text,
/// problem and severity.
class OfflineProvider final : public Provider {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "offline"; }
  [[nodiscard]] std::string_view default_model() const noexcept override { return "offline"; }
  [[nodiscard]] bool local() const noexcept override { return true; }

  /// No request at all, but its body is the request's identity, as everywhere.
  [[nodiscard]] std::variant<HttpRequest, Failure> encode(const ChatRequest& request) const override;
  [[nodiscard]] Decoded decode(int status, const Headers& headers, std::string_view body) const override;
  [[nodiscard]] std::unique_ptr<StreamDecoder> stream_decoder(const Headers& headers) const override;
  /// Params that encode() would refuse count as absent: in a chain they may be another's.
  [[nodiscard]] Decoded answer(const ChatRequest& request, std::string_view call_type) const override;

 private:
  OfflineGenerator generator_;
};

}  // namespace llmcore::net
