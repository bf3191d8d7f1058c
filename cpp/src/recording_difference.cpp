// Where two events of recordings differ: every value of each by its path, side by side.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "llmcore/recording_fields.hpp"
#include "llmcore/recording_format.hpp"

namespace llmcore {
namespace {

/// A value by its path. Two that read alike may differ in their form: nothing and the text "absent", the pairs
/// ("a: b", "c") and ("a", "b: c").
struct Leaf {
  std::string path;
  std::string text;
  std::size_t form = 0;  ///< 0; of a pair, 1 + the length of its first half
};
constexpr std::size_t kAbsent = std::numeric_limits<std::size_t>::max();

/// Every leaf, in order.
class Lister {
 public:
  using Leaves = std::vector<Leaf>;

  template <class T>
  void operator()(std::string_view name, const T& value, std::uint32_t /*since*/ = 1) {
    const std::size_t before = path_.size();
    if (before != 0) path_ += '.';
    path_ += name;
    put(value);
    path_.resize(before);
  }
  [[nodiscard]] Leaves take() { return std::move(leaves_); }

 private:
  void leaf(std::string text, std::size_t form = 0) { leaves_.push_back({path_, std::move(text), form}); }
  void absent() { leaf("absent", kAbsent); }

  void put(bool value) { leaf(value ? "true" : "false"); }
  void put(std::uint32_t value) { leaf(std::to_string(value)); }
  void put(std::uint64_t value) { leaf(std::to_string(value)); }
  void put(std::int64_t value) { leaf(std::to_string(value)); }
  void put(const std::string& value) { leaf(value); }
  void put(const Fingerprint& value) { leaf(value.hex()); }
  void put(const Blob& value) { value != nullptr ? leaf(std::to_string(value->size())) : absent(); }
  void put(const StateHash& value) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text(16, '0');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = kDigits[(value.value >> (60 - 4 * i)) & 15U];
    leaf(std::move(text));
  }
  template <class E>
    requires std::is_enum_v<E>
  void put(E value) {
    leaf(std::string(Names<E>::of(value)));
  }
  template <class T>
  void put(const std::optional<T>& value) {
    value ? put(*value) : absent();
  }
  template <class T>
  void put(const std::shared_ptr<const T>& value) {
    value != nullptr ? put(*value) : absent();
  }
  template <class Range>
  void items(const Range& range) {
    const std::size_t before = path_.size();
    std::size_t index = 0;
    for (const auto& each : range) {
      path_ += '[' + std::to_string(index++) + ']';
      put(each);
      path_.resize(before);
    }
  }
  template <class T>
  void put(const std::vector<T>& value) {
    items(value);
  }
  template <class T, std::size_t N>
  void put(const std::array<T, N>& value) {
    items(value);
  }
  template <class T, class Less>
  void put(const std::map<std::string, T, Less>& value) {
    for (const auto& [key, each] : value) (*this)(key, each);
  }
  void put(const std::pair<std::string, std::string>& value) {
    leaf(value.first + ": " + value.second, value.first.size() + 1);
  }
  void put(const Input& value) {
    std::visit([&](const auto& input) { (*this)(kInputNames[value.index()], input); }, value);
  }
  template <Described T>
  void put(const T& value) {
    if constexpr (std::is_empty_v<T>) leaf("present");
    describe(*this, value);
  }

  std::string path_;
  Leaves leaves_;
};

Lister::Leaves leaves_of(const RecordedEvent& event) {
  Lister lister;
  std::visit([&](const auto& each) { describe(lister, each); }, event);
  return lister.take();
}

/// The stretch of `text` around `at`, where it is long.
std::string around(std::string_view text, std::size_t at) {
  constexpr std::size_t kShown = 200;
  if (text.size() <= kShown) return std::string(text);
  const std::size_t start = std::min(at > kShown / 4 ? at - kShown / 4 : 0, text.size() - kShown);
  std::string shown(text.substr(start, kShown));
  if (start > 0) shown.insert(0, "...");
  if (start + kShown < text.size()) shown += "...";
  return shown;
}

FieldDifference different(const std::string& field, const std::string& expected, const std::string& got) {
  const std::size_t most = std::min(expected.size(), got.size());
  const auto at = static_cast<std::size_t>(
      std::mismatch(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(most), got.begin()).first -
      expected.begin());
  return {field, around(expected, at), around(got, at)};
}

}  // namespace

FieldDifference difference_of(const RecordedEvent& expected, const RecordedEvent& got) {
  if (expected.index() != got.index()) {
    return {"kind", std::string(to_string(kind_of(expected))), std::string(to_string(kind_of(got)))};
  }
  const Lister::Leaves one = leaves_of(expected);
  const Lister::Leaves other = leaves_of(got);
  for (std::size_t i = 0; i < std::max(one.size(), other.size()); ++i) {
    if (i >= one.size()) return different(other[i].path, "absent", other[i].text);
    if (i >= other.size() || one[i].path != other[i].path) return different(one[i].path, one[i].text, "absent");
    if (one[i].text != other[i].text || one[i].form != other[i].form) {
      return different(one[i].path, one[i].text, other[i].text);
    }
  }
  return {};
}

}  // namespace llmcore
