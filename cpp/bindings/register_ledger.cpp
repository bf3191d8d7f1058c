#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "bindings.hpp"
#include "fastcall.hpp"
#include "journal_reader.hpp"
#include "llmcore/ledger_batch.hpp"
#include "llmcore/ledger_sums.hpp"

namespace llmcore::bindings {
namespace {

// --- rows: flat lists of values, in the order of the ledger's columns (llmcore/ledger/rows.py) ---------------------------

constexpr std::size_t kCallColumns = 51;
constexpr std::size_t kAttemptColumns = 24;
constexpr std::size_t kPayloadColumns = 10;
constexpr std::size_t kShort = 64;  ///< bytes of a text that may be the row's before

PyObject* new_reference(PyObject* object) noexcept {
  Py_INCREF(object);
  return object;
}

/// Values of one table, row by row. What the row before had in a column is shared with it: most calls of a batch have one
/// tenant, one provider, one model.
template <std::size_t Columns>
class Rows {
 public:
  explicit Rows(std::size_t rows) { values_.reserve(rows * Columns); }
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;
  ~Rows() {
    for (PyObject* value : values_) Py_DECREF(value);
  }

  void none() { values_.push_back(new_reference(Py_None)); }
  void put(std::string_view text) {
    std::string_view& last = last_[column()];
    if (!last.empty() && text == last) {
      values_.push_back(new_reference(values_[values_.size() - Columns]));
      return;
    }
    last = text.size() <= kShort ? text : std::string_view{};
    push(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), nullptr));
  }
  void put(const std::optional<std::string_view>& text) {
    if (text) {
      put(*text);
    } else {
      last_[column()] = {};
      none();
    }
  }
  void put(const std::string& text) {  // of its own: nothing to compare with later
    last_[column()] = {};
    push(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), nullptr));
  }
  void put(std::int64_t number) { push(PyLong_FromLongLong(number)); }
  void put(const std::optional<std::int64_t>& number) { number ? put(*number) : none(); }
  void put(double number) { push(PyFloat_FromDouble(number)); }
  void put(bool flag) { values_.push_back(new_reference(flag ? Py_True : Py_False)); }
  void time(WallTime wall) {
    const std::array<char, 26> text = ledger_time(wall);
    push(PyUnicode_DecodeASCII(text.data(), text.size(), nullptr));
  }
  void milliseconds(Duration span) { put(static_cast<double>(span) / 1e6); }
  void object(const py::handle& object) { values_.push_back(new_reference(object.ptr())); }

  [[nodiscard]] py::list take() {
    py::list list(values_.size());
    for (std::size_t i = 0; i < values_.size(); ++i)
      PyList_SET_ITEM(list.ptr(), static_cast<Py_ssize_t>(i), values_[i]);
    values_.clear();
    return list;
  }

 private:
  [[nodiscard]] std::size_t column() const noexcept { return values_.size() % Columns; }
  void push(PyObject* value) {
    if (value == nullptr) throw py::error_already_set();
    values_.push_back(value);
  }
  std::vector<PyObject*> values_;
  std::array<std::string_view, Columns> last_{};
};

void put_call(Rows<kCallColumns>& rows, const LedgerEntry& call, const py::handle& spool) {
  rows.put(call.id);
  rows.put(call.tenant);
  rows.put(call.call_type);
  rows.put(call.status);
  rows.put(to_string(call.source));
  rows.put(call.provider);
  rows.put(call.model);
  rows.put(call.response_model);
  rows.put(call.usage.input_tokens());
  rows.put(call.usage.output_tokens());
  rows.put(call.usage.cached_tokens());
  rows.put(call.usage.reasoning);
  rows.put(call.usage.total_tokens());
  rows.put(call.cost);
  rows.put(call.reserved);
  rows.put(call.reported_cost);
  rows.put(call.saved);
  rows.put(call.price_source);
  rows.milliseconds(call.latency);
  rows.milliseconds(call.queued);
  call.first_token != 0 ? rows.milliseconds(call.first_token) : rows.none();
  rows.put(static_cast<std::int64_t>(call.attempts.size()));
  rows.put(call.finish_reason);
  // The provider's own code, else how it ended.
  rows.put(!call.error_code && call.outcome != Outcome::ok ? std::optional(to_string(call.outcome)) : call.error_code);
  rows.put(call.error_message);
  rows.put(call.fallback_used);
  rows.put(call.cache_hit);
  call.temperature ? rows.put(*call.temperature) : rows.none();
  rows.put(call.max_tokens);
  rows.put(call.image_count);
  rows.put(call.image_size);
  for (const auto& text : call.context) rows.put(text);
  rows.put(call.hand_number);
  if (call.tags.empty()) {
    rows.none();
  } else {
    rows.put(ledger_tags(call.tags));
  }
  rows.put(call.metadata);
  rows.object(spool);
  rows.time(call.created_at);
  call.started_at != 0 ? rows.time(call.started_at) : rows.none();
  call.completed_at != 0 ? rows.time(call.completed_at) : rows.none();
}

