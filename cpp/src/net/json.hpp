// JSON, read where it lies and written by hand.
//
// A Json is a view of one value in a text that was checked as a whole: nothing is copied or allocated until a string is
// asked for, so that no answer, whatever it holds, takes more memory than its bytes. A look at a member costs O(bytes of
// the object), which for an event of a stream is less than a tree would cost to build. Numbers stay as they are written,
// and no locale has a say in them.
//
// Pure functions and views; nothing throws but for want of memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llmcore::net {

class Json {
 public:
  struct Member;
  enum class Kind : std::uint8_t { absent, null, boolean, number, string, list, object };
  /// Nothing is nested deeper; what is, counts as no JSON.
  static constexpr int kDeepest = 256;

  Json() = default;
  /// Of a text that is JSON, by parse() or by who wrote it.
  explicit Json(std::string_view checked) noexcept : raw_(checked) {}

  /// The value that a text is; nothing if it is no JSON as RFC 8259 has it, in UTF-8.
  [[nodiscard]] static std::optional<Json> parse(std::string_view text) noexcept;

  [[nodiscard]] Kind kind() const noexcept;
  [[nodiscard]] bool is(Kind kind_) const noexcept { return kind() == kind_; }
  [[nodiscard]] bool absent() const noexcept { return raw_.empty(); }
  /// Neither absent, null, false, 0, "", [] nor {}.
  [[nodiscard]] bool says_something() const noexcept;
  /// As it is written, without the blanks around it.
  [[nodiscard]] std::string_view raw() const noexcept { return raw_; }

  /// The member of that name, of several the last; absent where there is none, or no object.
  [[nodiscard]] Json operator[](std::string_view name) const;
  /// The first element of a list; absent where there is none.
  [[nodiscard]] Json first() const noexcept;
  /// The string; "" of anything else.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool is_text(std::string_view same) const;
  /// true or false; nothing of anything else.
  [[nodiscard]] std::optional<bool> boolean() const noexcept;
  /// A number times 10^decimals, rounded half-even, held at the ends of the range; nothing of anything else.
  [[nodiscard]] std::optional<std::int64_t> scaled(int decimals) const noexcept;
  /// A number without a fraction, in the range; 3.0 is one.
  [[nodiscard]] std::optional<std::int64_t> whole() const noexcept;

  /// Calls `function(Json)` with each element of a list, until it returns false.
  template <typename Function>
  void each(Function&& function) const {
    if (!is(Kind::list)) return;
    std::string_view rest = inside();
    while (!rest.empty()) {
      if (!function(next(rest))) return;
    }
  }
  /// Calls `function(name, Json)` with each member of an object, in their order, until it returns false.
  template <typename Function>
  void each_member(Function&& function) const {
    if (!is(Kind::object)) return;
    std::string_view rest = inside();
    std::string decoded;
    while (!rest.empty()) {
      const Json name = next(rest);
      const Json value = next(rest);
      if (!function(name.plain_or(decoded), value)) return;
    }
  }
  /// All members in their order; of one that comes twice, the last.
  [[nodiscard]] std::vector<Member> members() const;

 private:
  [[nodiscard]] std::string_view inside() const noexcept { return raw_.substr(1, raw_.size() - 2); }
  /// Takes the next value off a list or an object, with what separates it; makes `rest` empty at the end.
  [[nodiscard]] static Json next(std::string_view& rest) noexcept;
  /// What is between the quotes, decoded into `memory` only where it has to be.
  [[nodiscard]] std::string_view plain_or(std::string& memory) const;

  std::string_view raw_;
};

struct Json::Member {
  std::string name;
  Json value;
};

/// What a text says that is almost JSON, as providers send it: with a byte order mark, NaN, bytes that are no UTF-8, or
/// half a surrogate pair (which become null and U+FFFD). Nothing if it is no JSON for all that. The views are of
/// `bytes`, or of `repaired` where that was needed.
[[nodiscard]] std::optional<Json> parse_leniently(std::string_view bytes, std::string& repaired);

/// A decimal number as JSON writes it, times 10^decimals, rounded half-even and held at the ends of the range; nothing if
/// it is none. `exact` says whether nothing was lost.
[[nodiscard]] std::optional<std::int64_t> scaled_decimal(std::string_view number, int decimals,
                                                         bool* exact = nullptr) noexcept;

/// Appends a value without blanks between its parts, in the order given.
void append_compact(std::string& out, Json value);
/// Appends a value without blanks, names sorted at every level.
void append_sorted(std::string& out, Json value);

/// An object or a list as it is being written.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) noexcept : out_(out) {}
  JsonWriter& open(char bracket) {
    separate();
    out_ += bracket;
    fresh_ = true;
    return *this;
  }
  JsonWriter& close(char bracket) {
    out_ += bracket;
    fresh_ = false;
    return *this;
  }
  JsonWriter& name(std::string_view name);
  JsonWriter& text(std::string_view utf8);
  JsonWriter& number(std::int64_t value);
  /// JSON already.
  JsonWriter& raw(std::string_view json) {
    separate();
    out_ += json;
    return *this;
  }
  JsonWriter& member(std::string_view of, std::string_view utf8) { return name(of).text(utf8); }

 private:
  void separate() {
    if (!fresh_) out_ += ',';
    fresh_ = false;
  }
  std::string& out_;
  bool fresh_ = true;
};

}  // namespace llmcore::net
