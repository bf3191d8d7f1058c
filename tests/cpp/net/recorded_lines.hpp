// Recorded exchanges, and an independent reader of what they say: nlohmann-json, and what the APIs' documentation says of
// their fields. Nothing of the library's is used.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace llmcore::recorded_lines {

using Value = nlohmann::json;

/// One recorded exchange.
struct Row {
  std::string kind, id, provider, body;
  bool stream = false;
  int status = 200;
  Value request;
  std::vector<std::pair<std::string, std::string>> headers;
};

inline std::vector<Row> rows(const std::string& kind) {
  std::vector<Row> found;
  std::ifstream in(std::string(std::getenv("LLMCORE_RECORDED")) + "/" + kind + ".jsonl", std::ios::binary);
  for (std::string line; std::getline(in, line);) {
    const Value given = Value::parse(line);
    Row row{kind, given["id"], given["provider"], given["body"], given["stream"], given["status"], given["request"],
            {}};
    for (const auto& [name, value] : given["headers"].items()) row.headers.emplace_back(name, value);
    found.push_back(std::move(row));
  }
  return found;
}

/// What an answer comes to, whoever reads it.
struct Told {
  std::string text, reasoning, finish;
  std::vector<std::vector<std::string>> calls;  // id, name, arguments
  std::int64_t input = 0, output = 0, cached = 0, written = 0, reasoned = 0;
  bool counted = false;
  bool broken = false;  // there is an error in the middle
  friend bool operator==(const Told&, const Told&) = default;
};

inline void PrintTo(const Told& told, std::ostream* out) {
  *out << "text " << told.text << "\nreasoning " << told.reasoning << "\nfinish " << told.finish << "\ntokens "
       << told.input << " " << told.output << " " << told.cached << " " << told.written << " " << told.reasoned
       << " counted " << told.counted << " broken " << told.broken << "\ncalls";
  for (const auto& call : told.calls) *out << " [" << call[0] << " " << call[1] << " " << call[2] << "]";
}

/// A member that is there and not null.
inline const Value& at(const Value& value, const char* name) {
  static const Value kNone;
  if (!value.is_object()) return kNone;
  const auto found = value.find(name);
  return found == value.end() ? kNone : *found;
}

inline std::string text_at(const Value& value, const char* name) {
  const Value& found = at(value, name);
  return found.is_string() ? found.get<std::string>() : std::string();
}

inline std::int64_t count_at(const Value& value, const char* name) {
  const Value& found = at(value, name);
  return found.is_number() ? found.get<std::int64_t>() : 0;
}

/// The parts of an answer: one, or those of its stream.
inline std::vector<Value> events_of(const Row& row) {
  if (!row.stream) return {Value::parse(row.body)};
  std::vector<Value> found;
  for (std::size_t start = 0; start < row.body.size();) {
    const std::size_t end = std::min(row.body.find('\n', start), row.body.size());
    std::string line = row.body.substr(start, end - start);
    if (line.starts_with("data:")) line.erase(0, 5);
    if (const std::size_t brace = line.find_first_not_of(" \r"); brace != std::string::npos && line[brace] == '{') {
      found.push_back(Value::parse(line));
    }
    start = end + 1;
  }
  return found;
}

inline void read_content(const Value& content, Told& told) {
  if (content.is_string()) told.text += content.get<std::string>();
  if (!content.is_array()) return;
  for (const Value& part : content) {
    const std::string type = text_at(part, "type");
    if (type == "text" || type == "output_text") told.text += text_at(part, "text");
    if (type == "thinking") {
      const Value& thought = at(part, "thinking");
      if (thought.is_string()) told.reasoning += thought.get<std::string>();
      for (const Value& piece : thought.is_array() ? thought : Value::array()) told.reasoning += text_at(piece, "text");
    }
  }
}

inline std::string as_text(const Value& arguments) {
  return arguments.is_string() ? arguments.get<std::string>() : arguments.is_null() ? "" : arguments.dump();
}

