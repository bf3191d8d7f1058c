// What is behind the handles.
#pragma once

#include <memory>
#include <string>

#include "llmcore/conversation.hpp"
#include "llmcore/net/client.hpp"

struct llmcore_client {
  std::unique_ptr<llmcore::Client> client;
  llmcore::Client::Events events;
  std::string provider;  // of a request that names a model
};

struct llmcore_conversation {
  llmcore::ConversationMemory memory;
};

struct llmcore_config;

namespace llmcore::c {

/// What the configuration and the environment say: the provider and its place in the chain, what carries its HTTP, and
/// every setting that the struct has no field for. False: `problem` holds each thing that is wrong.
[[nodiscard]] bool configure(const llmcore_config& from, Client::Config& to, std::string& problem);

}  // namespace llmcore::c
