// What Python hands in, checked where it comes in: past these, the rest of the folder meets only what the library takes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "llmcore/budget.hpp"
#include "llmcore/fingerprint.hpp"

namespace llmcore::bindings {

/// A str. pybind11's own caster for std::string takes bytes as well, whatever is in them; what is no Unicode would come
/// in without a word and make every later look at the object it ended up in fail.
struct Text {
  std::string value;
};

/// Refuses how many of something, or how long, when it is less than nothing.
inline void check_count(std::int64_t n, const char* name) {
  if (n < 0) throw py::value_error(std::string(name) + " must be 0 or more, not " + std::to_string(n));
}

/// The bytes as an object of exactly that type. What is kept inside a component may be let go of under its lock, and
/// letting go of an instance of a subclass can run Python code.
[[nodiscard]] inline py::bytes plain(const py::bytes& bytes) {
  if (PyBytes_CheckExact(bytes.ptr())) return bytes;
  return {PyBytes_AS_STRING(bytes.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.ptr()))};
}

[[nodiscard]] inline std::size_t size_of(const py::bytes& bytes) {
  return static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.ptr()));
}

[[nodiscard]] inline Fingerprint key_of(std::string_view bytes) {
  Fingerprint key;
  if (bytes.size() != key.bytes.size()) throw py::value_error("a key has 32 bytes: fingerprint() makes one");
  std::copy(bytes.begin(), bytes.end(), key.bytes.begin());
  return key;
}
[[nodiscard]] inline Fingerprint key_of(const py::bytes& bytes) { return key_of(std::string_view(bytes)); }

[[nodiscard]] inline Scopes scopes_of(std::vector<std::pair<Text, Text>>&& pairs) {
  Scopes scopes;
  scopes.reserve(pairs.size());
  for (auto& [key, value] : pairs) scopes.emplace_back(std::move(key.value), std::move(value.value));
  return scopes;
}

}  // namespace llmcore::bindings

namespace pybind11::detail {

template <>
struct type_caster<llmcore::bindings::Text> {
  PYBIND11_TYPE_CASTER(llmcore::bindings::Text, const_name("str"));

  bool load(handle source, bool /*convert*/) {
    if (!source || !PyUnicode_Check(source.ptr())) return false;
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(source.ptr(), &size);
    if (text == nullptr) throw error_already_set();  // half of a surrogate pair: a UnicodeEncodeError that says where
    value.value.assign(text, static_cast<std::size_t>(size));
    return true;
  }
  static handle cast(const llmcore::bindings::Text& text, return_value_policy /*policy*/, handle /*parent*/) {
    return PyUnicode_DecodeUTF8(text.value.data(), static_cast<Py_ssize_t>(text.value.size()), nullptr);
  }
};

}  // namespace pybind11::detail