inline void read_chat(const Value& event, Told& told, std::map<std::int64_t, std::size_t>& places) {
  if (at(event, "choices").is_array() && !event["choices"].empty()) {
    const Value& choice = event["choices"][0];
    const Value& said = at(choice, "message").is_object() ? choice["message"] : at(choice, "delta");
    read_content(at(said, "content"), told);
    const std::string thought = text_at(said, "reasoning_content");
    told.reasoning += thought.empty() ? text_at(said, "reasoning") : thought;
    if (const std::string finish = text_at(choice, "finish_reason"); !finish.empty()) told.finish = finish;
    std::int64_t next = 0;
    for (const Value& call : at(said, "tool_calls").is_array() ? said["tool_calls"] : Value::array()) {
      const Value& place = at(call, "index");
      const std::int64_t index = place.is_number() ? place.get<std::int64_t>() : next;
      ++next;
      if (places.try_emplace(index, told.calls.size()).second) told.calls.push_back({"", "", ""});
      auto& known = told.calls[places[index]];
      const Value& function = at(call, "function");
      if (known[0].empty()) known[0] = text_at(call, "id");
      if (known[1].empty()) known[1] = text_at(function, "name");
      known[2] += as_text(at(function, "arguments"));
    }
  }
  const Value& own = at(event, "usage");
  const Value& usage = own.is_object() ? own : at(at(event, "x_groq"), "usage");
  if (!usage.is_object()) return;
  told.counted = true;
  told.input = count_at(usage, "prompt_tokens");
  told.output = count_at(usage, "completion_tokens");
  const Value& inside = at(usage, "prompt_tokens_details");
  told.cached = inside.is_object() ? count_at(inside, "cached_tokens") : count_at(usage, "cached_tokens");
  if (usage.contains("prompt_cache_hit_tokens")) told.cached = count_at(usage, "prompt_cache_hit_tokens");
  told.written = std::min(count_at(inside, "cache_write_tokens"), told.input - told.cached);
  told.reasoned = count_at(at(usage, "completion_tokens_details"), "reasoning_tokens");
}

inline std::string finish_of_anthropic(const std::string& reason) {
  if (reason == "end_turn" || reason == "stop_sequence") return "stop";
  if (reason == "max_tokens" || reason == "model_context_window_exceeded") return "length";
  if (reason == "tool_use") return "tool_calls";
  return reason == "refusal" ? "content_filter" : reason;
}

inline void read_messages_usage(const Value& usage, Told& told) {
  if (!usage.is_object()) return;
  told.counted = true;
  const auto take = [&usage](const char* name, std::int64_t& to) {
    if (at(usage, name).is_number()) to = count_at(usage, name);
  };
  // Here alone the three stand beside each other, and the sum is told nowhere.
  const std::int64_t before = told.input - told.cached - told.written;
  std::int64_t fresh = before;
  take("input_tokens", fresh);
  take("cache_read_input_tokens", told.cached);
  take("cache_creation_input_tokens", told.written);
  take("output_tokens", told.output);
  told.input = fresh + told.cached + told.written;
  if (at(usage, "output_tokens_details").is_object()) {
    told.reasoned = count_at(usage["output_tokens_details"], "thinking_tokens");
  }
}

inline void read_block(const Value& block, Told& told, std::map<std::int64_t, std::size_t>& places,
                       std::int64_t index) {
  const std::string type = text_at(block, "type");
  if (type == "text") told.text += text_at(block, "text");
  if (type == "thinking") told.reasoning += text_at(block, "thinking");
  if (type == "tool_use") {
    places[index] = told.calls.size();
    told.calls.push_back({text_at(block, "id"), text_at(block, "name"), at(block, "input").dump()});
  }
}

