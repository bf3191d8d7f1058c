// From the worker to the game: into the ring, or, while that has no room, into a backlog where the pieces of one answer
// are put together again. A game that does not look for a minute costs the length of what was said in that minute.
#include "client_worker.hpp"

namespace llmcore::net {

void ClientWorker::emit(const Client::Event& event) {
  if (backlog_.empty() && mail_->events.push(event)) return;
  const bool token = event.kind == Client::Event::Kind::token;
  if (token) {
    if (const auto open = open_tokens_.find(event.call); open != open_tokens_.end()) {
      open->second->text += event.text;
      return;
    }
  } else {
    open_tokens_.erase(event.call);
  }
  Waiting waiting{event,
                  std::string(event.text),
                  {std::string(event.error), std::string(event.provider), std::string(event.model),
                   std::string(event.finish), std::string(event.tool_calls)}};
  backlog_.push_back(std::move(waiting));
  if (token) open_tokens_.emplace(event.call, &backlog_.back());
}

void ClientWorker::flush() {
  while (!backlog_.empty()) {
    Waiting& oldest = backlog_.front();
    Client::Event event = oldest.event;
    event.text = oldest.text;
    event.error = oldest.others[0];
    event.provider = oldest.others[1];
    event.model = oldest.others[2];
    event.finish = oldest.others[3];
    event.tool_calls = oldest.others[4];
    if (!mail_->events.push(event)) return;
    if (const auto open = open_tokens_.find(event.call); open != open_tokens_.end() && open->second == &oldest) {
      open_tokens_.erase(open);
    }
    backlog_.pop_front();
  }
}

}  // namespace llmcore::net
