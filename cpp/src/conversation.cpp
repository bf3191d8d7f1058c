#include "llmcore/conversation.hpp"

#include <algorithm>
#include <utility>

#include "llmcore/text_weight.hpp"

namespace llmcore {

namespace {

// Thousandths of a token: what a message and a tool call bring with them.
constexpr std::int64_t kMessage = 4'000;
constexpr std::int64_t kCall = 5'000;

constexpr std::int64_t in_tokens(std::int64_t weight) noexcept { return (weight + 999) / 1'000; }

}  // namespace

std::int64_t estimated_tokens(std::string_view text) noexcept { return in_tokens(kMessage + text_weight(text)); }

ConversationMemory::ConversationMemory(std::string system_prompt, std::size_t max_messages, std::int64_t max_tokens)
    : system_prompt_(std::move(system_prompt)),
      max_messages_(std::max<std::size_t>(max_messages, 1)),
      max_tokens_(std::max<std::int64_t>(max_tokens, 0)) {}

const char* ConversationMemory::add_user(std::string content) {
  return add(Message{Role::user, std::move(content), {}, {}});
}

const char* ConversationMemory::add_assistant(std::string content, std::vector<ToolCall> tool_calls) {
  return add(Message{Role::assistant, std::move(content), std::move(tool_calls), {}});
}

const char* ConversationMemory::add_tool_result(std::string tool_call_id, std::string content) {
  return add(Message{Role::tool, std::move(content), {}, std::move(tool_call_id)});
}

const char* ConversationMemory::add(Message message) {
  const char* const problem = append(units_, std::move(message));
  if (problem == nullptr) trim(units_);
  return problem;
}

const char* ConversationMemory::restore(std::vector<Message> messages) {
  std::vector<Unit> units;
  for (Message& message : messages) {
    if (const char* const problem = append(units, std::move(message))) return problem;
  }
  trim(units);
  units_ = std::move(units);
  return nullptr;
}

std::vector<ConversationMemory::Message> ConversationMemory::messages() const { return told(units_); }

std::vector<ConversationMemory::Message> ConversationMemory::turn(std::string content) const {
  std::vector<Unit> units = units_;
  if (append(units, Message{Role::user, std::move(content), {}, {}}) != nullptr) return {};
  trim(units);
  return told(units);
}

std::vector<ConversationMemory::Message> ConversationMemory::kept() const {
  std::vector<Message> all;
  all.reserve(size());
  for (const Unit& unit : units_) all.insert(all.end(), unit.messages.begin(), unit.messages.end());
  return all;
}

const ConversationMemory::Message* ConversationMemory::message(std::size_t number) const noexcept {
  for (const Unit& unit : units_) {
    if (number < unit.messages.size()) return &unit.messages[number];
    number -= unit.messages.size();
  }
  return nullptr;
}

std::vector<std::string> ConversationMemory::pending() const {
  return units_.empty() ? std::vector<std::string>{} : units_.back().waiting;
}

std::size_t ConversationMemory::size() const noexcept {
  std::size_t count = 0;
  for (const Unit& unit : units_) count += unit.messages.size();
  return count;
}

std::int64_t ConversationMemory::tokens_of(const Message& message) const noexcept {
  if (max_tokens_ == 0) return 0;
  std::int64_t weight = kMessage + text_weight(message.content);
  for (const ToolCall& call : message.tool_calls)
    weight += kCall + text_weight(call.name) + text_weight(call.arguments);
  return in_tokens(weight);
}

const char* ConversationMemory::append(std::vector<Unit>& units, Message message) const {
  std::vector<std::string>* const waiting = units.empty() ? nullptr : &units.back().waiting;
  const std::int64_t tokens = tokens_of(message);
  if (message.role == Role::system) return "the system prompt is the memory's own: say it to its constructor";
  if (!message.tool_calls.empty() && message.role != Role::assistant) return "only the assistant calls tools";
  if (message.tool_calls.size() > kMostCalls) return "a message has at most 1000 tool calls";
  if (message.role == Role::tool) {
    if (waiting == nullptr) return "no tool call waits for the result of that id";
    const auto answered = std::find(waiting->begin(), waiting->end(), message.tool_call_id);
    if (answered == waiting->end()) return "no tool call waits for the result of that id";
    waiting->erase(answered);
    units.back().messages.push_back(std::move(message));
    units.back().tokens += tokens;
    return nullptr;
  }
  if (!message.tool_call_id.empty()) return "only a tool's message is the result of a call";
  if (waiting != nullptr && !waiting->empty())
    return "tool calls wait for their results: add_tool_result() comes first";
  Unit unit;
  unit.tokens = tokens;
  for (const ToolCall& call : message.tool_calls) unit.waiting.push_back(call.id);
  unit.messages.push_back(std::move(message));
  units.push_back(std::move(unit));
  return nullptr;
}

void ConversationMemory::trim(std::vector<Unit>& units) const {
  std::size_t count = 0;
  std::int64_t tokens = max_tokens_ != 0 && !system_prompt_.empty() ? estimated_tokens(system_prompt_) : 0;
  for (const Unit& unit : units) {
    count += unit.messages.size();
    tokens += unit.tokens;
  }
  const auto too_much = [&] { return count > max_messages_ || (max_tokens_ != 0 && tokens > max_tokens_); };
  if (units.empty() || !too_much()) return;

  const auto is_users = [](const Unit& unit) { return unit.messages.front().role == Role::user; };
  const std::size_t last = units.size() - 1;
  std::size_t asked = last;
  while (asked > 0 && !is_users(units[asked])) --asked;
  if (!is_users(units[asked])) asked = last;
  std::vector<Unit> left;
  for (std::size_t at = 0; at <= last; ++at) {
    if (at != last && at != asked && too_much()) {
      count -= units[at].messages.size();
      tokens -= units[at].tokens;
    } else {
      left.push_back(std::move(units[at]));
    }
  }
  const auto first = std::find_if(left.begin(), left.end(), is_users);
  if (first != left.end()) left.erase(left.begin(), first);
  units = std::move(left);
}

std::vector<ConversationMemory::Message> ConversationMemory::told(const std::vector<Unit>& units) const {
  std::vector<Message> all;
  if (!system_prompt_.empty()) all.push_back(Message{Role::system, system_prompt_, {}, {}});
  for (const Unit& unit : units) {
    if (&unit == &units.back() && !unit.waiting.empty()) break;
    all.insert(all.end(), unit.messages.begin(), unit.messages.end());
  }
  return all;
}

}  // namespace llmcore
