#include "client_offline.hpp"

#include <nlohmann/json.hpp>

#include "llmcore/fingerprint.hpp"

namespace llmcore::net {
namespace {

Failure no_http() {
  Failure failure;
  failure.outcome = Outcome::bad_request;
  failure.message = "the offline provider answers within the process, not over HTTP";
  return failure;
}

}  // namespace

std::variant<HttpRequest, Failure> TemplateProvider::encode(const ChatRequest& /*request*/) const { return no_http(); }

Decoded TemplateProvider::decode(int /*status*/, const Headers& /*headers*/, std::string_view /*body*/) const {
  return no_http();
}

std::unique_ptr<StreamDecoder> TemplateProvider::stream_decoder(const Headers& /*headers*/) const { return nullptr; }

Decoded TemplateProvider::answer(const ChatRequest& request, std::string_view call_type) const {
  OfflineRequest wish;
  wish.problem = OfflineGenerator::problem_of(call_type);
  wish.json = request.json_format || !request.response_format.empty();
  const auto params = nlohmann::json::parse(request.params, nullptr, false);
  if (params.is_object()) {
    if (const auto severity = params.find("severity"); severity != params.end() && severity->is_number_integer()) {
      wish.severity = severity->get<std::int64_t>();
    }
    if (const auto names = params.find("placeholders"); names != params.end() && names->is_object()) {
      for (const auto& [name, value] : names->items()) {
        if (value.is_string()) wish.placeholders.emplace_back(name, value.get<std::string>());
      }
    }
  }
  Sha256 digest;
  std::int64_t asked = 3;
  for (const ChatRequest::Message& message : request.messages) {
    digest.update(message.content);
    digest.update(std::string_view("\0", 1));
    asked += estimated_tokens(message.content);
  }
  for (const std::uint8_t byte : digest.finish().bytes) wish.seed = wish.seed << 8U | byte;

  Reply reply;
  reply.content = generator_.generate(wish);
  reply.model = request.model;
  reply.finish_reason = "stop";
  reply.usage.input_uncached = asked;
  reply.usage.output_text = static_cast<std::int64_t>(reply.content.size() + 3) / 4;
  reply.usage.estimated = true;
  return reply;
}

}  // namespace llmcore::net
