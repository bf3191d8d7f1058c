#include "recorded_events.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "llmcore/recording_fields.hpp"

namespace llmcore::bindings {
namespace {

constexpr const char* kHexDigits = "0123456789abcdef";

template <class Byte>
std::string hex_of(const Byte* bytes, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    text += kHexDigits[bytes[i] >> 4U];
    text += kHexDigits[bytes[i] & 15U];
  }
  return text;
}

std::array<std::uint8_t, 8> big_endian(std::uint64_t value) {
  std::array<std::uint8_t, 8> bytes{};
  for (auto byte = bytes.rbegin(); byte != bytes.rend(); ++byte, value >>= 8U) *byte = static_cast<std::uint8_t>(value);
  return bytes;
}

class ToPython {
 public:
  template <class T>
  void operator()(std::string_view name, const T& value, std::uint32_t /*since*/ = 1) {
    fields_[py::str(name.data(), name.size())] = made(value);
  }
  [[nodiscard]] py::dict take() { return std::move(fields_); }

 private:
  static py::object made(bool value) { return py::bool_(value); }
  static py::object made(std::uint32_t value) { return py::int_(value); }
  static py::object made(std::uint64_t value) { return py::int_(value); }
  static py::object made(std::int64_t value) { return py::int_(value); }
  static py::object made(const std::string& value) {
    PyObject* text = PyUnicode_DecodeUTF8(value.data(), static_cast<Py_ssize_t>(value.size()), nullptr);
    if (text != nullptr) return py::reinterpret_steal<py::object>(text);
    PyErr_Clear();
    return py::bytes(value);
  }
  static py::object made(const StateHash& value) {
    const auto bytes = big_endian(value.value);
    return py::str(hex_of(bytes.data(), bytes.size()));
  }
  static py::object made(const Fingerprint& value) { return py::str(value.hex()); }
  static py::object made(const Blob& value) {
    if (value == nullptr) return py::none();
    return py::int_(value->size());
  }
  template <class E>
    requires std::is_enum_v<E>
  static py::object made(E value) {
    const std::string_view name = Names<E>::of(value);
    return py::str(name.data(), name.size());
  }
  template <class T>
  static py::object made(const std::optional<T>& value) {
    if (!value) return py::none();
    return made(*value);
  }
  template <class T>
  static py::object made(const std::shared_ptr<const T>& value) {
    if (value == nullptr) return py::none();
    return made(*value);
  }
  template <class Range>
  static py::object list_of(const Range& range) {
    py::list items;
    for (const auto& each : range) items.append(made(each));
    return items;
  }
  template <class T>
  static py::object made(const std::vector<T>& value) {
    return list_of(value);
  }
  template <class T, std::size_t N>
  static py::object made(const std::array<T, N>& value) {
    return list_of(value);
  }
  template <class T, class Less>
  static py::object made(const std::map<std::string, T, Less>& value) {
    return list_of(value);  // of pairs: a key may be no text
  }
  template <class A, class B>
  static py::object made(const std::pair<A, B>& value) {
    py::list both;
    both.append(made(value.first));
    both.append(made(value.second));
    return both;
  }
  static py::object made(const Input& value) {
    const std::string_view name = kInputNames[value.index()];
    py::dict input;
    input[py::str(name.data(), name.size())] = std::visit([](const auto& each) { return made(each); }, value);
    return input;
  }
  template <Described T>
  static py::object made(const T& value) {
    ToPython inner;
    describe(inner, value);
    return inner.take();
  }

  py::dict fields_;
};

class FromPython {
 public:
  FromPython(py::dict fields, std::string path) : fields_(std::move(fields)), path_(std::move(path)) {}

  template <class T>
  void operator()(std::string_view name, T& value, std::uint32_t since = 1) {
    const py::str key(name.data(), name.size());
    const std::string path = path_.empty() ? std::string(name) : path_ + "." + std::string(name);
    if (!fields_.contains(key)) {
      if (since > 1) return;  // exported before there was such a field
      fail(path, "it is missing");
    }
    ++read_;
    get(fields_[key], path, value);
  }
  void expect_no_more() const {
    if (fields_.size() != read_) fail(path_.empty() ? "the event" : path_, "it has fields that are not known");
  }