inline void read_messages(const Value& event, Told& told, std::map<std::int64_t, std::size_t>& places) {
  const std::string type = text_at(event, "type");
  const Value& delta = at(event, "delta");
  const std::int64_t index = count_at(event, "index");
  if (type == "message") {
    for (const Value& block : event["content"]) read_block(block, told, places, -1);
    told.finish = finish_of_anthropic(text_at(event, "stop_reason"));
  } else if (type == "message_start") {
    read_messages_usage(at(event["message"], "usage"), told);
  } else if (type == "content_block_start") {
    read_block(event["content_block"], told, places, index);
    if (places.count(index) != 0) told.calls[places[index]][2].clear();  // "{}" of what comes in pieces
  } else if (type == "content_block_delta") {
    told.text += text_at(delta, "text");
    told.reasoning += text_at(delta, "thinking");
    if (places.count(index) != 0) told.calls[places[index]][2] += text_at(delta, "partial_json");
  } else if (type == "message_delta") {
    if (at(delta, "stop_reason").is_string()) told.finish = finish_of_anthropic(text_at(delta, "stop_reason"));
  }
  read_messages_usage(at(event, "usage"), told);
}

inline void read_responses(const Value& event, bool stream, Told& told) {
  if (stream && text_at(event, "type") == "error") told.broken = true;
  const std::string type = text_at(event, "type");
  const bool last = type == "response.completed" || type == "response.incomplete";
  if (stream && !last) {
    if (type == "response.output_text.delta") told.text += text_at(event, "delta");
    return;
  }
  const Value& answer = stream ? event["response"] : event;
  Told whole;
  for (const Value& item : answer["output"]) {
    const std::string kind = text_at(item, "type");
    if (kind == "message") read_content(at(item, "content"), whole);
    if (kind == "function_call") {
      whole.calls.push_back({text_at(item, "call_id"), text_at(item, "name"), text_at(item, "arguments")});
    }
    if (kind == "custom_tool_call") {
      whole.calls.push_back({text_at(item, "call_id"), text_at(item, "name"), text_at(item, "input")});
    }
    if (kind == "reasoning") {
      const Value& content = at(item, "content");
      const bool open = content.is_array() && !content.empty();
      for (const Value& part : open ? content : item["summary"]) whole.reasoning += text_at(part, "text");
    }
  }
  if (stream) {
    EXPECT_EQ(whole.text, told.text) << "what was streamed is what the last event holds";
  }
  const Value& usage = at(answer, "usage");
  whole.finish = last || !stream ? (whole.calls.empty() ? "stop" : "tool_calls") : "";
  if (text_at(answer, "status") == "incomplete") whole.finish = "length";
  if (const std::string status = text_at(answer, "status"); status == "queued" || status == "in_progress") {
    whole.finish = status;
  }
  whole.counted = usage.is_object();
  whole.input = count_at(usage, "input_tokens");
  whole.output = count_at(usage, "output_tokens");
  whole.cached = count_at(at(usage, "input_tokens_details"), "cached_tokens");
  whole.written = count_at(at(usage, "input_tokens_details"), "cache_write_tokens");
  whole.reasoned = count_at(at(usage, "output_tokens_details"), "reasoning_tokens");
  told = whole;
}

inline void read_ollama(const Value& line, Told& told) {
  const Value& message = at(line, "message");
  told.text += message.is_object() ? text_at(message, "content") : text_at(line, "response");
  told.reasoning += text_at(message.is_object() ? message : line, "thinking");
  for (const Value& call : at(message, "tool_calls").is_array() ? message["tool_calls"] : Value::array()) {
    const std::string own = text_at(call, "id");
    told.calls.push_back({own.empty() ? "call_" + std::to_string(told.calls.size()) : own,
                          text_at(call["function"], "name"), call["function"]["arguments"].dump()});
  }
  if (!at(line, "done").is_boolean() || !line["done"].get<bool>()) return;
  told.finish = told.calls.empty() ? text_at(line, "done_reason") : "tool_calls";
  told.counted = line.contains("eval_count");
  told.input = count_at(line, "prompt_eval_count");
  told.output = count_at(line, "eval_count");
}

inline Told read_independently(const Row& row) {
  Told told;
  std::map<std::int64_t, std::size_t> places;
  for (const Value& event : events_of(row)) {
    if (row.stream && at(event, "error").is_object()) told.broken = true;
    if (row.kind == "chat") read_chat(event, told, places);
    if (row.kind == "messages") read_messages(event, told, places);
    if (row.kind == "responses") read_responses(event, row.stream, told);
    if (row.kind == "ollama") read_ollama(event, told);
  }
  return told;
}

}  // namespace llmcore::recorded_lines
