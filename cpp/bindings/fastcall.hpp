// The hottest methods of a pybind11 class as method descriptors of the C API: about 10 ns a call where pybind11's dispatch takes 90.
//
//   def_fast(limiter, "try_acquire", "n=1, now=None",
//            [](Limiter& self, Or<1> n, At now) { check_count(n, "n"); return ...; });
//
// The text is the signature as Python shows it: it names the parameters, and stubtest compares it with the stub. The lambda's types say
// how each is converted and what stands for one that was left out:
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
// C++ exceptions become what they become in any other method. The lambda must capture nothing: its type is where the method lives.
//
// What differs from pybind11's own methods: no overloads, and numbers are what the stub says, SupportsIndex, not everything with __int__.
// The GIL is kept: giving it up costs more than any of these operations takes.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
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

// --- a method ------------------------------------------------------------------------------------------------------------

[[gnu::cold]] inline bool too_many(const char* method, std::size_t most, Py_ssize_t given) {
  PyErr_Format(PyExc_TypeError, "%s() takes at most %zu arguments (%zd given)", method, most, given);
  return false;
}

/// Puts what was passed by name where it belongs; false with an error set when that cannot be.
inline bool place_by_name(const char* method, const char* const* names, std::size_t count, PyObject* const* values,
                          PyObject* keywords, PyObject** arguments) {
  const Py_ssize_t many = PyTuple_GET_SIZE(keywords);
  for (Py_ssize_t k = 0; k < many; ++k) {
    PyObject* keyword = PyTuple_GET_ITEM(keywords, k);
    std::size_t i = 0;
    while (i < count && PyUnicode_CompareWithASCIIString(keyword, names[i]) != 0) ++i;
    if (i == count) {
      PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", method, keyword);
      return false;
    }
    if (arguments[i] != nullptr) {
      PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", method, keyword);
      return false;
    }
    arguments[i] = values[k];
  }
  return true;
}

template <class Function, class Result, class Self, class... Arguments>
struct Method {
  static constexpr std::size_t kCount = sizeof...(Arguments);

  // A method definition has to live as long as the class. Written once, while the module is imported.
  static inline std::string name;
  static inline std::string doc;
  static inline std::array<std::string, kCount> parameters;
  static inline std::array<const char*, kCount + 1> names{};
  static inline PyMethodDef definition{};

  static PyObject* call(PyObject* self, PyObject* const* given, Py_ssize_t positional, PyObject* keywords) noexcept {
    // One more than needed: an array of no elements there cannot be.
    std::array<PyObject*, kCount + 1> arguments{};
    if (static_cast<std::size_t>(positional) > kCount) {
      too_many(definition.ml_name, kCount, positional);
      return nullptr;
    }
    for (Py_ssize_t i = 0; i < positional; ++i) arguments[static_cast<std::size_t>(i)] = given[i];
    if (keywords != nullptr &&
        !place_by_name(definition.ml_name, names.data(), kCount, given + positional, keywords, arguments.data())) {
      return nullptr;
    }
    return convert(self, arguments, std::index_sequence_for<Arguments...>{});
  }

  template <std::size_t I, class Argument>
  static bool load(PyObject* object, typename From<Argument>::Stored& into) {
    if (object != nullptr) return From<Argument>::load(object, Place{definition.ml_name, names[I]}, into);
    if constexpr (From<Argument>::kRequired) {
      PyErr_Format(PyExc_TypeError, "%s() missing required argument '%s'", definition.ml_name, names[I]);
      return false;
    } else {
      return true;
    }
  }

  template <std::size_t... I>
  static PyObject* convert(PyObject* self, const std::array<PyObject*, kCount + 1>& arguments,
                           std::index_sequence<I...> /*indices*/) noexcept {
    try {
      typename From<Self>::Stored object{};
      std::tuple<typename From<Arguments>::Stored...> stored{};
      if (!From<Self>::load(self, Place{definition.ml_name, "self"}, object)) return nullptr;
      if (!(load<I, Arguments>(arguments[I], std::get<I>(stored)) && ...)) return nullptr;
      if constexpr (std::is_void_v<Result>) {
        Function{}(From<Self>::get(object), From<Arguments>::get(std::get<I>(stored))...);
        Py_RETURN_NONE;
      } else {
        return result(Function{}(From<Self>::get(object), From<Arguments>::get(std::get<I>(stored))...));
      }
    } catch (...) {
      translate();
      return nullptr;
    }
  }