 private:
  [[noreturn]] static void fail(const std::string& path, const std::string& why) {
    throw py::value_error(path + ": " + why);
  }

  static void get(const py::handle& from, const std::string& path, bool& value) {
    if (!py::isinstance<py::bool_>(from)) fail(path, "expected true or false");
    value = from.cast<bool>();
  }
  template <class Int>
  static void integer(const py::handle& from, const std::string& path, Int& value) {
    if (!py::isinstance<py::int_>(from) || py::isinstance<py::bool_>(from)) fail(path, "expected a whole number");
    try {
      value = from.cast<Int>();
    } catch (const py::cast_error&) {
      fail(path, "the number does not fit");
    }
  }
  static void get(const py::handle& from, const std::string& path, std::uint32_t& value) { integer(from, path, value); }
  static void get(const py::handle& from, const std::string& path, std::uint64_t& value) { integer(from, path, value); }
  static void get(const py::handle& from, const std::string& path, std::int64_t& value) { integer(from, path, value); }
  static void get(const py::handle& from, const std::string& path, std::string& value) {
    if (PyBytes_Check(from.ptr())) {
      value = from.cast<std::string>();
      return;
    }
    if (!PyUnicode_Check(from.ptr())) fail(path, "expected text");
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(from.ptr(), &size);
    if (text == nullptr) {
      PyErr_Clear();
      fail(path, "it holds half of a surrogate pair, which is no character");
    }
    value.assign(text, static_cast<std::size_t>(size));
  }
  template <std::size_t N>
  static std::array<std::uint8_t, N> bytes_of(const py::handle& from, const std::string& path) {
    std::string text;
    get(from, path, text);
    const std::string_view digits(kHexDigits);
    std::array<std::uint8_t, N> bytes{};
    if (text.size() != 2 * N || text.find_first_not_of(digits) != std::string::npos) {
      fail(path, "expected " + std::to_string(2 * N) + " hex digits");
    }
    for (std::size_t i = 0; i < N; ++i) {
      bytes[i] = static_cast<std::uint8_t>(digits.find(text[2 * i]) << 4U | digits.find(text[2 * i + 1]));
    }
    return bytes;
  }
  static void get(const py::handle& from, const std::string& path, StateHash& value) {
    value.value = 0;
    for (const std::uint8_t byte : bytes_of<8>(from, path)) value.value = value.value << 8U | byte;
  }
  static void get(const py::handle& from, const std::string& path, Fingerprint& value) {
    value.bytes = bytes_of<32>(from, path);
  }
  static void get(const py::handle& from, const std::string& path, Blob& value) {
    value = nullptr;
    if (from.is_none()) return;
    std::uint64_t size = 0;
    integer(from, path, size);
    value = payload_of_size(size);
    if (value == nullptr) fail(path, "a payload is larger than any can be");
  }
  template <class E>
    requires std::is_enum_v<E>
  static void get(const py::handle& from, const std::string& path, E& value) {
    std::string text;
    get(from, path, text);
    std::string known;  // what is no name is not told: it may be long, and no text
    for (std::size_t i = 0; i < Names<E>::count; ++i) {
      const std::string_view name = Names<E>::of(static_cast<E>(i));
      if (name == text) {
        value = static_cast<E>(i);
        return;
      }
      known.append(known.empty() ? "" : ", ").append(name);
    }
    fail(path, "expected one of " + known);
  }
  template <class T>
  static void get(const py::handle& from, const std::string& path, std::optional<T>& value) {
    value.reset();
    if (!from.is_none()) get(from, path, value.emplace());
  }
  template <class T>
  static void get(const py::handle& from, const std::string& path, std::shared_ptr<const T>& value) {
    value = nullptr;
    if (from.is_none()) return;
    auto made = std::make_shared<T>();
    get(from, path, *made);
    value = std::move(made);
  }
  static py::list list_of(const py::handle& from, const std::string& path) {
    if (!PyList_Check(from.ptr())) fail(path, "expected a list");
    return py::reinterpret_borrow<py::list>(from);
  }
  static py::dict dict_of(const py::handle& from, const std::string& path) {
    if (!PyDict_Check(from.ptr())) fail(path, "expected an object");
    return py::reinterpret_borrow<py::dict>(from);
  }
  static std::string at(const std::string& path, std::size_t index) { return path + "[" + std::to_string(index) + "]"; }
  template <class T>
  static void get(const py::handle& from, const std::string& path, std::vector<T>& value) {
    value.clear();
    for (const py::handle each : list_of(from, path)) get(each, at(path, value.size()), value.emplace_back());
  }
  template <class T, std::size_t N>
  static void get(const py::handle& from, const std::string& path, std::array<T, N>& value) {
    const py::list items = list_of(from, path);
    if (items.size() != N) fail(path, "expected a list of " + std::to_string(N));
    for (std::size_t i = 0; i < N; ++i) get(items[i], at(path, i), value[i]);
  }
  template <class T, class Less>
  static void get(const py::handle& from, const std::string& path, std::map<std::string, T, Less>& value) {
    value.clear();
    std::vector<std::pair<std::string, T>> pairs;
    get(from, path, pairs);
    for (auto& [key, each] : pairs) {
      if (!value.empty() && !(value.rbegin()->first < key)) fail(path, "names in it are out of order");
      value.emplace(std::move(key), std::move(each));
    }
  }
  template <class A, class B>
  static void get(const py::handle& from, const std::string& path, std::pair<A, B>& value) {
    const py::list both = list_of(from, path);
    if (both.size() != 2) fail(path, "expected a list of 2");
    get(both[0], at(path, 0), value.first);
    get(both[1], at(path, 1), value.second);
  }
  static void get(const py::handle& from, const std::string& path, Input& value) {
    const py::dict input = dict_of(from, path);
    if (input.size() != 1) fail(path, "expected an object with the input's name alone");
    for (const auto& [key, each] : input) {
      std::string name;
      get(key, path, name);
      const auto found = std::find(kInputNames.begin(), kInputNames.end(), name);
      if (!emplace_alternative(value, static_cast<std::size_t>(found - kInputNames.begin()))) {
        fail(path, "an input of this name is not known");
      }
      const py::handle fields = each;
      std::visit([&](auto& alternative) { get(fields, path + "." + name, alternative); }, value);
    }
  }
  template <Described T>
  static void get(const py::handle& from, const std::string& path, T& value) {
    FromPython inner(dict_of(from, path), path);
    describe(inner, value);
    inner.expect_no_more();
  }

