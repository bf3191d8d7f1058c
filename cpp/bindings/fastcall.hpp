// The hottest methods of a pybind11 class as method descriptors of the C API: about 10 ns a call where pybind11's dispatch takes 90.
//
//   def_fast(limiter, "try_acquire", "n=1, now=None",
//            [](Limiter& self, Or<1> n, At now) { check_count(n, "n"); return ...; });
//
// The text is the signature as Python shows it: it names the parameters, and stubtest compares it with the stub. The lambda's types say
// how each is converted and what stands for one that was left out, and what becomes of the result: fast_values.hpp lists them.
// C++ exceptions become what they become in any other method. The lambda must capture nothing: its type is where the method lives.
//
// What differs from pybind11's own methods: no overloads, and numbers are what the stub says, SupportsIndex, not everything with __int__.
// The GIL is kept: giving it up costs more than any of these operations takes.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "fast_values.hpp"

namespace llmcore::bindings {
namespace fast {

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