void put_attempts(Rows<kAttemptColumns>& rows, const LedgerEntry& call) {
  for (const LedgerAttempt& attempt : call.attempts) {
    rows.put(call.id);
    rows.put(attempt.number);
    rows.put(attempt.provider);
    rows.put(attempt.model);
    rows.put(to_string(attempt.outcome));
    for (const auto bucket : kUsageBuckets) rows.put(attempt.usage.*bucket);
    rows.put(attempt.usage.estimated);
    rows.put(attempt.cost);
    rows.milliseconds(attempt.latency);
    attempt.retry_after != 0 ? rows.milliseconds(attempt.retry_after) : rows.none();
    // The entry has the provider's id of its last request only.
    &attempt == &call.attempts.back() ? rows.put(call.request_id) : rows.none();
    rows.time(call.created_at);
    rows.time(attempt.started);
  }
}

void put_payload(Rows<kPayloadColumns>& rows, const LedgerEntry& call) {
  rows.put(call.id);
  rows.put(call.payload->policy);
  for (const auto& text : call.payload->texts) rows.put(text);
  rows.time(call.created_at);
}

py::tuple rows_of(const LedgerBatch& batch, const py::str& spool, std::size_t first, std::size_t last) {
  Rows<kCallColumns> begun(0), calls(last - first);
  Rows<kAttemptColumns> attempts(last - first);
  Rows<kPayloadColumns> payloads(last - first);
  LedgerEntry call;
  for (std::size_t i = first; i < last; ++i) {
    if (batch.read_call(i, call) == LedgerEntryKind::open) {
      put_call(begun, call, spool);
    } else {
      put_call(calls, call, py::none());
      put_attempts(attempts, call);
    }
    if (call.payload) put_payload(payloads, call);
  }
  return py::make_tuple(begun.take(), calls.take(), attempts.take(), payloads.take());
}

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

std::string_view text_of(PyObject* object) {
  if (object == Py_None) return {};
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(object, &size);
  if (text == nullptr) throw py::error_already_set();
  return {text, static_cast<std::size_t>(size)};
}

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

py::list notes_of(const LedgerBatch& batch) {
  py::list notes;
  LedgerEntry note;
  for (std::size_t i = 0; i < batch.notes(); ++i) {
    batch.read_note(i, note);
    const auto told = [&](ContextField field) { return note.context[field]; };
    notes.append(py::make_tuple(told(kTrackableType), told(kTrackableId), told(kUserId), note.call_type, note.id));
  }
  return notes;
}

struct Unreadable {
  std::uint64_t number;
  std::uint16_t kind;
  std::string bytes;
};

/// Reads on, without the interpreter; what is no entry as a driver writes it is handed back.
py::tuple fill(LedgerBatch& batch, JournalReader& reader, std::uint64_t after, std::size_t most,
               std::size_t most_bytes) {
  std::vector<Unreadable> unreadable;
  std::uint64_t through = after;
  {
    const py::gil_scoped_release others_run;
    reader.with([&](std::unique_ptr<io::JournalReader>& journal) {
      while (batch.size() + unreadable.size() < most && batch.bytes() < most_bytes) {
        if (journal->next() == io::JournalReader::Next::end) break;
        const JournalRecord& record = journal->record();
        if (record.seq <= through) continue;  // given again after an end
        through = record.seq;
        if (!batch.add(record.seq, record.kind, record.payload)) {
          unreadable.push_back({record.seq, record.kind, std::string(record.payload)});
        }
      }
    });
  }
  py::list found;
  for (const Unreadable& one : unreadable) found.append(py::make_tuple(one.number, one.kind, py::bytes(one.bytes)));
  return py::make_tuple(through, found);
}

// --- sums ----------------------------------------------------------------------------------------------------------------

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

void register_ledger(py::module_& m) {
  py::class_<LedgerBatch>(m, "LedgerBatch")
      .def(py::init<>())
      .def(
          "add",
          [](LedgerBatch& self, std::uint64_t number, std::uint16_t kind, const py::bytes& entry) {
            return self.add(number, kind, std::string_view(entry));
          },
          py::arg("number"), py::arg("kind"), py::arg("entry"))
      .def("fill", &fill, py::arg("reader"), py::arg("after"), py::arg("most"), py::arg("most_bytes"))
      .def("__len__", &LedgerBatch::size)
      .def_property_readonly("ends", &LedgerBatch::ends)
      .def("choose", &LedgerBatch::choose, py::arg("position"))
      .def_property_readonly("calls", &LedgerBatch::calls)
      .def_property_readonly("notes", &notes_of)
      .def(
          "rows", [](const LedgerBatch& self, const py::str& spool) { return rows_of(self, spool, 0, self.calls()); },
          py::arg("spool"))
      .def(
          "rows_of",
          [](const LedgerBatch& self, const py::str& spool, std::size_t call) {
            if (call >= self.calls()) throw py::index_error("there is no such call");
            return rows_of(self, spool, call, call + 1);
          },
          py::arg("spool"), py::arg("call"));

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
  m.def("column_arrays", &column_arrays, py::arg("values"), py::arg("width"));
  m.def("filled_columns", &filled_columns, py::arg("values"), py::arg("width"), py::kw_only(),
        py::arg("flags_are_numbers"));
  m.def(
      "ledger_time",
      [](WallTime wall) {
        const std::array<char, 26> text = ledger_time(wall);
        return py::str(text.data(), text.size());
      },
      py::arg("wall_ns"));
  m.def(
      "ledger_name",
      [](const std::optional<Text>& text, std::size_t most) { return text ? ledger_name(text->value, most) : ""; },
      py::arg("text"), py::arg("most") = LedgerSums::kName);
}

}  // namespace llmcore::bindings