  py::dict fields_;
  std::string path_;
  std::size_t read_ = 0;
};

}  // namespace

py::dict event_as_dict(const RecordedEvent& event) {
  const std::string_view kind = to_string(kind_of(event));
  ToPython fields;
  std::visit([&](const auto& each) { describe(fields, each); }, event);
  py::dict dict;
  dict["kind"] = py::str(kind.data(), kind.size());
  for (const auto& [key, value] : fields.take()) dict[key] = value;
  return dict;
}

RecordedEvent event_from_dict(const py::dict& event) {
  const py::dict fields = py::reinterpret_steal<py::dict>(PyDict_Copy(event.ptr()));
  std::string kind;
  if (fields.contains("kind") && py::isinstance<py::str>(fields["kind"])) {
    kind = fields["kind"].cast<std::string>();
    PyDict_DelItemString(fields.ptr(), "kind");
  }
  const auto found =
      std::find_if(kEventKinds.begin(), kEventKinds.end(), [&](RecordKind each) { return to_string(each) == kind; });
  RecordedEvent made;
  if (!emplace_alternative(made, static_cast<std::size_t>(found - kEventKinds.begin()))) {
    throw py::value_error("kind: this is no event of a recording");
  }
  FromPython reader(fields, "");
  std::visit([&](auto& each) { describe(reader, each); }, made);
  reader.expect_no_more();
  return made;
}

}  // namespace llmcore::bindings
