// Requests in the OpenAI shape, checked at the boundary, and the same bytes for the same request.
//
// The body that goes out is also the request's identity in caches and recordings, so keys are sorted: those of the body,
// and those of everything in its messages. Every other value keeps the order it was given in: a model fills a response
// format, and reads a tool's parameters, in the order of their properties. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "json.hpp"
#include "llmcore/net/hosts.hpp"
#include "llmcore/net/provider.hpp"
#include "request_fields.hpp"

namespace llmcore::net {

/// A request whose JSON was read. The views are of the request, which must live as long.
struct CheckedRequest {
  Json messages;  ///< a list that is not empty, of objects that have a role; or of `written`
  Json tools;
  Json response_format;
  std::vector<Json::Member> params;
  std::string written;  ///< the messages, where the request holds them as values

  [[nodiscard]] Json param(std::string_view name) const noexcept;
};

/// Reads and checks; a sentence that names where it cannot be sent, and never what it says.
[[nodiscard]] std::optional<std::string> check(const ChatRequest& request, CheckedRequest& out);

/// Messages as JSON, names in their order.
[[nodiscard]] std::string messages_as_json(const std::vector<ChatRequest::Message>& messages);

/// The body of a Chat Completions request.
struct ChatBody {
  std::string body;
  std::optional<std::string> problem;
};
/// `limit_name` is that of max_tokens; `model`, where it is asked for, the one that the body names.
[[nodiscard]] ChatBody encode_chat(const ChatRequest& request, const Host& host, std::string_view limit_name,
                                   bool stream, std::string* model = nullptr);

}  // namespace llmcore::net
