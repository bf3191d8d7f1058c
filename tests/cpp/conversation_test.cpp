#include "llmcore/conversation.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace llmcore {
namespace {

using Role = ConversationMemory::Role;
using ToolCall = ConversationMemory::ToolCall;
using Json = nlohmann::json;

const char* name_of(Role role) {
  switch (role) {
    case Role::system: return "system";
    case Role::user: return "user";
    case Role::assistant: return "assistant";
    case Role::tool: return "tool";
  }
  return "";
}

std::string roles_of(const std::vector<ConversationMemory::Message>& messages) {
  std::string roles;
  for (const auto& message : messages) roles += std::string(roles.empty() ? "" : " ") + name_of(message.role);
  return roles;
}

TEST(Conversation, KeepsTheSameAsInPython) {
  std::ifstream file(LLMCORE_TEST_DATA "/conversation/cases.jsonl");
  std::size_t cases = 0;
  for (std::string line; std::getline(file, line); ++cases) {
    const Json data = Json::parse(line);
    const std::int64_t most_tokens = data["max_tokens"].is_null() ? 0 : data["max_tokens"].get<std::int64_t>();
    ConversationMemory memory(data["system"], data["max_messages"], most_tokens);
    for (const Json& step : data["steps"]) {
      const std::string kind = step[0];
      const char* problem = nullptr;
      if (kind == "user") {
        problem = memory.add_user(step[1]);
      } else if (kind == "assistant") {
        problem = memory.add_assistant(step[1]);
      } else if (kind == "calls") {
        std::vector<ToolCall> calls;
        for (const std::string id : step[2]) calls.push_back({id, "look", R"({"at": "door"})"});
        problem = memory.add_assistant(step[1], calls);
      } else {
        problem = memory.add_tool_result(step[1], step[2]);
      }
      ASSERT_EQ(problem, nullptr) << problem << " in line " << cases + 1;
    }
    Json told = Json::array();
    for (const auto& message : memory.messages()) told.push_back({name_of(message.role), message.content});
    EXPECT_EQ(told, data["messages"]) << "line " << cases + 1;
    EXPECT_EQ(memory.pending(), data["pending"].get<std::vector<std::string>>());

    ConversationMemory again(data["system"], data["max_messages"], most_tokens);
    ASSERT_EQ(again.restore(memory.kept()), nullptr);
    EXPECT_EQ(again.messages(), memory.messages());
    EXPECT_EQ(again.pending(), memory.pending());
  }
  EXPECT_GT(cases, 100U);
}

TEST(Conversation, RefusesWhatNoProviderTakesAndKeepsWhatItHad) {
  ConversationMemory memory("Be brief.");
  EXPECT_STREQ(memory.add_tool_result("a", "?"), "no tool call waits for the result of that id");
  ASSERT_EQ(memory.add_user("How many?"), nullptr);
  ASSERT_EQ(memory.add_assistant("", {{"a", "count", "{}"}, {"b", "count", "{}"}}), nullptr);
  EXPECT_EQ(roles_of(memory.messages()), "system user");
  EXPECT_EQ(memory.pending(), (std::vector<std::string>{"a", "b"}));
  EXPECT_NE(memory.add_user("again"), nullptr);
  EXPECT_TRUE(memory.turn("again").empty());
  ASSERT_EQ(memory.add_tool_result("b", "2"), nullptr);
  EXPECT_NE(memory.add_tool_result("b", "2"), nullptr);
  ASSERT_EQ(memory.add_tool_result("a", "1"), nullptr);
  EXPECT_EQ(roles_of(memory.messages()), "system user assistant tool tool");
  EXPECT_NE(memory.add({Role::system, "obey", {}, {}}), nullptr);
  EXPECT_NE(memory.add({Role::user, "x", {{"c", "f", "{}"}}, {}}), nullptr);
  EXPECT_NE(memory.add({Role::user, "x", {}, "a"}), nullptr);
  EXPECT_NE(memory.add_assistant("", std::vector<ToolCall>(1'001)), nullptr);
  EXPECT_EQ(memory.size(), 4U);
}

TEST(Conversation, AQuestionOutlivesTheRoundsOfToolsThatItTakes) {
  ConversationMemory memory("Be brief.", 5);
  ASSERT_EQ(memory.add_user("old"), nullptr);
  ASSERT_EQ(memory.add_assistant("older answer"), nullptr);
  ASSERT_EQ(memory.add_user("How many?"), nullptr);
  for (int round = 0; round < 6; ++round) {
    ASSERT_EQ(memory.add_assistant("", {{std::to_string(round), "count", "{}"}}), nullptr);
    ASSERT_EQ(memory.add_tool_result(std::to_string(round), "1"), nullptr);
  }
  EXPECT_EQ(roles_of(memory.messages()), "system user assistant tool assistant tool");
  EXPECT_EQ(memory.messages()[1].content, "How many?");
  EXPECT_EQ(memory.messages().back().tool_call_id, "5");
}

TEST(Conversation, WhatIsRestoredIsCheckedAndTrimmed) {
  ConversationMemory memory("S", 3);
  ASSERT_EQ(memory.add_user("kept"), nullptr);
  EXPECT_NE(memory.restore({{Role::user, "x", {}, {}}, {Role::tool, "y", {}, "z"}}), nullptr);
  EXPECT_EQ(memory.messages().back().content, "kept");
  std::vector<ConversationMemory::Message> many;
  for (int turn = 0; turn < 100; ++turn) {
    many.push_back({Role::user, "q", {}, {}});
    many.push_back({Role::assistant, "a", {}, {}});
  }
  ASSERT_EQ(memory.restore(std::move(many)), nullptr);
  EXPECT_EQ(roles_of(memory.messages()), "system user assistant");
  memory.clear();
  EXPECT_EQ(roles_of(memory.messages()), "system");
}

TEST(Conversation, ASystemPromptThatFillsItAloneIsKeptAlone) {
  ConversationMemory memory("You are a smith in a village of many, many people.", 15, 3);
  EXPECT_EQ(memory.restore({}), nullptr);
  EXPECT_EQ(memory.messages().size(), 1U);
  EXPECT_EQ(memory.size(), 0U);
}

TEST(Conversation, ATurnIsLookedAtBeforeItIsTaken) {
  ConversationMemory memory("S", 2);
  ASSERT_EQ(memory.add_user("one"), nullptr);
  ASSERT_EQ(memory.add_assistant("1"), nullptr);
  EXPECT_EQ(roles_of(memory.turn("two")), "system user");
  EXPECT_EQ(roles_of(memory.messages()), "system user assistant");
  EXPECT_EQ(estimated_tokens(""), 4);
  EXPECT_EQ(estimated_tokens("hello"), 5);  // 4.95
}

}  // namespace
}  // namespace llmcore
