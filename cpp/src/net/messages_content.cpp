#include "messages_content.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "media.hpp"

namespace llmcore::net::messages {
namespace {

using Kind = Json::Kind;

/// Parts of OpenAI's that have no form here. What is not known passes: it may be Anthropic's, which has new ones often.
constexpr std::string_view kForeignParts = " input_audio input_text input_image input_file output_text video_url ";

/// A system prompt is no message: its parts keep the order of what is inside them.
std::string sorted_at_the_top(Json part) {
  Fields fields;
  for (const auto& [name, value] : part.members()) fields[name] = compact_json(value);
  return dump(fields);
}

std::string cache_control(Json of) {
  const Json mark = of["cache_control"];
  return mark.absent() ? std::string() : R"("cache_control":)" + sorted_json(mark) + ",";
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
    out.json = sorted_json(part);
  } else if (const Json id = inner["file_id"]; !id.absent()) {
    out.json = "{" + kept + R"("source":{"file_id":)" + sorted_json(id) + R"(,"type":"file"},"type":"document"})";
  } else {
    if (auto problem = source(inner["file_data"], place, from)) return problem;
    const Json name = inner["filename"];
    const std::string title = name.absent() ? std::string() : R"("title":)" + sorted_json(name) + ",";
    out.json = "{" + kept + R"("source":)" + from + "," + title + R"("type":"document"})";
  }
  return std::nullopt;
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

Problem tool_result(Json message, const std::string& where, Part& out) {
  std::string id;
  if (auto problem = tool_id(message["tool_call_id"], where, id)) return problem;
  Parts parts;
  if (auto problem = append_parts(message["content"], where, false, parts)) return problem;
  Fields fields{{"tool_use_id", quoted(id)}, {"type", R"("tool_result")"}};
  if (!parts.empty()) fields["content"] = content_of(parts);
  for (const std::string_view name : {"is_error", "cache_control"}) {
    if (const Json value = message[name]; !value.absent()) fields[std::string(name)] = sorted_json(value);
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
      out.push_back({R"({"id":)" + quoted(id) + R"(,"input":)" + sorted_json(*input) + R"(,"name":)" +
                         (name.absent() ? "null" : sorted_json(name)) + R"(,"type":"tool_use"})",
                     std::nullopt});
    }
    return !problem;
  });
  return problem;
}

}  // namespace

Part text_part(std::string_view utf8) {
  return {R"({"text":)" + quoted(utf8) + R"(,"type":"text"})", std::string(utf8)};
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
      Part made{only_text ? sorted_at_the_top(part) : sorted_json(part), std::nullopt};
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

std::string content_of(const Parts& parts) {
  if (parts.size() == 1 && parts[0].only_text) return quoted(*parts[0].only_text);
  std::string out = "[";
  for (const Part& part : parts) out += (out.size() == 1 ? "" : ",") + part.json;
  return out + "]";
}

std::string system_of(Parts system) {
  if (std::all_of(system.begin(), system.end(), [](const Part& part) { return part.only_text.has_value(); })) {
    std::string text;
    for (const Part& part : system) text += (&part == &system.front() ? "" : "\n\n") + *part.only_text;
    return quoted(text);
  }
  for (Part& part : system) part.only_text.reset();
  return content_of(system);
}

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
      if (auto wrong = append_parts(message["refusal"], where, true, parts)) return wrong;
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

}  // namespace llmcore::net::messages
