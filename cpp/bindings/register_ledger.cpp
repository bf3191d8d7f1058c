#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "bindings.hpp"
#include "journal_reader.hpp"
#include "ledger_values.hpp"
#include "llmcore/ledger_batch.hpp"

namespace llmcore::bindings {
namespace {

// --- rows: flat lists of values, in the order of the ledger's columns (llmcore/ledger/rows.py) ---------------------------

constexpr std::size_t kAttemptColumns = 25;
constexpr std::size_t kPayloadColumns = 10;
constexpr std::size_t kShort = 64;  ///< bytes of a text that may be the row's before

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
    for (std::size_t i = 0; i + 1 < kUsageBuckets.size(); ++i) rows.put(attempt.usage.*kUsageBuckets[i]);
    rows.put(attempt.usage.estimated);
    rows.put(attempt.cost);
    rows.milliseconds(attempt.latency);
    attempt.retry_after != 0 ? rows.milliseconds(attempt.retry_after) : rows.none();
    // The entry has the provider's id of its last request only.
    &attempt == &call.attempts.back() ? rows.put(call.request_id) : rows.none();
    rows.time(call.created_at);
    rows.time(attempt.started);
    rows.put(attempt.usage.web_searches);  // came later, so its column stands last
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

  m.def(
      "ledger_time",
      [](WallTime wall) {
        const std::array<char, 26> text = ledger_time(wall);
        return py::str(text.data(), text.size());
      },
      py::arg("wall_ns"));
}

}  // namespace llmcore::bindings
