// What the ledger's rows, columns and sums have in common.
#pragma once

#include <string_view>

#include "bindings.hpp"

namespace llmcore::bindings {

/// Columns of a row of llm_calls (llmcore/ledger/rows.py).
inline constexpr std::size_t kCallColumns = 51;

[[nodiscard]] inline PyObject* new_reference(PyObject* object) noexcept {
  Py_INCREF(object);
  return object;
}

/// The UTF-8 of a str, valid as long as that; None is empty.
[[nodiscard]] inline std::string_view text_of(PyObject* object) {
  if (object == Py_None) return {};
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(object, &size);
  if (text == nullptr) throw py::error_already_set();
  return {text, static_cast<std::size_t>(size)};
}

}  // namespace llmcore::bindings
