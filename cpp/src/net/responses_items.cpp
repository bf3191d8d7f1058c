// A conversation as the items of a Responses request.
#include <algorithm>
#include <array>
#include <utility>

#include "responses.hpp"

namespace llmcore::net {
namespace {

using Kind = Json::Kind;

/// Content parts in the form that Responses have themselves.
constexpr std::string_view kOwnParts = " input_text input_image input_file input_audio output_text refusal ";

/// Items that are no messages, by their type or its end.
constexpr std::string_view kItems = " reasoning compaction additional_tools mcp_list_tools ";
constexpr std::array<std::string_view, 5> kItemEnds{"_call", "_output", "_reference", "_request", "_response"};

/// A member as JSON text; null where there is none.
std::string or_null(Json value) { return value.absent() ? "null" : sorted_json(value); }

/// Whether a content part is a whole item, which stands beside messages and not in one.
bool is_item(Json part) {
  const std::string type = part["type"].text();
  if (type.empty()) return false;
  if (kItems.find(" " + type + " ") != std::string_view::npos) return true;
  return std::any_of(kItemEnds.begin(), kItemEnds.end(), [&type](std::string_view end) { return type.ends_with(end); });
}

void put_all(Fields& fields, Json object) {
  for (const auto& [name, value] : object.members()) fields[name] = sorted_json(value);
}

Problem image(Json part, const std::string& place, std::string& out) {
  const Json inner = part["image_url"];
  Fields fields{{"type", R"("input_image")"}, {"detail", R"("auto")"}};
  if (inner.is(Kind::string)) {
    fields["image_url"] = sorted_json(inner);
  } else if (inner.is(Kind::object)) {
    put_all(fields, inner);
    if (const auto url = fields.find("url"); url != fields.end()) {
      fields["image_url"] = std::move(url->second);
      fields.erase("url");
    }
  } else {
    return place + " does not say what it is of";
  }
  out = dump(fields);
  return std::nullopt;
}

Problem append_part(Json part, bool assistant, const std::string& place, std::vector<std::string>& out) {
  const std::string type = part["type"].text();
  if (part.is(Kind::string) || type == "text") {
    out.push_back(dump({{"type", assistant ? R"("output_text")" : R"("input_text")"},
                        {"text", or_null(part.is(Kind::string) ? part : part["text"])}}));
    return std::nullopt;
  }
  if (type == "image_url") return image(part, place, out.emplace_back());
  if (type == "file" && part["file"].is(Kind::object)) {
    Fields fields{{"type", R"("input_file")"}};
    put_all(fields, part["file"]);
    out.push_back(dump(fields));
    return std::nullopt;
  }
  if (type.empty() || kOwnParts.find(" " + type + " ") == std::string_view::npos) {
    return place + ": the Responses API has no " + (type.empty() ? "part without a type" : type) + " in messages";
  }
  out.push_back(sorted_json(part));
  return std::nullopt;
}

/// The parts of a content; whole items among them go to `items`, where it takes them.
Problem read_content(Json content, bool assistant, const std::string& where, std::vector<std::string>* items,
                     std::vector<std::string>& parts) {
  Problem problem;
  std::size_t at = 0;
  content.each([&](Json part) {
    if (items != nullptr && is_item(part)) {
      items->push_back(sorted_json(part));
    } else {
      problem = append_part(part, assistant, where + R"(["content"][)" + std::to_string(at++) + "]", parts);
    }
    return !problem;
  });
  return problem;
}

Problem append_call(Json call, const std::string& where, std::vector<std::string>& items) {
  const bool custom = call["type"].is_text("custom");
  const Json called = call[custom ? "custom" : "function"];
  if (!called.is(Kind::object)) return where + " does not say what it is of";
  Fields fields{{"call_id", or_null(call["id"])}, {"name", or_null(called["name"])}};
  if (custom) {
    fields["type"] = R"("custom_tool_call")";
    fields["input"] = called["input"].says_something() ? sorted_json(called["input"]) : R"("")";
  } else {
    const Json arguments = called["arguments"];
    fields["type"] = R"("function_call")";
    fields["arguments"] = arguments.is(Kind::string)   ? sorted_json(arguments)
                          : arguments.says_something() ? quoted(compact_json(arguments))
                                                       : R"("{}")";
  }
  items.push_back(dump(fields));
  return std::nullopt;
}

Problem append_result(Json message, const std::string& where, std::vector<std::string>& items) {
  const Json called = message["tool_call_id"];
  if (!called.is(Kind::string)) return where + " has no tool_call_id";
  const Json content = message["content"];
  std::string output = R"("")";
  if (content.is(Kind::string)) {
    output = sorted_json(content);
  } else {
    std::vector<std::string> parts;
    if (auto problem = read_content(content, false, where, nullptr, parts)) return problem;
    if (!parts.empty()) output = json_list(parts);
  }
  items.push_back(
      dump({{"type", R"("function_call_output")"}, {"call_id", sorted_json(called)}, {"output", std::move(output)}}));
  return std::nullopt;
}

// What a model said goes back in the form in which it came: llama.cpp's server knows no other, and OpenAI's takes both.
std::string message_item(std::string_view role, std::string content) {
  if (role != "assistant") return dump({{"role", quoted(role)}, {"content", std::move(content)}});
  if (content.front() == '"') content = json_list({dump({{"type", R"("output_text")"}, {"text", std::move(content)}})});
  return dump({{"type", R"("message")"}, {"role", quoted(role)}, {"content", std::move(content)}});
}

Problem append_message(Json message, const std::string& where, std::vector<std::string>& items) {
  const std::string role = message["role"].text();
  if (role == "tool") return append_result(message, where, items);
  if (role != "user" && role != "system" && role != "developer" && role != "assistant") {
    return where + " has the role " + role + ", which the Responses API does not have";
  }
  if (const Json name = message["name"]; !name.absent() && !name.is(Kind::null)) {
    return where + " has a name, which the Responses API has no place for";
  }
  if (message["audio"].says_something() || message["function_call"].says_something()) {
    return where + " holds sound or a function_call, which the Responses API has no form for";
  }
  const std::size_t before = items.size();
  if (const Json content = message["content"]; content.is(Kind::string)) {
    if (content.says_something()) items.push_back(message_item(role, sorted_json(content)));
  } else {
    std::vector<std::string> parts;
    if (auto problem = read_content(content, role == "assistant", where, &items, parts)) return problem;
    if (!parts.empty()) items.push_back(message_item(role, json_list(parts)));
  }
  if (const Json refusal = message["refusal"]; refusal.says_something()) {
    items.push_back(
        message_item(role, json_list({dump({{"type", R"("refusal")"}, {"refusal", sorted_json(refusal)}})})));
  }
  const Json calls = message["tool_calls"];
  if (calls.says_something() && !calls.is(Kind::list)) return where + R"(["tool_calls"] is a list)";
  Problem problem;
  std::size_t at = 0;
  calls.each([&](Json call) {
    problem = append_call(call, where + R"(["tool_calls"][)" + std::to_string(at++) + "]", items);
    return !problem;
  });
  if (!problem && items.size() == before) return where + " is empty";
  return problem;
}

}  // namespace

Problem append_items(Json messages, std::vector<std::string>& items) {
  Problem problem;
  std::size_t index = 0;
  messages.each([&](Json message) {
    problem = append_message(message, "messages[" + std::to_string(index++) + "]", items);
    return !problem;
  });
  return problem;
}

}  // namespace llmcore::net
