#include "json.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "../text.hpp"

namespace llmcore::net {
namespace {

constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

int hex_digit(char c) noexcept {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The four digits after "\u"; -1 if they are none.
int unit_at(std::string_view text, std::size_t at) noexcept {
  if (at + 4 > text.size()) return -1;
  int unit = 0;
  for (std::size_t i = at; i < at + 4; ++i) {
    const int digit = hex_digit(text[i]);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

constexpr bool is_high(int unit) noexcept { return unit >= 0xD800 && unit < 0xDC00; }
constexpr bool is_low(int unit) noexcept { return unit >= 0xDC00 && unit < 0xE000; }

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

/// Bytes of the character at `at` that is none of ASCII's; 0 if they are no UTF-8.
std::size_t character_length(std::string_view text, std::size_t at) noexcept {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(at);
  if (lead < 0xC2 || lead > 0xF4) return 0;
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (at + length > text.size()) return 0;
  unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (std::size_t i = 1; i < length; ++i) {
    if (byte(at + i) < low || byte(at + i) > high) return 0;
    low = 0x80;
    high = 0xBF;
  }
  return length;
}

/// Checks a text, or walks over one that was checked.
class Reader {
 public:
  explicit Reader(std::string_view text) noexcept : text_(text) {}

  [[nodiscard]] std::size_t at() const noexcept { return at_; }
  void blanks() noexcept {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  }
  bool value(int depth) noexcept {
    if (at_ >= text_.size()) return false;
    switch (text_[at_]) {
      case '{': return object(depth);
      case '[': return list(depth);
      case '"': return string();
      case 't': return word("true");
      case 'f': return word("false");
      case 'n': return word("null");
      default: return number();
    }
  }

 private:
  [[nodiscard]] bool take(char c) noexcept {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool word(std::string_view expected) noexcept {
    if (text_.substr(at_, expected.size()) != expected) return false;
    at_ += expected.size();
    return true;
  }
  bool digits() noexcept {
    const std::size_t start = at_;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    return at_ != start;
  }
  bool number() noexcept {
    (void)take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (take('e') || take('E')) {
      if (!take('+')) (void)take('-');
      return digits();
    }
    return true;
  }
  bool string() noexcept {
    ++at_;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return true;
      }
      if (c == '\\') {
        if (!escape()) return false;
      } else if (const auto byte = static_cast<unsigned char>(c); byte >= 0x80) {
        const std::size_t length = character_length(text_, at_);
        if (length == 0) return false;
        at_ += length;
      } else if (byte < 0x20) {
        return false;
      } else {
        ++at_;
      }
    }
    return false;
  }
  bool escape() noexcept {
    if (at_ + 1 >= text_.size()) return false;
    const char c = text_[at_ + 1];
    if (c != 'u') {
      at_ += 2;
      return std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos;
    }
    const int unit = unit_at(text_, at_ + 2);
    if (unit < 0 || is_low(unit)) return false;
    at_ += 6;
    if (!is_high(unit)) return true;
    if (text_.substr(at_, 2) != "\\u" || !is_low(unit_at(text_, at_ + 2))) return false;
    at_ += 6;
    return true;
  }
  bool list(int depth) noexcept {
    if (depth >= Json::kDeepest) return false;
    ++at_;
    blanks();
    if (take(']')) return true;
    do {
      blanks();
      if (!value(depth + 1)) return false;
      blanks();
    } while (take(','));
    return take(']');
  }
  bool object(int depth) noexcept {
    if (depth >= Json::kDeepest) return false;
    ++at_;
    blanks();
    if (take('}')) return true;
    do {
      blanks();
      if (at_ >= text_.size() || text_[at_] != '"' || !string()) return false;
      blanks();
      if (!take(':')) return false;
      blanks();
      if (!value(depth + 1)) return false;
      blanks();
    } while (take(','));
    return take('}');
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

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

/// Puts right, in what may be JSON, what parse_leniently() names.
std::string repaired_text(std::string_view bytes) {
  std::string text;
  append_as_utf8(text, bytes);
  std::string out;
  out.reserve(text.size());
  bool in_string = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view rest = std::string_view(text).substr(at);
    if (!in_string) {
      std::size_t skipped = 0;
      for (const std::string_view word : {"NaN", "-Infinity", "Infinity"}) {
        if (skipped == 0 && rest.starts_with(word)) skipped = word.size();
      }
      if (skipped != 0) {
        out += "null";
        at += skipped;
        continue;
      }
      in_string = rest.front() == '"';
    } else if (rest.front() == '\\' && rest.size() > 1) {
      const int unit = rest[1] == 'u' ? unit_at(text, at + 2) : -1;
      const bool paired = is_high(unit) && rest.substr(6, 2) == "\\u" && is_low(unit_at(text, at + 8));
      const std::size_t length = paired ? 12 : unit >= 0 ? 6 : 2;
      out += !paired && (is_high(unit) || is_low(unit)) ? std::string_view("\\ufffd") : rest.substr(0, length);
      at += length;
      continue;
    } else if (rest.front() == '"') {
      in_string = false;
    }
    out += rest.front();
    ++at;
  }
  return out;
}

}  // namespace

std::optional<Json> Json::parse(std::string_view text) noexcept {
  Reader reader(text);
  reader.blanks();
  const std::size_t start = reader.at();
  if (!reader.value(0)) return std::nullopt;
  const std::size_t end = reader.at();
  reader.blanks();
  if (reader.at() != text.size()) return std::nullopt;
  return Json(text.substr(start, end - start));
}

std::optional<Json> parse_leniently(std::string_view bytes, std::string& repaired) {
  if (const auto strict = Json::parse(bytes)) return strict;
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
  repaired = repaired_text(bytes);
  return Json::parse(repaired);
}

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

std::optional<std::int64_t> scaled_decimal(std::string_view number, int decimals, bool* exact) noexcept {
  constexpr std::size_t kMostDigits = 18;
  bool none = false;
  bool& whole = exact != nullptr ? *exact : none;
  whole = true;
  const bool negative = number.starts_with('-');
  if (negative || number.starts_with('+')) number.remove_prefix(1);
  const std::size_t end = std::min(number.find_first_of("eE"), number.size());
  const std::string_view mantissa = number.substr(0, end);
  std::int64_t exponent = 0;
  if (end != number.size()) {
    std::string_view power = number.substr(end + 1);
    const bool down = power.starts_with('-');
    if (down || power.starts_with('+')) power.remove_prefix(1);
    if (power.empty() || !std::all_of(power.begin(), power.end(), is_digit)) return std::nullopt;
    const std::size_t start = std::min(power.find_first_not_of('0'), power.size());
    exponent = 1'000'000'000;
    if (power.size() - start <= 8) {
      exponent = 0;
      for (const char c : power.substr(start)) exponent = exponent * 10 + (c - '0');
    }
    if (down) exponent = -exponent;
  }
  const std::size_t point = std::min(mantissa.find('.'), mantissa.size());
  const std::string_view before = mantissa.substr(0, point);
  const std::string_view after = mantissa.substr(std::min(point + 1, mantissa.size()));
  if (before.empty() || !std::all_of(before.begin(), before.end(), is_digit) ||
      !std::all_of(after.begin(), after.end(), is_digit)) {
    return std::nullopt;
  }
  // The digits as one number, whose point stands `places` after the first of them.
  const auto digit = [&](std::size_t i) { return i < before.size() ? before[i] : after[i - before.size()]; };
  const std::size_t count = before.size() + after.size();
  std::size_t first = 0;
  while (first < count && digit(first) == '0') ++first;
  if (first == count) return 0;
  const std::int64_t places =
      static_cast<std::int64_t>(before.size()) - static_cast<std::int64_t>(first) + exponent + decimals;
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  if (places > static_cast<std::int64_t>(kMostDigits)) {
    whole = false;
    return negative ? -kMost : kMost;
  }
  std::int64_t value = 0;
  for (std::int64_t i = 0; i < places; ++i) {
    const std::size_t at = first + static_cast<std::size_t>(i);
    value = value * 10 + (at < count ? digit(at) - '0' : 0);
  }
  // What is behind the point rounds, half of it to the even neighbour.
  const std::size_t rest = first + static_cast<std::size_t>(std::max<std::int64_t>(places, 0));
  bool below = false;
  for (std::size_t at = rest + 1; at < count && !below; ++at) below = digit(at) != '0';
  const int leading = places < 0 || rest >= count ? 0 : digit(rest) - '0';
  whole = places >= 0 && leading == 0 && !below;
  if (leading > 5 || (leading == 5 && (below || value % 2 != 0))) ++value;
  return negative ? -value : value;
}

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
