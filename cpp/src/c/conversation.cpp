#include <new>

#include "guard.hpp"
#include "handles.hpp"

using llmcore::ConversationMemory;
using llmcore::c::guarded;

namespace {

constexpr const char* kNoMemory = "there is no memory left";
constexpr const char* kNothing = "there is no conversation, or no text";
constexpr std::size_t kUsualMessages = 15;

}  // namespace

llmcore_conversation* llmcore_conversation_create(const char* system_prompt, size_t max_messages, int64_t max_tokens) {
  return guarded(static_cast<llmcore_conversation*>(nullptr), [&] {
    return new llmcore_conversation{ConversationMemory(llmcore::c::text(system_prompt),
                                                       max_messages != 0 ? max_messages : kUsualMessages, max_tokens)};
  });
}

void llmcore_conversation_destroy(llmcore_conversation* conversation) { delete conversation; }

const char* llmcore_conversation_add_user(llmcore_conversation* conversation, const char* content) {
  if (conversation == nullptr || content == nullptr) return kNothing;
  return guarded(kNoMemory, [&] { return conversation->memory.add_user(content); });
}

const char* llmcore_conversation_add_assistant(llmcore_conversation* conversation, const char* content, size_t size) {
  if (conversation == nullptr || (content == nullptr && size != 0)) return kNothing;
  return guarded(kNoMemory, [&] {
    return conversation->memory.add_assistant(size != 0 ? std::string(content, size) : std::string());
  });
}

size_t llmcore_conversation_size(const llmcore_conversation* conversation) {
  return conversation != nullptr ? conversation->memory.size() : 0;
}

int32_t llmcore_conversation_message(const llmcore_conversation* conversation, size_t number, llmcore_role* role,
                                     llmcore_text* content) {
  if (conversation == nullptr || role == nullptr || content == nullptr) return 0;
  const ConversationMemory::Message* const message = conversation->memory.message(number);
  if (message == nullptr) return 0;
  *role = static_cast<llmcore_role>(message->role);
  *content = llmcore::c::view(message->content);
  return 1;
}

void llmcore_conversation_clear(llmcore_conversation* conversation) {
  if (conversation != nullptr) conversation->memory.clear();
}
