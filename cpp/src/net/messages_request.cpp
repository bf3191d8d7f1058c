#include <algorithm>
#include <array>
#include <utility>

#include "answer_headers.hpp"
#include "media.hpp"
#include "messages.hpp"

namespace llmcore::net {
namespace {

using Kind = Json::Kind;

constexpr std::string_view kMaxTokens = "4096";  // Anthropic insists on a limit
constexpr std::string_view kJsonOnly = "Answer with one JSON object and nothing else: no introduction, no code fence.";
constexpr std::string_view kUnknown =
    " n seed logprobs top_logprobs logit_bias frequency_penalty presence_penalty modalities audio prediction store"
    " verbosity web_search_options functions function_call stream_options ";
/// Parts of OpenAI's that have no form here. What is not known passes: it may be Anthropic's, which has new ones often.
constexpr std::string_view kForeignParts = " input_audio input_text input_image input_file output_text video_url ";

using Problem = std::optional<std::string>;

/// A content part as JSON text, and its text where it is nothing but that.
struct Part {
  std::string json;
  std::optional<std::string> only_text;
};
using Parts = std::vector<Part>;

struct Turn {
  std::string role;
  Parts parts;
};

std::string sorted(Json value) {
  std::string out;
  append_sorted(out, value);
  return out;
}
std::string compact(Json value) {
  std::string out;
  append_compact(out, value);
  return out;
}

/// A system prompt is no message: its parts keep the order of what is inside them.
std::string sorted_at_the_top(Json part) {
  Fields fields;
  for (const auto& [name, value] : part.members()) fields[name] = compact(value);
  return dump(fields);
}

Part text_part(std::string_view utf8) {
  return {R"({"text":)" + quoted(utf8) + R"(,"type":"text"})", std::string(utf8)};
}

/// Models that take system messages at the beginning only: Claude up to 4.7.
bool takes_system_first_only(std::string_view model) noexcept {
  for (std::size_t at = model.find("claude-"); at != std::string_view::npos; at = model.find("claude-", at + 1)) {
    std::string_view rest = model.substr(at + 7);
    if (rest.starts_with("instant") || (!rest.empty() && rest[0] >= '1' && rest[0] <= '3')) return true;
    const auto take = [&rest](std::string_view word) {
      const bool there = rest.starts_with(word);
      if (there) rest.remove_prefix(word.size());
      return there;
    };
    if (!take("opus") && !take("sonnet") && !take("haiku")) continue;
    if (!take("-4")) continue;
    const auto dated = [](std::string_view text) {
      if (text.empty()) return true;
      if (text.size() < 9 || (text[0] != '-' && text[0] != '@')) return false;
      const std::string_view digits = text.substr(1, 8);
      return digits.find_first_not_of("0123456789") == std::string_view::npos;
    };
    if (dated(rest)) return true;
    if (rest.size() >= 2 && rest[0] == '-' && rest[1] >= '0' && rest[1] <= '7' && dated(rest.substr(2))) return true;
  }
  return false;
}

std::string cache_control(Json of) {
  const Json mark = of["cache_control"];
  return mark.absent() ? std::string() : R"("cache_control":)" + sorted(mark) + ",";
}

Problem source(Json url, const std::string& place, std::string& out) {
  if (!url.says_something() || !url.is(Kind::string)) return place + " names neither a URL nor data";
  const std::string text = url.text();
  if (!text.starts_with("data:")) {
    out = R"({"type":"url","url":)" + quoted(text) + "}";
    return std::nullopt;
  }
  const auto data = split_data_url(text);
  if (!data) return "a data URL in the messages is not of the form data:<media type>;base64,<base64 text>";
  out = R"({"data":)" + quoted(data->base64) + R"(,"media_type":)" + quoted(data->media_type) + R"(,"type":"base64"})";
  return std::nullopt;
}

Problem medium(Json part, const std::string& place, Part& out) {
  const Json type = part["type"];
  if (!type.is(Kind::string)) return place + " has no type";
  const std::string kind = type.text();
  if (kForeignParts.find(" " + kind + " ") != std::string_view::npos) {
    return place + ": Anthropic has no " + kind + " in messages";
  }
  const Json inner = part[kind];
  const std::string kept = cache_control(part);
  std::string from;
  if (kind == "image_url") {
    if (auto problem = source(inner.is(Kind::object) ? inner["url"] : inner, place, from)) return problem;
    out.json = "{" + kept + R"("source":)" + from + R"(,"type":"image"})";
  } else if (kind == "refusal") {
    if (kept.empty()) {
      out = text_part(inner.text());
    } else {
      out.json = "{" + kept + R"("text":)" + quoted(inner.text()) + R"(,"type":"text"})";
    }
  } else if (kind != "file" || !inner.is(Kind::object)) {
    out.json = sorted(part);
  } else if (const Json id = inner["file_id"]; !id.absent()) {
    out.json = "{" + kept + R"("source":{"file_id":)" + sorted(id) + R"(,"type":"file"},"type":"document"})";
  } else {
    if (auto problem = source(inner["file_data"], place, from)) return problem;
    const Json name = inner["filename"];
    const std::string title = name.absent() ? std::string() : R"("title":)" + sorted(name) + ",";
    out.json = "{" + kept + R"("source":)" + from + "," + title + R"("type":"document"})";
  }
  return std::nullopt;
}

Problem append_parts(Json content, const std::string& where, bool only_text, Parts& out) {
  if (content.is(Kind::string)) {
    if (content.says_something()) out.push_back(text_part(content.text()));
    return std::nullopt;
  }
  Problem problem;
  std::size_t at = 0;
  content.each([&](Json part) {
    const std::string place = where + R"(["content"][)" + std::to_string(at++) + "]";
    if (part.is(Kind::string)) {
      out.push_back(text_part(part.text()));
    } else if (!part.is(Kind::object)) {
      problem = place + " is a string or an object";
    } else if (part["type"].is_text("text")) {
      Part made{only_text ? sorted_at_the_top(part) : sorted(part), std::nullopt};
      if (part.members().size() == 2 && part["text"].is(Kind::string)) made.only_text = part["text"].text();
      out.push_back(std::move(made));
    } else if (only_text) {
      problem = place + ": a system prompt is text";
    } else {
      Part made;
      problem = medium(part, place, made);
      out.push_back(std::move(made));
    }
    return !problem;
  });
  return problem;
}

/// Anthropic's ids are of these characters; another provider's, in a conversation that moved here, may not be.
Problem tool_id(Json given, const std::string& where, std::string& out) {
  if (!given.is(Kind::string) || !given.says_something()) return where + " has no id of a tool call";
  const std::string id = given.text();
  out.clear();
  for (const char c : id) {
    const bool letter =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    if (letter) {
      out += c;
    } else if ((static_cast<unsigned char>(c) & 0xC0U) != 0x80U) {  // one for a character
      out += '_';
    }
  }
  return std::nullopt;
}

/// "[a,b]" of the parts; of one that is nothing but text, that text.
std::string content_of(const Parts& parts) {
  if (parts.size() == 1 && parts[0].only_text) return quoted(*parts[0].only_text);
  std::string out = "[";
  for (const Part& part : parts) out += (out.size() == 1 ? "" : ",") + part.json;
  return out + "]";
}

Problem tool_result(Json message, const std::string& where, Part& out) {
  std::string id;
  if (auto problem = tool_id(message["tool_call_id"], where, id)) return problem;
  Parts parts;
  if (auto problem = append_parts(message["content"], where, false, parts)) return problem;
  Fields fields{{"tool_use_id", quoted(id)}, {"type", R"("tool_result")"}};
  if (!parts.empty()) fields["content"] = content_of(parts);
  for (const std::string_view name : {"is_error", "cache_control"}) {
    if (const Json value = message[name]; !value.absent()) fields[std::string(name)] = sorted(value);
  }
  out.json = dump(fields);
  return std::nullopt;
}

Problem append_calls(Json message, const std::string& where, Parts& out) {
  Problem problem;
  std::size_t at = 0;
  message["tool_calls"].each([&](Json call) {
    const std::string place = where + R"(["tool_calls"][)" + std::to_string(at++) + "]";
    const Json function = call["function"];
    if (!function.is(Kind::object)) {
      problem = place + " is a call of no function, which Anthropic has no form for";
      return false;
    }
    const Json given = function["arguments"];
    const std::string text = given.text();
    const auto input = given.is(Kind::string) ? Json::parse(text.empty() ? std::string_view("{}") : text) : given;
    if (!input) {
      problem = place + ": its arguments are not JSON";
    } else if (!input->is(Kind::object)) {
      problem = place + ": its arguments are not a JSON object";
    } else {
      std::string id;
      problem = tool_id(call["id"], place, id);
      const Json name = function["name"];
      out.push_back({R"({"id":)" + quoted(id) + R"(,"input":)" + sorted(*input) + R"(,"name":)" +
                         (name.absent() ? "null" : sorted(name)) + R"(,"type":"tool_use"})",
                     std::nullopt});
    }
    return !problem;
  });
  return problem;
}

/// The parts of the system prompt, and the messages. Results of tools belong to one message of the user's, right after.
/// `hoists`: later system messages too become a part of the system prompt.
Problem read_conversation(Json given, bool hoists, Parts& system, std::vector<Turn>& turns) {
  Problem problem;
  std::size_t index = 0;
  const auto take = [&](Json message) -> Problem {
    const std::string where = "messages[" + std::to_string(index++) + "]";
    std::string role = message["role"].text();
    const bool of_system = role == "system" || role == "developer";
    if (const Json name = message["name"]; !name.absent() && !name.is(Kind::null) && role != "tool") {
      return where + " has a name, which Anthropic has no place for";
    }
    if (of_system && (hoists || turns.empty())) return append_parts(message["content"], where, true, system);
    Parts parts;
    if (role == "tool") {
      Part result;
      if (auto wrong = tool_result(message, where, result)) return wrong;
      parts.push_back(std::move(result));
      role = "user";
    } else if (of_system || role == "user" || role == "assistant") {
      if (auto wrong = append_parts(message["content"], where, false, parts)) return wrong;
      if (of_system) role = "system";
    } else {
      return where + " has the role " + role + ", which Anthropic does not have";
    }
    if (role == "assistant") {
      if (auto wrong = append_calls(message, where, parts)) return wrong;
      if (message["audio"].says_something() || message["function_call"].says_something()) {
        return where + " holds sound or a function_call, which Anthropic has no form for";
      }
    }
    if (parts.empty()) return where + " is empty, which Anthropic does not take";
    if (!turns.empty() && turns.back().role == role && role != "system") {
      std::move(parts.begin(), parts.end(), std::back_inserter(turns.back().parts));
    } else {
      turns.push_back({std::move(role), std::move(parts)});
    }
    return std::nullopt;
  };
  given.each([&](Json message) {
    problem = take(message);
    return !problem;
  });
  return problem;
}

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
      json.raw(compact(tool));
    } else {
      const Json name = function["name"];
      const Json parameters = function["parameters"];
      json.open('{').name("name").raw(name.absent() ? "null" : compact(name));
      json.name("input_schema").raw(parameters.says_something() ? compact(parameters) : R"({"type":"object"})");
      for (const std::string_view member : {"description", "strict"}) {
        const Json value = function[member];
        if (!value.absent() && !value.is(Kind::null)) json.name(member).raw(compact(value));
      }
      if (const Json mark = tool["cache_control"]; !mark.absent()) json.name("cache_control").raw(compact(mark));
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
    told.emplace_back("name", function["name"].absent() ? "null" : compact(function["name"]));
  } else if (type.is_text("auto") || type.is_text("any") || type.is_text("tool") || type.is_text("none")) {
    for (const auto& [name, value] : choice.members()) told.emplace_back(name, compact(value));
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

/// The params that Anthropic calls otherwise, and takes out those that are dealt with; the rest go as they are.
class Params {
 public:
  explicit Params(std::vector<Json::Member> all) : all_(std::move(all)) {}
  /// Absent where there is none, or null.
  Json pop(std::string_view name) {
    const auto found = std::find_if(all_.begin(), all_.end(), [name](const auto& each) { return each.name == name; });
    if (found == all_.end()) return {};
    const Json value = found->value;
    all_.erase(found);
    return value.is(Kind::null) ? Json() : value;
  }
  [[nodiscard]] const std::vector<Json::Member>& left() const noexcept { return all_; }

 private:
  std::vector<Json::Member> all_;
};

Problem encode_format(Json wanted, Fields& fields, bool& as_json) {
  if (wanted.absent()) return std::nullopt;
  const Json type = wanted["type"];
  if (type.is_text("json_schema")) {
    const Json schema = wanted["json_schema"]["schema"];
    if (!schema.is(Kind::object)) return R"(response_format["json_schema"]["schema"] is missing or not an object)";
    std::string& config = fields["output_config"];
    const std::string before = config.empty() ? "{" : config.substr(0, config.size() - 1) + ",";
    config = before + R"("format":{"type":"json_schema","schema":)" + compact(schema) + "}}";
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

/// One text, or the parts as they are where one of them is more than text.
std::string encode_system(Parts system) {
  if (std::all_of(system.begin(), system.end(), [](const Part& part) { return part.only_text.has_value(); })) {
    std::string text;
    for (const Part& part : system) text += (&part == &system.front() ? "" : "\n\n") + *part.only_text;
    return quoted(text);
  }
  for (Part& part : system) part.only_text.reset();
  return content_of(system);
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
    fields["stop_sequences"] = stop.is(Kind::string) ? "[" + compact(stop) + "]" : compact(stop);
  }
  if (const Json user = params.pop("user"); !user.absent()) fields["metadata"] = R"({"user_id":)" + compact(user) + "}";
  if (const Json effort = params.pop("reasoning_effort"); !effort.absent()) {
    fields["output_config"] = R"({"effort":)" + compact(effort) + "}";
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
  if (checked.param("stream").says_something()) {
    made.problem = "stream is not a param of a request: its field `stream` asks for one";
    return made;
  }
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
    if (kUnknown.find(" " + name + " ") == std::string_view::npos) fields[name] = compact(value);
  }

  Parts system;
  if ((made.problem = append_parts(given_system, "system", true, system))) return made;
  std::vector<Turn> turns;
  const bool hoists = takes_system_first_only(request.model);
  if ((made.problem = read_conversation(checked.messages, hoists, system, turns))) return made;
  if (as_json) system.push_back(text_part(kJsonOnly));
  if (!system.empty()) fields["system"] = encode_system(std::move(system));
  if (turns.empty()) {
    made.problem = "messages hold nothing but a system prompt; Anthropic needs a message of the user";
    return made;
  }
  std::string& messages = fields["messages"] = "[";
  for (const Turn& turn : turns) {
    if (messages.size() != 1) messages += ',';
    messages += R"({"content":)" + content_of(turn.parts) + R"(,"role":)" + quoted(turn.role) + "}";
  }
  messages += ']';
  made.body = dump(fields);
  return made;
}

}  // namespace llmcore::net
