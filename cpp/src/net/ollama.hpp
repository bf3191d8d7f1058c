// Ollama's own API: requests to /api/chat, answers of it and of /api/generate, streams of a line each. Pure.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "chat_request.hpp"
#include "failures.hpp"
#include "llmcore/net/provider.hpp"

namespace llmcore::net {

/// The body of a request, from the OpenAI shape. What it has no form for is refused by name.
[[nodiscard]] ChatBody encode_ollama(const ChatRequest& request);
/// An answer with status 200; nothing: it is none of Ollama's own.
[[nodiscard]] std::optional<Decoded> decode_ollama(const Reading& reading, std::string_view body);

using MakeDecoder = std::function<std::unique_ptr<StreamDecoder>()>;
/// For one answer with status 200: lines of its own, or, as the first byte says, what `compatible` makes a decoder for.
[[nodiscard]] std::unique_ptr<StreamDecoder> ollama_stream(const Provider& provider, Headers headers,
                                                           std::string_view key, WallTime now, MakeDecoder compatible);

}  // namespace llmcore::net
