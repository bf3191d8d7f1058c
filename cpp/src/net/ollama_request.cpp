#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <utility>

#include "media.hpp"
#include "ollama.hpp"

namespace llmcore::net {
namespace {

using Kind = Json::Kind;

constexpr std::string_view kUnknown =
    " n logit_bias tool_choice parallel_tool_calls modalities audio prediction user store reasoning_effort verbosity "
    "service_tier web_search_options ";

/// Params that Ollama keeps under "options", and what it calls them.
constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kOptions{{
    {"max_tokens", "num_predict"},
    {"max_completion_tokens", "num_predict"},
    {"temperature", "temperature"},
    {"top_p", "top_p"},
    {"top_k", "top_k"},
    {"seed", "seed"},
    {"stop", "stop"},
    {"frequency_penalty", "frequency_penalty"},
    {"presence_penalty", "presence_penalty"},
}};

/// The options as they are written: in the order in which they were first named.
class Options {
 public:
  void set(std::string_view name, std::string value) {
    const auto same = std::find_if(all_.begin(), all_.end(), [name](const auto& each) { return each.first == name; });
    if (same != all_.end()) {
      same->second = std::move(value);
    } else {
      all_.emplace_back(name, std::move(value));
    }
  }
  [[nodiscard]] std::string text() const {
    std::string out;
    if (all_.empty()) return out;
    JsonWriter json(out);
    json.open('{');
    for (const auto& [name, value] : all_) json.name(name).raw(value);
    json.close('}');
    return out;
  }

