#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "arguments.hpp"
#include "bindings.hpp"
#include "fastcall.hpp"
#include "journal_reader.hpp"

namespace llmcore::bindings {
namespace {

using Code = io::JournalError::Code;

/// The Python class JournalError. Written while the module is imported, read-only after.
PyObject* journal_error_type = nullptr;

const char* name_of(Code code) noexcept {
  switch (code) {
    case Code::none: return "none";
    case Code::system: return "system";
    case Code::full: return "full";
    case Code::failed: return "failed";
    case Code::too_long: return "too_long";
    case Code::locked: return "locked";
    case Code::closed: return "closed";
    case Code::forked: return "forked";
    case Code::newer_version: return "newer_version";
    case Code::invalid: return "invalid";
  }
  return "";
}

const char* name_of(JournalProblem::What what) noexcept {
  using What = JournalProblem::What;
  switch (what) {
    case What::header_copy: return "header_copy";
    case What::header: return "header";
    case What::newer_version: return "newer_version";
    case What::foreign_segment: return "foreign_segment";
    case What::record: return "record";
    case What::payload: return "payload";
    case What::record_too_long: return "record_too_long";
    case What::missing_records: return "missing_records";
    case What::missing_segments: return "missing_segments";
    case What::unreadable_file: return "unreadable_file";
  }
  return "";
}

/// What a journal says went wrong, as an exception: a ValueError for a configuration without sense, else a JournalError.
[[noreturn]] [[gnu::cold]] void raise(const io::JournalError& error) {
  if (error.code == Code::invalid) throw py::value_error(error.what);
  const py::handle type = journal_error_type;
  // With an errno, OSError wants the parts; the message tells the rest of the story.
  py::object exception = error.file ? type(error.file.code, error.message(), error.file.path) : type(error.message());
  exception.attr("code") = name_of(error.code);
  PyErr_SetObject(type.ptr(), exception.ptr());
  throw py::error_already_set();
}

void check(const io::JournalError& error) {
  if (error) raise(error);
}

/// A str or os.PathLike of one.
std::string path_of(const py::object& path) {
  PyObject* bytes = nullptr;
  if (PyUnicode_FSConverter(path.ptr(), &bytes) == 0) throw py::error_already_set();
  return py::reinterpret_steal<py::bytes>(bytes);
}

io::Ack ack_of(const std::string& name) {
  if (name == "memory") return io::Ack::memory;
  if (name == "os") return io::Ack::os;
  if (name == "disk") return io::Ack::disk;
  throw py::value_error("ack must be 'memory', 'os' or 'disk', not '" + name + "'");
}

io::OnFull on_full_of(const std::string& name) {
  if (name == "fail") return io::OnFull::fail;
  if (name == "drop") return io::OnFull::drop;
  throw py::value_error("on_full must be 'fail' or 'drop', not '" + name + "'");
}

std::uint32_t record_bytes_of(std::int64_t bytes) {
  check_count(bytes, "max_record_bytes");
  // A payload's length has 32 bits.
  return static_cast<std::uint32_t>(std::min<std::int64_t>(bytes, std::numeric_limits<std::uint32_t>::max()));
}

struct Writer {
  std::unique_ptr<io::JournalWriter> journal;
  bool waits;  // append() waits for the disk: others may run
};

py::dict as_dict(const io::JournalStats& stats) {
  py::dict d;
  d["appended"] = stats.appended;
  d["appended_bytes"] = stats.appended_bytes;
  d["dropped"] = stats.dropped;
  d["refused"] = stats.refused;
  d["last_seq"] = stats.last_seq;
  d["written_seq"] = stats.written_seq;
  d["durable_seq"] = stats.durable_seq;
  d["buffered_bytes"] = stats.buffered_bytes;
  d["writes"] = stats.writes;
  d["syncs"] = stats.syncs;
  d["segments"] = stats.segments;
  d["bytes"] = stats.bytes;
  d["segments_dropped"] = stats.segments_dropped;
  d["records_dropped"] = stats.records_dropped;
  d["torn_bytes"] = stats.torn_bytes;
  d["failures"] = stats.failures;
  d["failed"] = stats.failed;
  return d;
}

/// Calls a method of the journal that may wait for the disk.
template <class Method>
auto let_others_run(Writer& self, Method method) {
  const py::gil_scoped_release others_run;
  return (self.journal.get()->*method)();
}

void register_writer(py::module_& m) {
  py::class_<Writer> writer(m, "JournalWriter");
  writer
      .def(py::init([](const py::object& directory, const Text& ack, const Text& on_full, std::int64_t segment_bytes,
                       std::int64_t total_bytes, std::int64_t max_record_bytes, std::int64_t window_bytes) {
             check_count(segment_bytes, "segment_bytes");
             check_count(total_bytes, "total_bytes");
             check_count(window_bytes, "window_bytes");
             io::JournalConfig config;
             config.directory = path_of(directory);
             config.ack = ack_of(ack.value);
             config.on_full = on_full_of(on_full.value);
             config.segment_bytes = static_cast<std::uint64_t>(segment_bytes);
             config.total_bytes = static_cast<std::uint64_t>(total_bytes);
             config.max_record_bytes = record_bytes_of(max_record_bytes);
             config.window_bytes = static_cast<std::size_t>(window_bytes);
             const bool waits = config.ack == io::Ack::disk;
             auto opened = [&] {
               const py::gil_scoped_release others_run;
               return io::JournalWriter::open(std::move(config));
             }();
             if (!opened) raise(opened.error());
             return std::make_unique<Writer>(Writer{std::move(*opened), waits});
           }),
           py::arg("directory"), py::kw_only(), py::arg("ack") = Text{"os"}, py::arg("on_full") = Text{"fail"},
           py::arg("segment_bytes") = 16 * 1024 * 1024, py::arg("total_bytes") = 0,
           py::arg("max_record_bytes") = kMaxRecordBytes, py::arg("window_bytes") = 256 * 1024)
      .def("flush", [](Writer& self) { check(let_others_run(self, &io::JournalWriter::flush)); })
      .def("sync", [](Writer& self) { check(let_others_run(self, &io::JournalWriter::sync)); })
      .def("recover", [](Writer& self) { check(let_others_run(self, &io::JournalWriter::recover)); })
      .def("close", [](Writer& self) { check(let_others_run(self, &io::JournalWriter::close)); })
      .def(
          "release",
          [](Writer& self, std::uint64_t before_seq) {
            auto released = [&] {
              const py::gil_scoped_release others_run;
              return self.journal->release(before_seq);
            }();
            if (!released) raise(released.error());
            return *released;
          },
          py::arg("before_seq"))
      .def("stats", [](Writer& self) { return as_dict(self.journal->stats()); })
      .def("__enter__", [](py::object self) { return self; })
      .def("__exit__", [](Writer& self, const py::args&) { check(let_others_run(self, &io::JournalWriter::close)); });

  def_fast(writer, "append", "kind, payload", [](Writer& self, std::int64_t kind, PyBytes payload) {
    if (kind < 0 || kind > std::numeric_limits<std::uint16_t>::max()) {
      throw py::value_error("kind must be between 0 and 65535, not " + std::to_string(kind));
    }
    const std::string_view bytes(payload.data(), payload.size());
    const auto append = [&] { return self.journal->append(static_cast<std::uint16_t>(kind), bytes); };
    const auto seq = self.waits ? [&] {
      const py::gil_scoped_release others_run;
      return append();
    }()
                                : append();
    if (!seq) raise(seq.error());
    return *seq;
  });
}

void register_reader(py::module_& m) {
  py::class_<JournalProblem>(m, "JournalProblem")
      .def_property_readonly("what", [](const JournalProblem& p) { return name_of(p.what); })
      .def_readonly("segment", &JournalProblem::segment)
      .def_readonly("offset", &JournalProblem::offset)
      .def_readonly("bytes", &JournalProblem::bytes)
      .def_readonly("seq", &JournalProblem::seq)
      .def_readonly("count", &JournalProblem::count)
      .def("__str__",
           [](const JournalProblem& p) {
             return "segment " + std::to_string(p.segment) + " at byte " + std::to_string(p.offset) + ": " +
                    std::string(to_string(p.what));
           })
      .def("__repr__", [](const JournalProblem& p) {
        return "<JournalProblem " + std::string(name_of(p.what)) + " segment=" + std::to_string(p.segment) +
               " offset=" + std::to_string(p.offset) + " bytes=" + std::to_string(p.bytes) +
               " seq=" + std::to_string(p.seq) + " count=" + std::to_string(p.count) + ">";
      });

  using Reader = JournalReader;
  using Own = std::unique_ptr<io::JournalReader>;
  py::class_<Reader>(m, "JournalReader")
      .def(
          py::init([](const py::object& directory, std::uint64_t from_seq, bool follow, std::int64_t max_record_bytes) {
            io::JournalReaderConfig config;
            config.directory = path_of(directory);
            config.from_seq = from_seq;
            config.follow = follow;
            config.max_record_bytes = record_bytes_of(max_record_bytes);
            auto opened = io::JournalReader::open(std::move(config));
            if (!opened) raise(opened.error());
            return std::make_unique<Reader>(std::move(*opened));
          }),
          py::arg("directory"), py::arg("from_seq") = 0, py::kw_only(), py::arg("follow") = false,
          py::arg("max_record_bytes") = kMaxRecordBytes)
      .def("__iter__", [](py::object self) { return self; })
      .def("__next__",
           [](Reader& self) {
             // Copied out first: making an object may run Python code, which must not meet this lock.
             struct Record {
               std::uint64_t seq;
               std::uint16_t kind;
               std::string payload;
             };
             const auto next = self.with([](Own& reader) -> std::optional<Record> {
               if (reader->next() == io::JournalReader::Next::end) return std::nullopt;
               const JournalRecord& record = reader->record();
               return Record{record.seq, record.kind, std::string(record.payload)};
             });
             if (!next) throw py::stop_iteration();
             return py::make_tuple(next->seq, next->kind, py::bytes(next->payload));
           })
      .def_property_readonly("problems",
                             [](Reader& self) { return self.with([](Own& reader) { return reader->problems(); }); })
      .def_property_readonly(
          "problem_count", [](Reader& self) { return self.with([](Own& reader) { return reader->problem_count(); }); })
      .def_property_readonly("journal_id", [](Reader& self) {
        const auto id = self.with([](Own& reader) -> std::optional<JournalId> {
          const JournalId* found = reader->journal();
          return found == nullptr ? std::nullopt : std::optional(*found);
        });
        return id ? std::optional(py::bytes(reinterpret_cast<const char*>(id->data()), id->size())) : std::nullopt;
      });
}

}  // namespace

void register_journal(py::module_& m) {
  py::dict members;
  members["code"] = "";
  journal_error_type = PyErr_NewException("llmcore._core.JournalError", PyExc_OSError, members.ptr());
  if (journal_error_type == nullptr) throw py::error_already_set();
  m.attr("JournalError") = py::reinterpret_borrow<py::object>(journal_error_type);

  py::native_enum<RecordKind> kinds(m, "RecordKind", "enum.IntEnum");
  for (const RecordKind kind : kRecordKinds) {
    std::string name(to_string(kind));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    kinds.value(name.c_str(), kind);
  }
  kinds.finalize();

  register_writer(m);
  register_reader(m);
}

}  // namespace llmcore::bindings
