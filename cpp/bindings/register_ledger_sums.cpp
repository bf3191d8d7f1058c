#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "bindings.hpp"
#include "ledger_values.hpp"
#include "llmcore/ledger_sums.hpp"

namespace llmcore::bindings {
namespace {

/// Columns of a call that say what it adds to sums: READ of llmcore/ledger/rollups.py.
enum Read : std::size_t {
  kTenant,
  kCallType,
  kProvider,
  kModel,
  kStatus,
  kSource,
  kErrorCode,
  kUser,
  kCompany,
  kCreated,
  kAttempts,
  kInput,
  kOutput,
  kCached,
  kReasoning,
  kCost,
  kSaved,
  kQueued,
  kLatency,
};
constexpr std::size_t kRead = 19;

using Row = std::array<PyObject*, kRead>;  // borrowed

std::int64_t integer_of(PyObject* object) {
  const long long number = PyLong_AsLongLong(object);
  if (number == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
  return number;
}

Duration nanoseconds_of(PyObject* milliseconds) {
  if (milliseconds == Py_None) return 0;
  const double number = PyFloat_AsDouble(milliseconds);
  if (number == -1.0 && PyErr_Occurred() != nullptr) throw py::error_already_set();
  const double nanoseconds = std::nearbyint(number * 1e6);
  return nanoseconds > 0 ? nanoseconds < 9.2e18 ? static_cast<Duration>(nanoseconds) : kNever : 0;
}

LedgerCall call_of(const Row& row) {
  LedgerCall call;
  call.tenant = text_of(row[kTenant]);
  call.call_type = text_of(row[kCallType]);
  call.provider = text_of(row[kProvider]);
  call.model = text_of(row[kModel]);
  call.status = text_of(row[kStatus]);
  call.source = text_of(row[kSource]);
  call.error_code = text_of(row[kErrorCode]);
  if (row[kUser] != Py_None) call.user = text_of(row[kUser]);
  if (row[kCompany] != Py_None) call.company = text_of(row[kCompany]);
  call.created = text_of(row[kCreated]);
  if (call.created.size() != 26) throw py::value_error("a call's time is written as 2026-03-01 12:00:00.000000");
  call.attempts = integer_of(row[kAttempts]);
  call.input_tokens = integer_of(row[kInput]);
  call.output_tokens = integer_of(row[kOutput]);
  call.cached_tokens = integer_of(row[kCached]);
  call.reasoning_tokens = integer_of(row[kReasoning]);
  if (row[kCost] != Py_None) call.cost = integer_of(row[kCost]);
  call.saved = integer_of(row[kSaved]);
  call.queued = nanoseconds_of(row[kQueued]);
  if (call.source == "provider" && row[kLatency] != Py_None) call.latency = nanoseconds_of(row[kLatency]);
  return call;
}

/// The columns of a sequence, which must live as long as the row.
Row row_of(const py::object& sequence) {
  if (PySequence_Fast_GET_SIZE(sequence.ptr()) != kRead) {
    throw py::value_error("a call adds up from " + std::to_string(kRead) + " columns");
  }
  Row row;
  PyObject** items = PySequence_Fast_ITEMS(sequence.ptr());
  std::copy(items, items + kRead, row.begin());
  return row;
}

py::object sequence_of(const py::handle& sequence) {
  PyObject* made = PySequence_Fast(sequence.ptr(), "a row is a sequence");
  if (made == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(made);
}

py::tuple tuple_of(const LedgerSums::Key& key) {
  py::tuple tuple(key.size());
  for (std::size_t i = 0; i < key.size(); ++i) tuple[i] = py::str(key[i]);
  return tuple;
}

py::object bytes_of(const LatencySketch& sketch) {
  const std::string bytes = sketch.to_bytes();
  if (bytes.empty()) return py::none();
  return py::bytes(bytes);
}

py::list rows_of(const LedgerSums& sums, const std::vector<LedgerSums::Key>& also) {
  py::list rows;
  for (const auto& [key, one] : sums.rows(also)) {
    py::tuple row(key.size() + one.amounts.size() + 2);
    std::size_t at = 0;
    for (const std::string& part : key) row[at++] = py::str(part);
    for (const std::int64_t amount : one.amounts) row[at++] = py::int_(amount);
    row[at++] = py::int_(one.longest_queued);
    row[at] = bytes_of(one.latency);
    rows.append(std::move(row));
  }
  return rows;
}

/// Places of READ among the columns of a call's row.
constexpr std::array<std::size_t, kRead> kPlaces{1, 2, 5, 6, 3, 4, 23, 31, 35, 48, 21, 8, 9, 10, 11, 13, 16, 19, 18};

void count_rows(LedgerSums& sums, const py::list& values) {
  const std::size_t size = values.size();
  if (size % kCallColumns != 0) throw py::value_error("rows of calls have 51 columns");
  for (std::size_t start = 0; start < size; start += kCallColumns) {
    Row row;
    for (std::size_t i = 0; i < kRead; ++i) {
      row[i] = PyList_GET_ITEM(values.ptr(), static_cast<Py_ssize_t>(start + kPlaces[i]));
    }
    if (text_of(row[kStatus]) != "pending") sums.count(call_of(row));
  }
}

}  // namespace

void register_ledger_sums(py::module_& m) {
  py::class_<LedgerSums>(m, "LedgerSums")
      .def(py::init<>())
      .def(
          "count",
          [](LedgerSums& self, const py::handle& row) {
            const py::object sequence = sequence_of(row);
            self.count(call_of(row_of(sequence)));
          },
          py::arg("row"))
      .def("count_rows", &count_rows, py::arg("values"))
      .def("clear", &LedgerSums::clear)
      .def(
          "rows", [](const LedgerSums& self, const std::vector<LedgerSums::Key>& also) { return rows_of(self, also); },
          py::arg("also"))
      .def_static(
          "parts",
          [](const py::handle& row) {
            const py::object sequence = sequence_of(row);
            const LedgerCall call = call_of(row_of(sequence));
            py::list keys;
            for (const LedgerSums::Key& key : LedgerSums::keys_of(call)) keys.append(tuple_of(key));
            py::tuple amounts = py::cast(LedgerSums::amounts_of(call));
            return py::make_tuple(keys, amounts, call.latency);
          },
          py::arg("row"))
      .def_static(
          "day_of", [](const LedgerSums::Key& key) { return tuple_of(LedgerSums::day_of(key)); }, py::arg("hour"));
  m.def(
      "ledger_name",
      [](const std::optional<Text>& text, std::size_t most) { return text ? ledger_name(text->value, most) : ""; },
      py::arg("text"), py::arg("most") = LedgerSums::kName);
}

}  // namespace llmcore::bindings
