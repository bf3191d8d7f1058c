// What is JSON, as RFC 8259 has it, and what nearly is.
#include "../text.hpp"
#include "json.hpp"
#include "json_text.hpp"

namespace llmcore::net {
namespace {

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

}  // namespace llmcore::net