  static void define(PyTypeObject* type, const char* method, std::string_view signature, const char* about) {
    name = method;
    doc = name + "($self" + (signature.empty() ? "" : ", ") + std::string(signature) + ")\n--\n\n" + about;
    std::size_t count = 0;
    while (!signature.empty()) {
      const std::string_view one = signature.substr(0, signature.find(", "));
      signature.remove_prefix(std::min(signature.size(), one.size() + 2));
      if (count == kCount)
        throw std::logic_error(name + "(): the signature names more parameters than the function has");
      parameters[count] = one.substr(0, one.find('='));
      names[count] = parameters[count].c_str();
      ++count;
    }
    if (count != kCount) throw std::logic_error(name + "(): the function has more parameters than the signature names");
    definition = PyMethodDef{name.c_str(), reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&call)),
                             METH_FASTCALL | METH_KEYWORDS, doc.c_str()};
    const auto descriptor = py::reinterpret_steal<py::object>(PyDescr_NewMethod(type, &definition));
    if (!descriptor || PyObject_SetAttrString(reinterpret_cast<PyObject*>(type), method, descriptor.ptr()) != 0) {
      throw py::error_already_set();
    }
  }

  [[gnu::cold]] static void translate() noexcept {
    try {
      throw;
    } catch (py::error_already_set& error) {
      error.restore();
    } catch (...) {
      py::detail::try_translate_exceptions();
    }
  }
};

template <class Function, class Signature>
struct Deduce;
template <class Function, class Result, class Self, class... Arguments>
struct Deduce<Function, Result (Function::*)(Self, Arguments...) const> {
  using type = Method<Function, Result, Self, Arguments...>;
};

}  // namespace fast

/// Lets instances of a bound class be `self` and arguments of fast methods. The class must have no bound base class.
template <class T, class... Options>
void fast_class(const py::class_<T, Options...>& bound) {
  fast::type_of<T> = reinterpret_cast<PyTypeObject*>(bound.ptr());
}

/// Lets members of a native enum be arguments of fast methods. After finalize().
template <class E>
void fast_enum(const py::module_& m, const char* name) {
  fast::type_of<E> = reinterpret_cast<PyTypeObject*>(m.attr(name).ptr());
}

namespace fast {

template <auto Member>
struct Field;
template <class T, class Value, Value T::* Member>
struct Field<Member> {
  using Owner = T;
  static inline std::string name;
  static inline PyGetSetDef definition{};

  static PyObject* get(PyObject* self, void* /*closure*/) noexcept {
    typename From<const T&>::Stored object = nullptr;
    if (!From<const T&>::load(self, Place{definition.name, "self"}, object)) return nullptr;
    return result(object->*Member);
  }
};

}  // namespace fast

/// Adds a read-only attribute: an integer, a bool, a str or an optional of them, copied out when it is read.
template <auto Member, class T, class... Options>
void def_fast_field(py::class_<T, Options...>& bound, const char* name) {
  using Field = fast::Field<Member>;
  static_assert(std::is_same_v<T, typename Field::Owner>, "a field of that class");
  fast_class(bound);
  Field::name = name;
  Field::definition = PyGetSetDef{Field::name.c_str(), &Field::get, nullptr, nullptr, nullptr};
  const auto descriptor = py::reinterpret_steal<py::object>(PyDescr_NewGetSet(fast::type_of<T>, &Field::definition));
  if (!descriptor) throw py::error_already_set();
  bound.attr(name) = descriptor;
}

/// A new Python object that owns `value`: what py::cast() makes, at less than half of the cost. pybind11 keeps a table of the objects it
/// made, to find them again by the address of what they hold; nobody asks for these by address, so they are not in it. T is bound
/// without a holder of its own and has been told to fast_class().
template <class T>
PyObject* wrap(T&& value) {
  using Bound = std::remove_reference_t<T>;
  static_assert(std::is_rvalue_reference_v<T&&>, "moved from");
  auto owned = std::make_unique<Bound>(std::move(value));
  PyObject* object = py::detail::make_new_instance(fast::type_of<Bound>);
  py::detail::value_and_holder place = fast::place_of<Bound>(object);
  place.template value_ptr<Bound>() = owned.get();
  new (&place.template holder<std::unique_ptr<Bound>>()) std::unique_ptr<Bound>(std::move(owned));
  place.set_holder_constructed();
  return object;
}

/// Adds a fast method: see the top of this file. `about` is its docstring.
template <class T, class... Options, class Function>
void def_fast(py::class_<T, Options...>& bound, const char* name, std::string_view signature, Function /*function*/,
              const char* about = "") {
  static_assert(std::is_empty_v<Function>, "a fast method captures nothing");
  fast_class(bound);
  fast::Deduce<Function, decltype(&Function::operator())>::type::define(fast::type_of<T>, name, signature, about);
}

}  // namespace llmcore::bindings
