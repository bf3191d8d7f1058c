#include "request_fields.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "../text.hpp"

namespace llmcore::net {

std::string quoted(std::string_view utf8) {
  std::string out;
  append_json_string(out, utf8);
  return out;
}

std::string quoted_as_utf8(std::string_view bytes) {
  if (is_utf8(bytes)) return quoted(bytes);
  std::string utf8;
  append_as_utf8(utf8, bytes);
  return quoted(utf8);
}

std::optional<std::string> json_number(double value) {
  if (!std::isfinite(value)) return std::nullopt;
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  std::string text(digits.data(), end.ptr);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";  // as every writer of floats has it
  return text;
}

std::string dump(const Fields& fields) {
  std::string out;
  JsonWriter json(out);
  json.open('{');
  for (const auto& [name, value] : fields) json.name(name).raw(value);
  json.close('}');
  return out;
}

std::string json_list(const std::vector<std::string>& elements) {
  std::string list = "[";
  for (const std::string& each : elements) {
    if (list.size() != 1) list += ',';
    list += each;
  }
  return list + "]";
}

std::optional<std::string> refused_params(const std::vector<Json::Member>& params, std::string_view unknown,
                                          std::string_view provider, bool null_is_absent) {
  std::vector<std::string> named;
  for (const auto& [name, value] : params) {
    if (name == "stream" && value.says_something())
      return "stream is not a param of a request: its field `stream` asks for one";
    if (null_is_absent && value.is(Json::Kind::null)) continue;
    if (unknown.find(" " + name + " ") != std::string_view::npos) named.push_back(name);
  }
  if (named.empty()) return std::nullopt;
  std::sort(named.begin(), named.end());
  std::string told = std::string(provider) + " has no ";
  for (std::size_t i = 0; i < named.size(); ++i) told += (i == 0 ? "" : " and no ") + named[i];
  return told + ": leave it out, or ask another provider";
}

std::string sorted_json(Json value) {
  std::string out;
  append_sorted(out, value);
  return out;
}

std::string compact_json(Json value) {
  std::string out;
  append_compact(out, value);
  return out;
}

Json Params::pop(std::string_view name) {
  const auto found = std::find_if(all_.begin(), all_.end(), [name](const auto& each) { return each.name == name; });
  if (found == all_.end()) return {};
  const Json value = found->value;
  all_.erase(found);
  return value.is(Json::Kind::null) ? Json() : value;
}

}  // namespace llmcore::net
