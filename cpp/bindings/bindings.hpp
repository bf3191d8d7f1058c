// What every binding file includes first: pybind11 in one fixed order, and the registrars.
//
// The rules of this folder: convert, lock, call, unlock, convert. No Python callable is ever stored, nothing waits in C++, and no Python
// code runs while a lock is held. One register_*.cpp per header of the library.
#pragma once

#include <pybind11/native_enum.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

namespace llmcore::bindings {

namespace py = pybind11;

void register_types(py::module_& m);
void register_money(py::module_& m);
void register_backoff(py::module_& m);
void register_rate_limiter(py::module_& m);
void register_request_queue(py::module_& m);
void register_response_cache(py::module_& m);
void register_error_recovery(py::module_& m);
void register_budget(py::module_& m);
void register_token_tracker(py::module_& m);
void register_offline(py::module_& m);
void register_engine(py::module_& m);
void register_replay(py::module_& m);
void register_io(py::module_& m);
void register_journal(py::module_& m);
void register_ledger(py::module_& m);
void register_ledger_columns(py::module_& m);
void register_ledger_sums(py::module_& m);
void register_messages(py::module_& m);

}  // namespace llmcore::bindings
