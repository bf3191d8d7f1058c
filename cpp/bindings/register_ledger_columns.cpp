// Rows in a flat list, by their columns: what a database's driver binds best.
#include <string>
#include <string_view>
#include <vector>

#include "bindings.hpp"
#include "ledger_values.hpp"

namespace llmcore::bindings {
namespace {

/// The columns of rows in which anything stands, and the values of these alone. What is nothing in every row need not be
/// bound: SQLite's driver asks every None, and every bool, whether it can be adapted, which takes it longer than all the rest.
py::tuple filled_columns(const py::list& values, std::size_t width, bool flags_are_numbers) {
  const std::size_t size = values.size();
  if (width == 0 || size % width != 0) throw py::value_error("these are no rows of that width");
  PyObject* const* items = reinterpret_cast<PyListObject*>(values.ptr())->ob_item;
  std::vector<std::size_t> kept;
  for (std::size_t column = 0; column < width; ++column) {
    for (std::size_t i = column; i < size; i += width) {
      if (items[i] == Py_None) continue;
      kept.push_back(column);
      break;
    }
  }
  py::list filled(size / width * kept.size());
  const py::int_ no(0), yes(1);
  Py_ssize_t at = 0;
  for (std::size_t row = 0; row < size; row += width) {
    for (const std::size_t column : kept) {
      PyObject* value = items[row + column];
      if (flags_are_numbers && PyBool_Check(value) != 0) value = value == Py_True ? yes.ptr() : no.ptr();
      PyList_SET_ITEM(filled.ptr(), at++, new_reference(value));
    }
  }
  return py::make_tuple(py::tuple(py::cast(kept)), filled);
}

// --- arrays, as PostgreSQL writes them (https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO) -----------------------

void append_quoted(std::string& array, std::string_view text) {
  array += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') array += '\\';
    array += c;
  }
  array += '"';
}

void append_item(std::string& array, PyObject* value) {
  if (value == Py_None) {
    array += "NULL";
  } else if (PyUnicode_Check(value) != 0) {
    append_quoted(array, text_of(value));
  } else if (PyBool_Check(value) != 0) {
    array += value == Py_True ? 't' : 'f';
  } else if (PyBytes_Check(value) != 0) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    array += "\"\\\\x";
    for (const char c : std::string_view(PyBytes_AS_STRING(value), static_cast<std::size_t>(PyBytes_GET_SIZE(value)))) {
      array += kDigits[static_cast<unsigned char>(c) >> 4U];
      array += kDigits[static_cast<unsigned char>(c) & 0xFU];
    }
    array += '"';
  } else {  // numbers: as Python writes them, which reads back as the same
    array += text_of(py::str(value).ptr());
  }
}

/// The columns of rows, each as one array: what a server takes apart in a fraction of the time that single rows take.
py::tuple column_arrays(const py::list& values, std::size_t width) {
  const std::size_t size = values.size();
  if (width == 0 || size % width != 0) throw py::value_error("these are no rows of that width");
  py::tuple arrays(width);
  std::string array;
  for (std::size_t column = 0; column < width; ++column) {
    array = "{";
    for (std::size_t i = column; i < size; i += width) {
      if (array.size() > 1) array += ',';
      append_item(array, PyList_GET_ITEM(values.ptr(), static_cast<Py_ssize_t>(i)));
    }
    array += '}';
    arrays[column] = py::str(array);
  }
  return arrays;
}

}  // namespace

void register_ledger_columns(py::module_& m) {
  m.def("column_arrays", &column_arrays, py::arg("values"), py::arg("width"));
  m.def("filled_columns", &filled_columns, py::arg("values"), py::arg("width"), py::kw_only(),
        py::arg("flags_are_numbers"));
}

}  // namespace llmcore::bindings
