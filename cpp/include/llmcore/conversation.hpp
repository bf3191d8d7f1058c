// A conversation's memory: what was said, kept within bounds, in the form that a call takes.
//
// The unit is what may not be torn apart: one message, or an assistant's message that calls tools together with all
// their results. Trimming drops whole units, the oldest first. Never dropped are the system prompt, the user's last
// message, which is what is being answered, and the newest unit; and what is left begins with a message of the user's.
// The same steps keep the same messages here and in Python (tests/data/conversation).
//
// Not thread-safe: a conversation takes one turn at a time. Adding costs O(messages kept). Errors are values: what is
// refused changes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llmcore {

/// What messages alone come to in tokens, as a part of a prompt for no model in particular, rounded up. No tokenizer is
/// asked: text counts by its letters, spaces, digits, marks and bytes of other scripts. O(bytes).
[[nodiscard]] std::int64_t estimated_tokens(std::string_view text) noexcept;

class ConversationMemory {
 public:
  enum class Role : std::uint8_t { system, user, assistant, tool };

  /// A function that the model wants called; `arguments` is the JSON text exactly as the model wrote it.
  struct ToolCall {
    std::string id;
    std::string name;
    std::string arguments;
    friend bool operator==(const ToolCall&, const ToolCall&) = default;
  };

  struct Message {
    Role role = Role::user;
    std::string content;               ///< UTF-8
    std::vector<ToolCall> tool_calls;  ///< of an assistant's
    std::string tool_call_id;          ///< of a tool's: which call it is the result of
    friend bool operator==(const Message&, const Message&) = default;
  };

  static constexpr std::size_t kMostCalls = 1'000;  ///< in one message

  /// `max_messages`: most messages to keep, the system prompt not counted; at least 1. `max_tokens`: most tokens to
  /// keep, the system prompt counted, as estimated_tokens() expects them; 0: any number.
  explicit ConversationMemory(std::string system_prompt = {}, std::size_t max_messages = 15,
                              std::int64_t max_tokens = 0);

  // Each of these gives nullptr, or why it was refused.

  /// What the user says. Refused while tool calls wait for their results.
  const char* add_user(std::string content);
  /// What the model said, with what it wants called: the results come next, by add_tool_result().
  const char* add_assistant(std::string content, std::vector<ToolCall> tool_calls = {});
  /// The result of a function that the model wanted called; also of one that failed: say so in words.
  const char* add_tool_result(std::string tool_call_id, std::string content);
  /// Any message but a system one, as from a saved game.
  const char* add(Message message);
  /// Replaces everything but the system prompt; believes nothing: the messages may come from anywhere.
  const char* restore(std::vector<Message> messages);

  /// What a call takes: the system prompt, if there is one, and what is kept. Tool calls that still wait for a result
  /// are left out, since no provider takes them.
  [[nodiscard]] std::vector<Message> messages() const;
  /// What messages() would give after add_user(content); changes nothing. Empty while tool calls wait.
  [[nodiscard]] std::vector<Message> turn(std::string content) const;
  /// Everything that is kept but the system prompt, with what waits: what restore() takes back.
  [[nodiscard]] std::vector<Message> kept() const;
  /// The message of that number among those, from 0, or nullptr; valid until the conversation is changed.
  [[nodiscard]] const Message* message(std::size_t number) const noexcept;
  /// Ids of the tool calls that have no result yet, in their order.
  [[nodiscard]] std::vector<std::string> pending() const;

  [[nodiscard]] const std::string& system_prompt() const noexcept { return system_prompt_; }
  [[nodiscard]] std::size_t max_messages() const noexcept { return max_messages_; }
  [[nodiscard]] std::int64_t max_tokens() const noexcept { return max_tokens_; }
  /// Messages kept, the system prompt not counted.
  [[nodiscard]] std::size_t size() const noexcept;
  /// Forgets everything but the system prompt.
  void clear() noexcept { units_.clear(); }

 private:
  struct Unit {
    std::vector<Message> messages;     // that stay together
    std::vector<std::string> waiting;  // ids without a result; one may come twice, and then takes two results
    std::int64_t tokens = 0;
  };
  [[nodiscard]] std::int64_t tokens_of(const Message& message) const noexcept;
  const char* append(std::vector<Unit>& units, Message message) const;
  void trim(std::vector<Unit>& units) const;
  [[nodiscard]] std::vector<Message> told(const std::vector<Unit>& units) const;

  std::string system_prompt_;
  std::size_t max_messages_;
  std::int64_t max_tokens_;
  std::vector<Unit> units_;
};

}  // namespace llmcore
