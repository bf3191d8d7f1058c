// What a game would write: a frame in which a call is submitted, and answered where there is no network.
#include <cstdio>
#include <llmcore/net/client.hpp>
#include <string>
#include <utility>

int main() {
  llmcore::Client::Config config;
  config.worker_thread = false;
  std::string problem;
  const auto client = llmcore::Client::create(std::move(config), problem);
  if (!client) {
    std::puts(problem.c_str());
    return 1;
  }
  llmcore::Client::Request request;
  request.messages.push_back({llmcore::Client::Role::user, "Who goes there?", {}, {}});
  client->submit(std::move(request));
  client->pump();
  llmcore::Client::Events events;
  client->poll(events);
  if (events.empty() || events.back().kind != llmcore::Client::Event::Kind::finished || events.back().text.empty()) {
    std::puts("the call was not answered");
    return 1;
  }
  return 0;
}
