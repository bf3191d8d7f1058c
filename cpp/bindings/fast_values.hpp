// How one argument of a fast method becomes a C++ value, and its result a Python object. The type of the lambda's parameter says it:
//
//   std::int64_t, std::uint64_t       what has __index__ and fits; a float, a str or a number out of range is a TypeError
//   Or<5>                             the same (std::int64_t), and 5 where it is left out
//   bool                              True or False;  OrFalse, and false where it is left out
//   std::optional<any of these>       the same or None, and nothing where it is left out
//   Nullable<any of these>            the same or None, and never left out
//   E of native_enum E                a member of that enum (after fast_enum)
//   const T&, T&                      an instance of a bound class (after fast_class)
//   std::shared_ptr<T>                the same where that is its holder; None is empty
//   std::string_view                  a str (UTF-8, valid for the call)
//   PyBytes, std::optional<PyBytes>   exact or subclass of bytes, borrowed
//   py::handle                        anything, borrowed
//
// and the result: void, bool, integers, std::optional of them, py::object, and PyObject* (a new reference; nullptr: an error is set).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "bindings.hpp"

namespace llmcore::bindings {

/// An integer, and Value where the caller leaves it out.
template <std::int64_t Value>
struct Or {
  std::int64_t value = Value;
  operator std::int64_t() const noexcept { return value; }
};

/// A bool, and false where the caller leaves it out.
struct OrFalse {
  bool value = false;
  operator bool() const noexcept { return value; }
};

/// A value or None, and never left out.
template <class T>
struct Nullable {
  std::optional<T> value;
};

/// Borrowed bytes.
struct PyBytes {
  PyObject* object = nullptr;
  [[nodiscard]] py::bytes get() const { return py::reinterpret_borrow<py::bytes>(object); }
  [[nodiscard]] const char* data() const noexcept { return PyBytes_AS_STRING(object); }
  [[nodiscard]] std::size_t size() const noexcept { return static_cast<std::size_t>(PyBytes_GET_SIZE(object)); }
};

namespace fast {

/// Which argument of which method: for sentences about what is wrong with it.
struct Place {
  const char* method;
  const char* parameter;
};

[[gnu::cold]] inline bool refuse(const Place& place, const char* wanted, PyObject* given) {
  PyErr_Format(PyExc_TypeError, "%s(): %s must be %s, not %.100s", place.method, place.parameter, wanted,
               Py_TYPE(given)->tp_name);
  return false;
}

[[gnu::cold]] inline bool out_of_range(const Place& place) {
  PyErr_Format(PyExc_TypeError, "%s(): %s does not fit in 64 bits", place.method, place.parameter);
  return false;
}

// --- instances of bound classes ------------------------------------------------------------------------------------------

/// The Python class of T, once fast_class() has been told. Written while the module is imported, read-only after.
template <class T>
inline PyTypeObject* type_of = nullptr;

/// Where pybind11 keeps a T and its holder, inside an instance that is known to be one; without a value if its __init__ never ran.
template <class T>
py::detail::value_and_holder place_of(PyObject* object) {
  auto* instance = reinterpret_cast<py::detail::instance*>(object);
  if (instance->simple_layout) return {instance, nullptr, 0, 0};
  return instance->get_value_and_holder(py::detail::get_type_info(typeid(T)));  // of several bound classes at once
}

template <class T>
bool find_instance(PyObject* object, const Place& place, py::detail::value_and_holder& found) {
  PyTypeObject* type = type_of<T>;
  if (Py_TYPE(object) != type && PyType_IsSubtype(Py_TYPE(object), type) == 0) {
    return refuse(place, type->tp_name, object);
  }
  found = place_of<T>(object);
  if (found.holder_constructed()) return true;
  PyErr_Format(PyExc_TypeError, "%s(): %.100s.__init__() must be called first", place.method, Py_TYPE(object)->tp_name);
  return false;
}

// --- one argument --------------------------------------------------------------------------------------------------------

/// Converts one argument. `Stored` holds it during the call, load() fills it or sets an error, get() hands it to the lambda.
template <class T>
struct From;

template <>
struct From<std::int64_t> {
  using Stored = std::int64_t;
  static constexpr bool kRequired = true;
  static bool load(PyObject* object, const Place& place, Stored& into) {
    if (PyLong_CheckExact(object)) {
      int overflow = 0;
      into = PyLong_AsLongLongAndOverflow(object, &overflow);
      return overflow == 0 || out_of_range(place);
    }
    if (PyIndex_Check(object) == 0) return refuse(place, "an integer", object);
    const auto number = py::reinterpret_steal<py::object>(PyNumber_Index(object));
    if (!number) return false;
    int overflow = 0;
    into = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
    return overflow == 0 || out_of_range(place);
  }
  static std::int64_t get(Stored stored) noexcept { return stored; }
};

template <>
struct From<std::uint64_t> {
  using Stored = std::uint64_t;
  static constexpr bool kRequired = true;
  static bool load(PyObject* object, const Place& place, Stored& into) {
    if (PyIndex_Check(object) == 0) return refuse(place, "an integer", object);
    const auto number = py::reinterpret_steal<py::object>(PyNumber_Index(object));
    if (!number) return false;
    into = PyLong_AsUnsignedLongLong(number.ptr());
    if (into != std::numeric_limits<std::uint64_t>::max() || PyErr_Occurred() == nullptr) return true;
    PyErr_Clear();  // OverflowError: less than nothing, or too much
    PyErr_Format(PyExc_TypeError, "%s(): %s must be between 0 and 2**64 - 1", place.method, place.parameter);
    return false;
  }
  static std::uint64_t get(Stored stored) noexcept { return stored; }
};

template <std::int64_t Value>
struct From<Or<Value>> {
  using Stored = Or<Value>;
  static constexpr bool kRequired = false;
  static bool load(PyObject* object, const Place& place, Stored& into) {
    return From<std::int64_t>::load(object, place, into.value);
  }
  static Stored get(Stored stored) noexcept { return stored; }
};

template <>
struct From<bool> {
  using Stored = bool;
  static constexpr bool kRequired = true;
  static bool load(PyObject* object, const Place& place, Stored& into) {
    if (PyBool_Check(object) == 0) return refuse(place, "a bool", object);
    into = object == Py_True;
    return true;
  }
  static bool get(Stored stored) noexcept { return stored; }
};

template <>
struct From<OrFalse> {
  using Stored = OrFalse;
  static constexpr bool kRequired = false;
  static bool load(PyObject* object, const Place& place, Stored& into) {
    return From<bool>::load(object, place, into.value);
  }
  static Stored get(Stored stored) noexcept { return stored; }
};

template <class T>
struct From<std::optional<T>> {
  using Stored = std::optional<typename From<T>::Stored>;
  static constexpr bool kRequired = false;
  static bool load(PyObject* object, const Place& place, Stored& into) {
    if (object == Py_None) return true;
    return From<T>::load(object, place, into.emplace());
  }
  static std::optional<T> get(const Stored& stored) noexcept { return stored; }
};

template <class T>
struct From<Nullable<T>> {
  using Stored = std::optional<typename From<T>::Stored>;
  static constexpr bool kRequired = true;
  static bool load(PyObject* object, const Place& place, Stored& into) {
    return From<std::optional<T>>::load(object, place, into);
  }
  static Nullable<T> get(const Stored& stored) noexcept { return {stored}; }
};

template <>
struct From<std::string_view> {
  using Stored = std::string_view;
  static constexpr bool kRequired = true;
  static bool load(PyObject* object, const Place& place, Stored& into) {
    if (PyUnicode_Check(object) == 0) return refuse(place, "a str", object);
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(object, &size);
    if (text == nullptr) return false;  // half of a surrogate pair: a UnicodeEncodeError that says where
    into = {text, static_cast<std::size_t>(size)};
    return true;
  }
  static std::string_view get(Stored stored) noexcept { return stored; }
};

template <>
struct From<PyBytes> {
  using Stored = PyBytes;
  static constexpr bool kRequired = true;
  static bool load(PyObject* object, const Place& place, Stored& into) {
    if (PyBytes_Check(object) == 0) return refuse(place, "bytes", object);
    into.object = object;
    return true;
  }
  static PyBytes get(Stored stored) noexcept { return stored; }
};

template <>
struct From<py::handle> {
  using Stored = PyObject*;
  static constexpr bool kRequired = true;
  static bool load(PyObject* object, const Place& /*place*/, Stored& into) {
    into = object;
    return true;
  }
  static py::handle get(Stored stored) noexcept { return stored; }
};

template <class T>
struct From<T&> {
  using Bound = std::remove_const_t<T>;
  using Stored = Bound*;
  static constexpr bool kRequired = true;
  static bool load(PyObject* object, const Place& place, Stored& into) {
    py::detail::value_and_holder found;
    if (!find_instance<Bound>(object, place, found)) return false;
    into = found.template value_ptr<Bound>();
    return true;
  }
  static T& get(Stored stored) noexcept { return *stored; }
};

template <class T>
struct From<std::shared_ptr<T>> {
  using Bound = std::remove_const_t<T>;
  using Stored = std::shared_ptr<Bound>;
  static constexpr bool kRequired = true;
  static bool load(PyObject* object, const Place& place, Stored& into) {
    if (object == Py_None) return true;
    py::detail::value_and_holder found;
    if (!find_instance<Bound>(object, place, found)) return false;
    into = found.template holder<std::shared_ptr<Bound>>();
    return true;
  }
  static std::shared_ptr<T> get(Stored& stored) noexcept { return std::move(stored); }
};

template <class T>
struct From<const std::shared_ptr<T>&> {
  using Stored = std::shared_ptr<T>;
  static constexpr bool kRequired = true;
  static bool load(PyObject* object, const Place& place, Stored& into) {
    return From<std::shared_ptr<T>>::load(object, place, into);
  }
  static const std::shared_ptr<T>& get(const Stored& stored) noexcept { return stored; }
};

template <class E>
  requires std::is_enum_v<E>
struct From<E> {
  using Stored = E;
  static constexpr bool kRequired = true;
  static bool load(PyObject* object, const Place& place, Stored& into) {
    if (Py_TYPE(object) != type_of<E>) return refuse(place, type_of<E>->tp_name, object);
    into = static_cast<E>(PyLong_AsLongLong(object));  // an IntEnum's members are the only instances there can be
    return true;
  }
  static E get(Stored stored) noexcept { return stored; }
};

// --- the result ----------------------------------------------------------------------------------------------------------

inline PyObject* result(PyObject* object) noexcept { return object; }
inline PyObject* result(bool value) noexcept { return PyBool_FromLong(value ? 1 : 0); }
inline PyObject* result(std::int64_t value) noexcept { return PyLong_FromLongLong(value); }
inline PyObject* result(std::uint64_t value) noexcept { return PyLong_FromUnsignedLongLong(value); }
inline PyObject* result(std::uint32_t value) noexcept { return PyLong_FromUnsignedLong(value); }
inline PyObject* result(const std::string& value) noexcept {
  return PyUnicode_DecodeUTF8(value.data(), static_cast<Py_ssize_t>(value.size()), nullptr);
}
inline PyObject* result(py::object value) noexcept { return value.release().ptr(); }
template <class T>
PyObject* result(const std::optional<T>& value) noexcept {
  if (!value) Py_RETURN_NONE;
  return result(*value);
}

}  // namespace fast
}  // namespace llmcore::bindings
