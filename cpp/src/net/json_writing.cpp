#include <algorithm>
#include <array>
#include <charconv>

#include "../text.hpp"
#include "json.hpp"

namespace llmcore::net {
namespace {

bool sorts_before(const Json::Member& a, const Json::Member& b) noexcept { return a.name < b.name; }

/// Of those of one name, which follow each other, the last.
void keep_last(std::vector<Json::Member>& sorted) {
  std::size_t kept = 0;
  for (std::size_t at = 0; at < sorted.size(); ++at) {
    if (at + 1 < sorted.size() && sorted[at + 1].name == sorted[at].name) continue;
    if (kept != at) sorted[kept] = std::move(sorted[at]);
    ++kept;
  }
  sorted.resize(kept);
}

void append_value(std::string& out, Json value, bool sorted) {
  switch (value.kind()) {
    case Json::Kind::string: append_json_string(out, value.text()); return;
    case Json::Kind::list: {
      out += '[';
      bool first = true;
      value.each([&](Json element) {
        if (!first) out += ',';
        first = false;
        append_value(out, element, sorted);
        return true;
      });
      out += ']';
      return;
    }
    case Json::Kind::object: {
      out += '{';
      bool first = true;
      const auto put = [&](std::string_view name, Json inner) {
        if (!first) out += ',';
        first = false;
        append_json_string(out, name);
        out += ':';
        append_value(out, inner, sorted);
        return true;
      };
      if (sorted) {
        std::vector<Json::Member> members;
        value.each_member([&](std::string_view name, Json inner) {
          members.push_back({std::string(name), inner});
          return true;
        });
        std::stable_sort(members.begin(), members.end(), sorts_before);
        keep_last(members);
        for (const Json::Member& member : members) put(member.name, member.value);
      } else {
        value.each_member(put);
      }
      out += '}';
      return;
    }
    default: out += value.raw();
  }
}

}  // namespace

void append_compact(std::string& out, Json value) { append_value(out, value, false); }
void append_sorted(std::string& out, Json value) { append_value(out, value, true); }

JsonWriter& JsonWriter::name(std::string_view name) {
  separate();
  append_json_string(out_, name);
  out_ += ':';
  fresh_ = true;
  return *this;
}

JsonWriter& JsonWriter::text(std::string_view utf8) {
  separate();
  append_json_string(out_, utf8);
  return *this;
}

JsonWriter& JsonWriter::number(std::int64_t value) {
  separate();
  std::array<char, 24> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  out_.append(digits.data(), end.ptr);
  return *this;
}

}  // namespace llmcore::net
