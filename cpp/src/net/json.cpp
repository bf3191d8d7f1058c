#include "json.hpp"

#include <algorithm>

#include "json_text.hpp"

namespace llmcore::net {
namespace {

void append_character(std::string& out, unsigned code) {
  const auto put = [&out](unsigned byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0U | (code >> 6U));
    put(0x80U | (code & 0x3FU));
  } else if (code < 0x10000) {
    put(0xE0U | (code >> 12U));
    put(0x80U | ((code >> 6U) & 0x3FU));
    put(0x80U | (code & 0x3FU));
  } else {
    put(0xF0U | (code >> 18U));
    put(0x80U | ((code >> 12U) & 0x3FU));
    put(0x80U | ((code >> 6U) & 0x3FU));
    put(0x80U | (code & 0x3FU));
  }
}

/// Where the value at the front of a checked text ends. Brackets are counted, strings are leapt over: nothing else in a
/// checked text holds a bracket or a quote.
std::size_t end_of_value(std::string_view text) noexcept {
  const auto end_of_string = [text](std::size_t at) {
    for (++at; at < text.size() && text[at] != '"'; ++at) {
      if (text[at] == '\\') ++at;
    }
    return std::min(at + 1, text.size());
  };
  if (text.front() == '"') return end_of_string(0);
  if (text.front() != '{' && text.front() != '[') {
    std::size_t at = 1;
    while (at < text.size() && !is_blank(text[at]) && text[at] != ',' && text[at] != ']' && text[at] != '}') ++at;
    return at;
  }
  std::size_t open = 0;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '"') {
      at = end_of_string(at);
      continue;
    }
    ++at;
    if (c == '{' || c == '[') ++open;
    if ((c == '}' || c == ']') && --open == 0) return at;
  }
  return text.size();
}

void append_decoded(std::string& out, std::string_view quoted) {
  for (std::size_t at = 0; at < quoted.size();) {
    const std::size_t escape = std::min(quoted.find('\\', at), quoted.size());
    out += quoted.substr(at, escape - at);
    at = escape;
    if (at + 1 >= quoted.size()) return;
    const char c = quoted[at + 1];
    at += 2;
    switch (c) {
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      case 'u': {
        const int unit = unit_at(quoted, at);
        at += 4;
        if (is_high(unit)) {
          const int low = unit_at(quoted, at + 2);
          at += 6;
          append_character(out, 0x10000U + ((static_cast<unsigned>(unit) - 0xD800U) << 10U) +
                                    (static_cast<unsigned>(low) - 0xDC00U));
        } else {
          append_character(out, static_cast<unsigned>(unit));
        }
        break;
      }
      default: out += c;
    }
  }
}

}  // namespace

Json::Kind Json::kind() const noexcept {
  if (raw_.empty()) return Kind::absent;
  switch (raw_.front()) {
    case '{': return Kind::object;
    case '[': return Kind::list;
    case '"': return Kind::string;
    case 't':
    case 'f': return Kind::boolean;
    case 'n': return Kind::null;
    default: return Kind::number;
  }
}

bool Json::says_something() const noexcept {
  switch (kind()) {
    case Kind::absent:
    case Kind::null: return false;
    case Kind::boolean: return raw_ == "true";
    case Kind::number: return scaled(0) != 0 || raw_.find_first_of("123456789") < raw_.find_first_of("eE");
    case Kind::string: return raw_.size() > 2;
    case Kind::list:
    case Kind::object: return !std::all_of(raw_.begin() + 1, raw_.end() - 1, is_blank);
  }
  return false;
}

Json Json::next(std::string_view& rest) noexcept {
  const auto separators = [&rest] {
    std::size_t at = 0;
    while (at < rest.size() && (is_blank(rest[at]) || rest[at] == ',' || rest[at] == ':')) ++at;
    rest.remove_prefix(at);
  };
  separators();
  if (rest.empty()) return {};
  const std::size_t end = end_of_value(rest);
  const Json value(rest.substr(0, end));
  rest.remove_prefix(end);
  separators();
  return value;
}

std::string_view Json::plain_or(std::string& memory) const {
  if (!is(Kind::string)) return {};
  const std::string_view quoted = inside();
  if (quoted.find('\\') == std::string_view::npos) return quoted;
  memory.clear();
  append_decoded(memory, quoted);
  return memory;
}

Json Json::operator[](std::string_view name) const {
  Json found;
  each_member([&](std::string_view member, Json value) {
    if (member == name) found = value;
    return true;
  });
  return found;
}

Json Json::first() const noexcept {
  if (!is(Kind::list)) return {};
  std::string_view rest = inside();
  return next(rest);
}

std::string Json::text() const {
  std::string memory;
  const std::string_view plain = plain_or(memory);
  return memory.empty() ? std::string(plain) : memory;
}

bool Json::is_text(std::string_view same) const {
  std::string memory;
  return is(Kind::string) && plain_or(memory) == same;
}

std::optional<bool> Json::boolean() const noexcept {
  if (!is(Kind::boolean)) return std::nullopt;
  return raw_ == "true";
}

std::optional<std::int64_t> Json::scaled(int decimals) const noexcept {
  return is(Kind::number) ? scaled_decimal(raw_, decimals) : std::nullopt;
}

std::optional<std::int64_t> Json::whole() const noexcept {
  bool exact = false;
  const auto value = is(Kind::number) ? scaled_decimal(raw_, 0, &exact) : std::nullopt;
  return exact ? value : std::nullopt;
}

std::vector<Json::Member> Json::members() const {
  std::vector<Member> all;
  each_member([&all](std::string_view name, Json value) {
    const auto same = std::find_if(all.begin(), all.end(), [&](const Member& member) { return member.name == name; });
    if (same != all.end()) {
      same->value = value;
    } else {
      all.push_back({std::string(name), value});
    }
    return true;
  });
  return all;
}

}  // namespace llmcore::net
