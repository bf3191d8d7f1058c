#include <algorithm>
#include <utility>

#include "answer_headers.hpp"
#include "messages.hpp"
#include "messages_content.hpp"

namespace llmcore::net {
namespace {

using Kind = Json::Kind;

constexpr std::string_view kMaxTokens = "4096";  // Anthropic insists on a limit
constexpr std::string_view kJsonOnly = "Answer with one JSON object and nothing else: no introduction, no code fence.";
constexpr std::string_view kUnknown =
    " n seed logprobs top_logprobs logit_bias frequency_penalty presence_penalty modalities audio prediction store"
    " verbosity web_search_options functions function_call stream_options ";

Problem encode_tools(Json tools, std::string& out) {
  Problem problem;
  std::size_t index = 0;
  JsonWriter json(out);
  json.open('[');
  tools.each([&](Json tool) {
    const std::string where = "tools[" + std::to_string(index++) + "]";
    const Json function = tool["function"];
    if (!tool.is(Kind::object)) {
      problem = where + " is an object";
    } else if (!tool["type"].is_text("function") || !function.is(Kind::object)) {
      if (tool["type"].is_text("custom") && !tool["custom"].absent()) {
        problem = where + " takes free text, which Anthropic has no form for";
      }
      json.raw(compact_json(tool));
    } else {
      const Json name = function["name"];
      const Json parameters = function["parameters"];
      json.open('{').name("name").raw(name.absent() ? "null" : compact_json(name));
      json.name("input_schema").raw(parameters.says_something() ? compact_json(parameters) : R"({"type":"object"})");
      for (const std::string_view member : {"description", "strict"}) {
        const Json value = function[member];
        if (!value.absent() && !value.is(Kind::null)) json.name(member).raw(compact_json(value));
      }
      if (const Json mark = tool["cache_control"]; !mark.absent()) json.name("cache_control").raw(compact_json(mark));
      json.close('}');
    }
    return !problem;
  });
  json.close(']');
  return problem;
}

Problem encode_choice(Json choice, bool one_at_a_time, std::string& out) {
  std::vector<std::pair<std::string, std::string>> told;
  const std::string word = choice.text();
  const Json type = choice["type"];
  if (choice.absent() || choice.is(Kind::null) || word == "auto") {
    told.emplace_back("type", R"("auto")");
  } else if (word == "none") {
    told.emplace_back("type", R"("none")");
  } else if (word == "required" || word == "any") {
    told.emplace_back("type", R"("any")");
  } else if (const Json function = choice["function"]; function.is(Kind::object)) {
    told.emplace_back("type", R"("tool")");
    told.emplace_back("name", function["name"].absent() ? "null" : compact_json(function["name"]));
  } else if (type.is_text("auto") || type.is_text("any") || type.is_text("tool") || type.is_text("none")) {
    for (const auto& [name, value] : choice.members()) told.emplace_back(name, compact_json(value));
  } else {
    return R"(tool_choice is "auto", "none", "required" or a function, for Anthropic)";
  }
  const bool none = std::any_of(told.begin(), told.end(),
                                [](const auto& each) { return each.first == "type" && each.second == R"("none")"; });
  if (one_at_a_time && !none) told.emplace_back("disable_parallel_tool_use", "true");
  JsonWriter json(out);
  json.open('{');
  for (const auto& [name, value] : told) json.name(name).raw(value);
  json.close('}');
  return std::nullopt;
}

Problem encode_format(Json wanted, Fields& fields, bool& as_json) {
  if (wanted.absent()) return std::nullopt;
  const Json type = wanted["type"];
  if (type.is_text("json_schema")) {
    const Json schema = wanted["json_schema"]["schema"];
    if (!schema.is(Kind::object)) return R"(response_format["json_schema"]["schema"] is missing or not an object)";
    std::string& config = fields["output_config"];
    const std::string before = config.empty() ? "{" : config.substr(0, config.size() - 1) + ",";
    config = before + R"("format":{"type":"json_schema","schema":)" + compact_json(schema) + "}}";
    as_json = false;
  } else if (type.is_text("json_object")) {
    as_json = true;
  } else if (!type.is_text("text")) {
    return "response_format is of a type that Anthropic does not have";
  }
  return std::nullopt;
}

std::string betas_of(Json given) {
  std::string joined;
  given.each([&joined](Json beta) {
    if (!joined.empty()) joined += ',';
    joined += beta.is(Kind::string) ? beta.text() : std::string(beta.raw());
    return true;
  });
  return is_printable(joined) ? joined : std::string();
}

Problem encode_fields(const ChatRequest& request, Params& params, Json tools, Fields& fields) {
  fields["model"] = quoted(request.model);
  fields["stream"] = request.stream ? "true" : "false";
  const Json limit = params.pop("max_completion_tokens");
  fields["max_tokens"] = limit.says_something()                           ? std::string(limit.raw())
                         : request.max_tokens && *request.max_tokens != 0 ? std::to_string(*request.max_tokens)
                                                                          : std::string(kMaxTokens);
  const Json heat = params.pop("temperature");
  if (!heat.absent() || request.temperature) {
    fields["temperature"] = heat.absent() ? *json_number(*request.temperature) : std::string(heat.raw());
    if (scaled_decimal(fields["temperature"], 9).value_or(0) > 1'000'000'000) {
      return "temperature is from 0 to 1 at Anthropic, not " + fields["temperature"].substr(0, 40);
    }
  }
  if (const Json stop = params.pop("stop"); !stop.absent()) {
    fields["stop_sequences"] = stop.is(Kind::string) ? "[" + compact_json(stop) + "]" : compact_json(stop);
  }
  if (const Json user = params.pop("user"); !user.absent())
    fields["metadata"] = R"({"user_id":)" + compact_json(user) + "}";
  if (const Json effort = params.pop("reasoning_effort"); !effort.absent()) {
    fields["output_config"] = R"({"effort":)" + compact_json(effort) + "}";
  }
  const Json own = params.pop("tools");
  if (const Json all = own.absent() ? tools : own; !all.absent()) {
    if (!all.is(Kind::list)) return "tools is a list";
    if (auto problem = encode_tools(all, fields["tools"])) return problem;
  }
  const bool one_at_a_time = params.pop("parallel_tool_calls").boolean() == false;
  const Json choice = params.pop("tool_choice");
  if (!choice.absent() || one_at_a_time) {
    if (auto problem = encode_choice(choice, one_at_a_time, fields["tool_choice"])) return problem;
  }
  return std::nullopt;
}

}  // namespace

ChatBody encode_messages(const ChatRequest& request, std::string& betas) {
  ChatBody made;
  CheckedRequest checked;
  if ((made.problem = check(request, checked))) return made;
  if ((made.problem = refused_params(checked.params, kUnknown, "Anthropic", true))) return made;
  const Json given_format = checked.param("response_format");
  const Json given_system = checked.param("system");
  Params params(checked.params);
  (void)params.pop("stream");
  Fields fields;
  bool as_json = request.json_format;
  if ((made.problem = encode_fields(request, params, checked.tools, fields))) return made;
  (void)params.pop("response_format");
  const Json wanted = given_format.absent() ? checked.response_format : given_format;
  if ((made.problem = encode_format(wanted.is(Kind::null) ? Json() : wanted, fields, as_json))) return made;
  betas = betas_of(params.pop("betas"));
  for (const auto& [name, value] : params.left()) {
    if (kUnknown.find(" " + name + " ") == std::string_view::npos) fields[name] = compact_json(value);
  }

  messages::Parts system;
  if ((made.problem = messages::append_parts(given_system, "system", true, system))) return made;
  std::vector<messages::Turn> turns;
  const bool hoists = messages::takes_system_first_only(request.model);
  if ((made.problem = messages::read_conversation(checked.messages, hoists, system, turns))) return made;
  if (as_json) system.push_back(messages::text_part(kJsonOnly));
  if (!system.empty()) fields["system"] = messages::system_of(std::move(system));
  if (turns.empty()) {
    made.problem = "messages hold nothing but a system prompt; Anthropic needs a message of the user";
    return made;
  }
  std::string& messages = fields["messages"] = "[";
  for (const messages::Turn& turn : turns) {
    if (messages.size() != 1) messages += ',';
    messages += R"({"content":)" + messages::content_of(turn.parts) + R"(,"role":)" + quoted(turn.role) + "}";
  }
  messages += ']';
  made.body = dump(fields);
  return made;
}

}  // namespace llmcore::net
