// Enum members by value, without a call into Python's enum machinery for each conversion: an attribute of an action is read on every call.
#pragma once

#include <array>
#include <cstddef>

#include "bindings.hpp"

namespace llmcore::bindings {

/// The member of the Python enum of E (its values are 0 .. Count - 1), looked up once per process.
template <class E, std::size_t Count>
py::object member_of(E value) {
  using Members = std::array<py::object, Count>;
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<Members> members;
  const Members& all = members
                           .call_once_and_store_result([] {
                             Members found;
                             for (std::size_t i = 0; i < Count; ++i) found[i] = py::cast(static_cast<E>(i));
                             return found;
                           })
                           .get_stored();
  return all[static_cast<std::size_t>(value)];
}

}  // namespace llmcore::bindings
