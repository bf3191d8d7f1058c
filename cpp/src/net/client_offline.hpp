// The offline provider of a client that was given none: the templates of OfflineGenerator as answers.
#pragma once

#include "llmcore/net/provider.hpp"
#include "llmcore/offline.hpp"

namespace llmcore::net {

class TemplateProvider final : public Provider {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "offline"; }
  [[nodiscard]] std::string_view default_model() const noexcept override { return "offline"; }
  [[nodiscard]] bool local() const noexcept override { return true; }
  [[nodiscard]] std::variant<HttpRequest, Failure> encode(const ChatRequest& request) const override;
  [[nodiscard]] Decoded decode(int status, const Headers& headers, std::string_view body) const override;
  [[nodiscard]] std::unique_ptr<StreamDecoder> stream_decoder(const Headers& headers) const override;
  [[nodiscard]] Decoded answer(const ChatRequest& request, std::string_view call_type) const override;

 private:
  OfflineGenerator generator_;
};

}  // namespace llmcore::net
