// Messages of a chat as nearly all of them are, looked at in one go instead of in a loop of the interpreter's.
#include <string_view>

#include "bindings.hpp"
#include "llmcore/text_weight.hpp"

namespace llmcore::bindings {
namespace {

/// UTF-8 of a text; without data where it is no str, or holds half of a surrogate pair.
std::string_view utf8_of(PyObject* text) {
  if (text == nullptr || !PyUnicode_CheckExact(text)) return {};
  Py_ssize_t size = 0;
  const char* utf8 = PyUnicode_AsUTF8AndSize(text, &size);
  if (utf8 == nullptr) {
    PyErr_Clear();
    return {};
  }
  return {utf8, static_cast<std::size_t>(size)};
}

/// Hands the content of each message to `look`; false at the first that is anything but a role and a content, both text.
template <class Look>
bool all_plain(PyObject* messages, Look look) {
  static PyObject* const role = PyUnicode_InternFromString("role");
  static PyObject* const content = PyUnicode_InternFromString("content");
  if (!PyList_CheckExact(messages) || PyList_GET_SIZE(messages) == 0) return false;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(messages); ++i) {
    PyObject* message = PyList_GET_ITEM(messages, i);
    if (!PyDict_CheckExact(message) || PyDict_GET_SIZE(message) != 2) return false;
    if (utf8_of(PyDict_GetItemWithError(message, role)).data() == nullptr) return false;
    const std::string_view text = utf8_of(PyDict_GetItemWithError(message, content));
    if (text.data() == nullptr) return false;
    look(text);
  }
  return true;
}

PyObject* are_plain(PyObject* /*module*/, PyObject* messages) {
  const bool plain = all_plain(messages, [](std::string_view) {});
  return PyErr_Occurred() != nullptr ? nullptr : PyBool_FromLong(plain ? 1 : 0);
}

PyObject* plain_weight(PyObject* /*module*/, PyObject* messages) {
  std::int64_t weight = 0;
  const bool plain = all_plain(messages, [&](std::string_view text) { weight += text_weight(text); });
  return PyErr_Occurred() != nullptr ? nullptr : PyLong_FromLongLong(plain ? weight : -1);
}

// Of the C API, like the methods of fastcall.hpp, for the same reason.
PyMethodDef functions[] = {
    {"are_plain", &are_plain, METH_O, "are_plain(messages, /)\n--\n\n"},
    {"plain_weight", &plain_weight, METH_O, "plain_weight(messages, /)\n--\n\n"},
};

}  // namespace

void register_messages(py::module_& m) {
  const py::object name = m.attr("__name__");
  for (PyMethodDef& function : functions) {
    m.attr(function.ml_name) = py::reinterpret_steal<py::object>(PyCFunction_NewEx(&function, m.ptr(), name.ptr()));
  }
}

}  // namespace llmcore::bindings
