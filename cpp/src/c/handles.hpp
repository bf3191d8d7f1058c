// What is behind the handles.
#pragma once

#include <memory>
#include <string>

#include "llmcore/conversation.hpp"
#include "llmcore/net/client.hpp"

struct llmcore_client {
  std::unique_ptr<llmcore::Client> client;
  llmcore::Client::Events events;
  std::string model;  // of a request that names one: the provider is the client's
  std::string provider;
};

struct llmcore_conversation {
  llmcore::ConversationMemory memory;
};

struct llmcore_config;

namespace llmcore::c {

/// Adds what the configuration and the environment say of a provider, its place in the chain and what carries its HTTP.
/// False: `problem` says what is missing.
[[nodiscard]] bool add_provider(const llmcore_config& from, Client::Config& to, std::string& problem);

}  // namespace llmcore::c