 private:
  std::vector<std::pair<std::string, std::string>> all_;
};

std::string_view option_of(std::string_view param) noexcept {
  for (const auto& [ours, theirs] : kOptions) {
    if (param == ours) return theirs;
  }
  return {};
}

/// A picture's bytes, which Ollama takes as base64 text.
Problem image(Json inner, const std::string& place, std::string& out) {
  const std::string url = (inner.is(Kind::object) ? inner["url"] : inner).text();
  if (!url.starts_with("data:")) return place + ": Ollama takes the bytes of a picture, not its URL";
  const auto data = split_data_url(url);
  if (!data) return "a data URL in the messages is not of the form data:<media type>;base64,<base64 text>";
  out = quoted(data->base64);
  return std::nullopt;
}

Problem append_part(Json part, const std::string& place, std::string& text, std::vector<std::string>& images) {
  if (part.is(Kind::string)) {
    text += part.text();
  } else if (!part.is(Kind::object)) {
    return place + " is a string or an object";
  } else if (part["type"].is_text("text")) {
    text += part["text"].text();
  } else if (part["type"].is_text("image_url")) {
    return image(part["image_url"], place, images.emplace_back());
  } else {
    return place + ": Ollama has no " + part["type"].text() + " in messages";
  }
  return std::nullopt;
}

/// The functions of the calls so far, by the calls' ids: results are told by function here.
using Named = std::map<std::string, std::string, std::less<>>;

Problem append_call(Json call, const std::string& where, std::vector<std::string>& out, Named& named) {
  const Json function = call["function"];
  if (!function.is(Kind::object)) return where + R"(["tool_calls"] holds a call of no function)";
  const Json given = function["arguments"];
  const std::string text = given.text();
  const auto arguments = given.is(Kind::string) ? Json::parse(text.empty() ? std::string_view("{}") : text) : given;
  if (!arguments) return where + R"(["tool_calls"]: the arguments of )" + function["name"].text() + " are no JSON";
  const auto or_null = [](Json value) { return value.absent() ? std::string("null") : sorted_json(value); };
  const Json name = function["name"];
  if (const Json id = call["id"]; id.says_something() && name.says_something()) named[id.text()] = sorted_json(name);
  out.push_back(dump({{"function", dump({{"name", or_null(function["name"])}, {"arguments", or_null(*arguments)}})}}));
  return std::nullopt;
}

/// The function, as JSON, that gave the result which a message is; empty if nothing says it.
std::string tool_name(Json message, const Named& named) {
  for (const std::string_view key : {"tool_name", "name"}) {
    if (const Json name = message[key]; name.says_something()) return sorted_json(name);
  }
  const auto found = named.find(message["tool_call_id"].text());
  return found == named.end() ? std::string() : found->second;
}

Problem encode_message(Json message, const std::string& where, std::string& out, Named& named) {
  const bool of_tool = message["role"].is_text("tool") || message["role"].is_text("function");
  for (const std::string_view key : {"audio", "function_call", "name"}) {
    if (message[key].says_something() && !(of_tool && key == "name")) {
      return where + " holds " + std::string(key) + ", which Ollama has no place for";
    }
  }
  std::string text;
  std::vector<std::string> images, calls;
  Problem problem;
  if (const Json content = message["content"]; content.is(Kind::string)) {
    text = content.text();
  } else {
    std::size_t at = 0;
    content.each([&](Json part) {
      problem = append_part(part, where + R"(["content"][)" + std::to_string(at++) + "]", text, images);
      return !problem;
    });
  }
  if (problem) return problem;
  text += message["refusal"].text();
  const Json own = message["images"];
  if (own.says_something() && !own.is(Kind::list)) return where + R"(["images"] is a list)";
  own.each([&](Json each) {
    images.push_back(sorted_json(each));
    return true;
  });
  const Json made = message["tool_calls"];
  if (made.says_something() && !made.is(Kind::list)) return where + R"(["tool_calls"] is a list)";
  made.each([&](Json call) {
    problem = append_call(call, where, calls, named);
    return !problem;
  });
  if (problem) return problem;
  Fields fields{{"role", sorted_json(message["role"])}, {"content", quoted(text)}};
  if (!images.empty()) fields["images"] = json_list(images);
  if (!calls.empty()) fields["tool_calls"] = json_list(calls);
  if (const Json thinking = message["thinking"]; thinking.says_something()) fields["thinking"] = sorted_json(thinking);
  if (std::string name = of_tool ? tool_name(message, named) : std::string(); !name.empty()) {
    fields["tool_name"] = std::move(name);
  }
  out = dump(fields);
  return std::nullopt;
}

Problem encode_format(const ChatRequest& request, const CheckedRequest& checked, Fields& fields) {
  const Json given = checked.param("response_format");
  const Json wanted = given.absent() ? checked.response_format : given;
  if (wanted["type"].is_text("json_schema")) {
    const Json schema = wanted["json_schema"]["schema"];
    if (!schema.is(Kind::object)) return R"(response_format["json_schema"]["schema"] is missing or not an object)";
    fields["format"] = compact_json(schema);
  } else if (request.json_format || wanted["type"].is_text("json_object")) {
    fields["format"] = R"("json")";
  }
  return std::nullopt;
}

Problem encode_fields(const ChatRequest& request, const CheckedRequest& checked, Fields& fields) {
  fields["model"] = quoted(request.model);
  fields["stream"] = request.stream ? "true" : "false";
  if (auto problem = encode_format(request, checked, fields)) return problem;
  if (!checked.tools.absent()) fields["tools"] = compact_json(checked.tools);
  const Json given = checked.param("options");
  if (given.says_something() && !given.is(Kind::object)) return "options is an object";
  Options options;
  for (const auto& [name, value] : given.members()) options.set(name, compact_json(value));
  if (request.temperature) options.set("temperature", *json_number(*request.temperature));
  if (request.max_tokens) options.set("num_predict", std::to_string(*request.max_tokens));
  Fields others;
  for (const auto& [name, value] : checked.params) {
    if (name == "stream" || name == "options" || name == "response_format") continue;
    if (const std::string_view option = option_of(name); !option.empty()) {
      options.set(option, compact_json(value));
    } else {
      others[name] = compact_json(value);
    }
  }
  if (std::string text = options.text(); !text.empty()) fields["options"] = std::move(text);
  for (auto& [name, value] : others) fields[name] = std::move(value);
  return std::nullopt;
}

}  // namespace

ChatBody encode_ollama(const ChatRequest& request) {
  ChatBody made;
  CheckedRequest checked;
  if ((made.problem = check(request, checked))) return made;
  if ((made.problem = refused_params(checked.params, kUnknown, "Ollama's own API", false))) return made;
  Fields fields;
  if ((made.problem = encode_fields(request, checked, fields))) return made;
  std::vector<std::string> messages;
  Named named;
  checked.messages.each([&](Json message) {
    const std::string where = "messages[" + std::to_string(messages.size()) + "]";
    made.problem = encode_message(message, where, messages.emplace_back(), named);
    return !made.problem;
  });
  if (made.problem) return made;
  fields["messages"] = json_list(messages);
  made.body = dump(fields);
  return made;
}

}  // namespace llmcore::net
