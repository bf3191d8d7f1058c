#include <utility>

#include "responses.hpp"

namespace llmcore::net {
namespace {

using Kind = Json::Kind;

constexpr std::string_view kUnknown =
    " n stop seed logit_bias logprobs frequency_penalty presence_penalty modalities audio prediction web_search_options"
    " functions function_call stream_options ";

/// What is under the name of its type, one level up: {"type": "function", "function": {"name": ...}} becomes
/// {"type": "function", "name": ...}.
std::string lifted(std::string_view type, Json inner) {
  std::string out;
  JsonWriter json(out);
  const Json own = inner["type"];
  json.open('{').name("type").raw(own.absent() ? quoted(type) : compact_json(own));
  for (const auto& [name, value] : inner.members()) {
    if (name != "type") json.name(name).raw(compact_json(value));
  }
  json.close('}');
  return out;
}

/// A tool, or the choice of one.
std::string flat(Json tool) {
  const std::string type = tool["type"].text();
  const Json inner = type == "function" || type == "custom" ? tool[type] : Json();
  return inner.is(Kind::object) ? lifted(type, inner) : compact_json(tool);
}

Problem encode_format(Json wanted, std::string& out) {
  if (!wanted.is(Kind::object)) return "response_format is an object";
  const Json schema = wanted["json_schema"];
  const bool typed = wanted["type"].is_text("json_schema") && schema.is(Kind::object);
  out = typed ? lifted("json_schema", schema) : compact_json(wanted);
  return std::nullopt;
}

/// What goes under "text": the format, and how much is said.
Problem encode_text(const ChatRequest& request, const CheckedRequest& checked, Params& params, Fields& fields) {
  const Json given = checked.param("response_format");
  (void)params.pop("response_format");
  const Json wanted = given.absent() ? checked.response_format : given;
  std::string format;
  if (!wanted.absent() && !wanted.is(Kind::null)) {
    if (auto problem = encode_format(wanted, format)) return problem;
  } else if (request.json_format) {
    format = R"({"type":"json_object"})";
  }
  const Json verbosity = params.pop("verbosity");
  if (format.empty() && verbosity.absent()) return std::nullopt;
  JsonWriter json(fields["text"]);
  json.open('{');
  if (!format.empty()) json.name("format").raw(format);
  if (!verbosity.absent()) json.name("verbosity").raw(compact_json(verbosity));
  json.close('}');
  return std::nullopt;
}

Problem encode_tools(Json tools, std::string& out) {
  if (!tools.is(Kind::list)) return "tools is a list";
  Problem problem;
  std::vector<std::string> all;
  tools.each([&](Json tool) {
    if (!tool.is(Kind::object)) problem = "tools[" + std::to_string(all.size()) + "] is an object";
    all.push_back(flat(tool));
    return !problem;
  });
  out = json_list(all);
  return problem;
}

Problem encode_fields(const ChatRequest& request, const CheckedRequest& checked, Params& params, Fields& fields) {
  fields["model"] = quoted(request.model);
  fields["stream"] = request.stream ? "true" : "false";
  Json limit = params.pop("max_tokens");
  if (const Json other = params.pop("max_completion_tokens"); !limit.says_something()) limit = other;
  if (limit.says_something()) {
    fields["max_output_tokens"] = compact_json(limit);
  } else if (request.max_tokens) {
    fields["max_output_tokens"] = std::to_string(*request.max_tokens);
  }
  if (request.temperature) fields["temperature"] = *json_number(*request.temperature);
  if (auto problem = encode_text(request, checked, params, fields)) return problem;
  if (const Json effort = params.pop("reasoning_effort"); !effort.absent()) {
    fields["reasoning"] = R"({"effort":)" + compact_json(effort) + "}";
  }
  const Json given = checked.param("tools");
  (void)params.pop("tools");
  if (const Json tools = given.absent() ? checked.tools : given; !tools.absent() && !tools.is(Kind::null)) {
    if (auto problem = encode_tools(tools, fields["tools"])) return problem;
  }
  if (const Json choice = params.pop("tool_choice"); !choice.absent()) fields["tool_choice"] = flat(choice);
  for (const auto& [name, value] : params.left()) {
    if (kUnknown.find(" " + name + " ") == std::string_view::npos) fields[name] = compact_json(value);
  }
  return std::nullopt;
}

}  // namespace

ChatBody encode_responses(const ChatRequest& request) {
  ChatBody made;
  CheckedRequest checked;
  if ((made.problem = check(request, checked))) return made;
  if ((made.problem = refused_params(checked.params, kUnknown, "the Responses API", true))) return made;
  Params params(checked.params);
  (void)params.pop("stream");
  Fields fields;
  if ((made.problem = encode_fields(request, checked, params, fields))) return made;
  std::vector<std::string> items;
  if ((made.problem = append_items(checked.messages, items))) return made;
  fields["input"] = json_list(items);
  made.body = dump(fields);
  return made;
}

}  // namespace llmcore::net
