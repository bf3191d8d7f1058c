#include <algorithm>
#include <array>
#include <utility>

#include "chat.hpp"
#include "chat_request.hpp"
#include "estimate.hpp"
#include "failures.hpp"
#include "llmcore/conversation.hpp"
#include "llmcore/fingerprint.hpp"
#include "llmcore/net/providers.hpp"

namespace llmcore::net {
namespace {

using Kind = Json::Kind;

const Host& offline_host() noexcept {
  static constexpr Host kLikeOpenAI{.name = "offline", .protocol = Protocol::offline, .free = true};
  return kLikeOpenAI;
}

/// What the text is to be about; a sentence says which param is wrong.
std::optional<std::string> read_wishes(const CheckedRequest& checked, std::string_view call_type,
                                       OfflineRequest& wish) {
  wish.problem = OfflineGenerator::problem_of(call_type);
  if (const Json problem = checked.param("problem"); !problem.absent() && !problem.is(Kind::null)) {
    std::string names;
    bool known = false;
    for (std::size_t i = 0; i < kProblemTypeCount; ++i) {
      const auto each = static_cast<ProblemType>(i);
      names += (i == 0 ? "" : ", ") + std::string(OfflineGenerator::name_of(each));
      if (problem.is_text(OfflineGenerator::name_of(each))) {
        wish.problem = each;
        known = true;
      }
    }
    if (!known) return "problem is one of " + names;
  }
  if (const Json severity = checked.param("severity"); !severity.absent()) {
    if (!severity.is(Kind::number) || severity.raw().find_first_of(".eE") != std::string_view::npos) {
      return "severity is a whole number from 0 to 1000";
    }
    wish.severity = std::clamp<std::int64_t>(severity.scaled(0).value_or(500), 0, 1000);
  }
  const Json placeholders = checked.param("placeholders");
  if (!placeholders.says_something()) return std::nullopt;
  bool fits = placeholders.is(Kind::object);
  for (const auto& [name, value] : placeholders.members()) {
    fits = fits && value.is(Kind::string);
    wish.placeholders.emplace_back(name, value.text());
  }
  return fits ? std::nullopt : std::optional<std::string>("placeholders is an object of strings");
}

bool wants_json(const ChatRequest& request, const CheckedRequest& checked) {
  const Json own = checked.param("response_format");
  const Json type = (own.absent() ? checked.response_format : own)["type"];
  return request.json_format || type.is_text("json_object") || type.is_text("json_schema");
}

}  // namespace

std::variant<HttpRequest, Failure> OfflineProvider::encode(const ChatRequest& request) const {
  ChatBody made = encode_chat(request, offline_host(), "max_tokens", false);
  CheckedRequest checked;
  OfflineRequest wish;
  if (!made.problem) made.problem = check(request, checked);
  if (!made.problem) made.problem = read_wishes(checked, {}, wish);
  if (made.problem) return failure(Outcome::bad_request, std::move(*made.problem));
  HttpRequest none;
  none.url = "offline:";
  none.body = std::move(made.body);
  return none;
}

Decoded OfflineProvider::answer(const ChatRequest& request, std::string_view call_type) const {
  ChatBody made = encode_chat(request, offline_host(), "max_tokens", false);
  CheckedRequest checked;
  if (!made.problem) made.problem = check(request, checked);
  if (made.problem) return failure(Outcome::bad_request, std::move(*made.problem));
  OfflineRequest wish;
  if (read_wishes(checked, call_type, wish)) {
    wish = {};
    wish.problem = OfflineGenerator::problem_of(call_type);
  }
  wish.json = wants_json(request, checked);
  Sha256 digest;
  digest.update(made.body);
  const Fingerprint asked = digest.finish();
  for (std::size_t i = 0; i < 8; ++i) wish.seed = wish.seed << 8U | asked.bytes[i];

  Reply reply;
  reply.content = generator_.generate(wish);
  reply.model = request.model;
  reply.finish_reason = "stop";
  reply.usage.input_uncached = 3;  // what a template of chats adds
  checked.messages.each([&reply](Json message) {
    const Json content = message["content"];
    reply.usage.input_uncached += estimated_tokens(content.is(Kind::string) ? content.text() : joined(content).text);
    return true;
  });
  reply.usage.output_text = output_tokens_of(reply.content);
  return reply;
}

Decoded OfflineProvider::decode(int status, const Headers& headers, std::string_view body) const {
  const Reading reading{headers, {}, 0};
  if (status != 200) return failure_of(status, reading, body);
  return decode_chat(reading, body, offline_host());
}

std::unique_ptr<StreamDecoder> OfflineProvider::stream_decoder(const Headers& headers) const {
  return chat_stream(*this, headers, offline_host(), {}, 0);
}

}  // namespace llmcore::net
