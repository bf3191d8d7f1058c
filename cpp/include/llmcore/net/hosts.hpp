// The providers that are built in, in one table: where they are, which variables name their key and their URL, and how
// they differ. The same table as Python's, but for
// what is no model; a compatible host more is a line more.
//
// Constant, and safe to use from any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace llmcore::net {

/// Which API a provider speaks. `llama` is Chat Completions on one's own machine, `azure` the same by deployments.
enum class Protocol : std::uint8_t { chat, responses, azure, messages, llama, ollama, offline };

/// One provider. Lists are words with a blank before and behind each of them; an empty view is "none".
struct Host {
  std::string_view name{};
  std::string_view base_url{};  ///< empty: it has to be configured
  std::string_view key_variable{};
  std::string_view url_variable{};
  std::string_view model{};  ///< of a call that names none
  Protocol protocol = Protocol::chat;
  bool free = false;  ///< it charges nothing
  /// Hosts (and what is below them) that take max_completion_tokens, which their reasoning models insist on.
  std::string_view completion_limit_hosts{};
  /// Streams are asked for their usage with stream_options; others tell it unasked and may refuse the option.
  bool asks_for_usage = true;
  bool total_holds_reasoning = false;  ///< of total_tokens: completion_tokens does not
  std::string_view renamed{};          ///< "from=to" of params that have another name here
  std::string_view unknown{};          ///< params that it has no form for: a request with one is refused by name
  std::string_view extra_name{};       ///< what every body holds beside, unless the request's own params say otherwise
  std::string_view extra_json{};
};

/// All of them, in the order in which messages name them.
[[nodiscard]] std::span<const Host> hosts() noexcept;
/// The one of that name; nullptr: there is none.
[[nodiscard]] const Host* host_of(std::string_view name) noexcept;

}  // namespace llmcore::net
