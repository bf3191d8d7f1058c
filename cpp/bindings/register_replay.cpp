#include <memory>
#include <set>
#include <string>
#include <utility>

#include "arguments.hpp"
#include "bindings.hpp"
#include "llmcore/io/replay.hpp"
#include "llmcore/version.hpp"
#include "locked.hpp"
#include "recorded_events.hpp"

namespace llmcore::bindings {
namespace {

using io::Divergence;
using io::RecordingReader;
using io::ReplayLogger;
using io::ReplayReport;
using io::ReplayRng;
using io::ReplayValidator;

io::Ack ack_named(const std::string& name) {
  if (name == "memory") return io::Ack::memory;
  if (name == "os") return io::Ack::os;
  if (name == "disk") return io::Ack::disk;
  throw py::value_error("ack is memory, os or disk, not '" + name + "'");
}

RecordKind kind_named(const std::string& name) {
  for (const RecordKind kind : kEventKinds) {
    if (to_string(kind) == name) return kind;
  }
  std::string known;
  for (const RecordKind kind : kEventKinds) known += (known.empty() ? "" : ", ") + std::string(to_string(kind));
  throw py::value_error("'" + name + "' is no kind of event; there are " + known);
}

[[noreturn]] void raise_os_error(const io::JournalError& error) {
  PyErr_SetString(PyExc_OSError, error.message().c_str());
  throw py::error_already_set();
}

std::unique_ptr<RecordingReader> opened(const Text& directory) {
  auto reader = RecordingReader::open(directory.value);
  if (!reader) raise_os_error(reader.error());
  return std::move(*reader);
}

std::shared_ptr<ReplayLogger> begun(const Text& directory, const Text& ack, bool engine) {
  auto logger =
      ReplayLogger::open({directory.value, ack_named(ack.value), engine, "llmcore " + std::string(version())});
  if (!logger) raise_os_error(logger.error());
  return std::move(*logger);
}

/// Whether it is in the recording. What the caller got wrong is an error; that the recording was given up is not: the
/// program goes on, and close() says so.
bool checked(const ReplayLogger& logger, const char* problem) {
  if (problem == nullptr) return true;
  if (logger.problem().empty()) throw py::value_error(problem);
  return false;
}

std::string_view view_of(const py::bytes& bytes) { return {PyBytes_AS_STRING(bytes.ptr()), size_of(bytes)}; }

py::dict stats_of(const ReplayLogger& logger) {
  const ReplayLogger::Stats stats = logger.stats();
  py::dict events;
  for (std::size_t i = 0; i < kEventKinds.size(); ++i) {
    const std::string_view kind = to_string(kEventKinds[i]);
    events[py::str(kind.data(), kind.size())] = stats.events[i];
  }
  py::dict all;
  all["events"] = events;
  all["bytes"] = stats.bytes;
  all["refused"] = stats.refused;
  return all;
}

py::object or_none(const std::string& text) {
  if (text.empty()) return py::none();
  return py::reinterpret_steal<py::object>(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

py::str shown(const std::string& text) {
  return py::reinterpret_steal<py::str>(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

}  // namespace

void register_replay(py::module_& m) {
  py::class_<Divergence>(m, "Divergence")
      .def_readonly("tick", &Divergence::tick)
      .def_readonly("event", &Divergence::event)
      .def_property_readonly("field", [](const Divergence& self) { return shown(self.field); })
      .def_property_readonly("expected", [](const Divergence& self) { return shown(self.expected); })
      .def_property_readonly("got", [](const Divergence& self) { return shown(self.got); })
      .def("__str__", [](const Divergence& self) { return shown(self.message()); });

  py::class_<ReplayLogger, std::shared_ptr<ReplayLogger>>(m, "ReplayLogger")
      .def(py::init(&begun), py::arg("directory"), py::arg("ack") = "os", py::arg("engine") = true)
      .def(
          "request",
          [](ReplayLogger& self, CallId call, AttemptId attempt, const py::bytes& fingerprint, Text provider,
             Text method, Text url, const py::bytes& body) {
            recorded::Request request{call,
                                      attempt,
                                      key_of(fingerprint),
                                      0,
                                      std::move(provider.value),
                                      std::move(method.value),
                                      std::move(url.value),
                                      std::string(view_of(body))};
            self.request(request);  // a call does not fail because its recording does: close() says so
            return request.ordinal;
          },
          py::arg("call"), py::arg("attempt"), py::arg("fingerprint"), py::arg("provider"), py::arg("method"),
          py::arg("url"), py::arg("body"))
      .def(
          "response",
          [](ReplayLogger& self, CallId call, AttemptId attempt, const py::bytes& fingerprint, std::uint32_t ordinal,
             std::uint32_t status, std::vector<std::pair<Text, Text>> headers, const py::bytes& body,
             std::optional<Outcome> error, Text message) {
            recorded::Response response{call,
                                        attempt,
                                        key_of(fingerprint),
                                        ordinal,
                                        status,
                                        {},
                                        std::string(view_of(body)),
                                        error,
                                        std::move(message.value)};
            for (auto& [name, value] : headers) {
              response.headers.emplace_back(std::move(name.value), std::move(value.value));
            }
            self.response(response);
          },
          py::arg("call"), py::arg("attempt"), py::arg("fingerprint"), py::arg("ordinal"), py::arg("status"),
          py::arg("headers"), py::arg("body"), py::arg("error") = py::none(), py::arg("message") = "")
      .def(
          "frame", [](ReplayLogger& self, std::int64_t tick) { return checked(self, self.frame(tick)); },
          py::arg("tick"))
      .def(
          "rng",
          [](ReplayLogger& self, Text name, std::uint64_t value, std::uint64_t bound) {
            return checked(self, self.rng(std::move(name.value), bound, value));
          },
          py::arg("name"), py::arg("value"), py::arg("bound") = 0)
      .def(
          "snapshot",
          [](ReplayLogger& self, std::int64_t tick, Text name, const py::bytes& state, bool keep) {
            const std::string_view bytes = view_of(state);
            recorded::Snapshot snapshot{tick, std::move(name.value), hash_of_state(bytes), std::nullopt};
            if (keep) snapshot.bytes = std::string(bytes);
            return checked(self, self.snapshot(std::move(snapshot)));
          },
          py::arg("tick"), py::arg("name"), py::arg("state"), py::arg("keep") = false)
      .def(
          "append",
          [](ReplayLogger& self, const py::dict& event) { return checked(self, self.append(event_from_dict(event))); },
          py::arg("event"))
      .def("close", [](ReplayLogger& self) { return self.close() == nullptr; })
      .def("abandon", [](ReplayLogger& self) { return self.abandon() == nullptr; })
      .def_property_readonly("records_engine", &ReplayLogger::records_engine)
      .def_property_readonly("problem", [](const ReplayLogger& self) { return or_none(self.problem()); })
      .def("stats", &stats_of);

  using Reader = Locked<std::unique_ptr<RecordingReader>>;
  py::class_<Reader>(m, "RecordingReader")
      .def(py::init([](const Text& directory) { return std::make_unique<Reader>(opened(directory)); }),
           py::arg("directory"))
      .def("next",
           [](Reader& self) -> py::object {
             std::optional<RecordedEvent> event;
             self.with([&](const std::unique_ptr<RecordingReader>& reader) {
               if (const RecordedEvent* found = reader->next()) event = *found;
             });
             if (!event) return py::none();
             return event_as_dict(*event);
           })
      .def_property_readonly(
          "number", [](Reader& self) { return self.with([](const auto& reader) { return reader->number(); }); })
      .def_property_readonly("tick",
                             [](Reader& self) { return self.with([](const auto& reader) { return reader->tick(); }); })
      .def_property_readonly(
          "complete", [](Reader& self) { return self.with([](const auto& reader) { return reader->complete(); }); })
      .def_property_readonly("problem", [](Reader& self) {
        return or_none(self.with([](const auto& reader) { return reader->problem(); }));
      });

  py::class_<ReplayReport>(m, "ReplayReport")
      .def_readonly("events", &ReplayReport::events)
      .def_readonly("engines", &ReplayReport::engines)
      .def_readonly("inputs", &ReplayReport::inputs)
      .def_readonly("divergence", &ReplayReport::divergence)
      .def_property_readonly("problem", [](const ReplayReport& self) { return or_none(self.problem); })
      .def_readonly("complete", &ReplayReport::complete)
      .def_property_readonly("ok", &ReplayReport::ok);
  m.def(
      "replay",
      [](const Text& directory) {
        const std::unique_ptr<RecordingReader> reader = opened(directory);
        const py::gil_scoped_release others_run;
        return io::replay(*reader);
      },
      py::arg("directory"));

  py::class_<ReplayValidator::Report>(m, "ComparisonReport")
      .def_readonly("compared", &ReplayValidator::Report::compared)
      .def_readonly("divergence", &ReplayValidator::Report::divergence)
      .def_property_readonly("problem", [](const ReplayValidator::Report& self) { return or_none(self.problem); });
  m.def(
      "compare_recordings",
      [](const Text& expected, const Text& got, const std::vector<Text>& kinds) {
        std::set<RecordKind> wanted;
        for (const Text& kind : kinds) wanted.insert(kind_named(kind.value));
        const std::unique_ptr<RecordingReader> one = opened(expected);
        const std::unique_ptr<RecordingReader> other = opened(got);
        const py::gil_scoped_release others_run;
        return ReplayValidator(std::move(wanted)).compare(*one, *other);
      },
      py::arg("expected"), py::arg("got"), py::arg("kinds") = std::vector<Text>{});

  using Dice = Locked<ReplayRng>;
  py::class_<Dice>(m, "ReplayRng")
      .def(py::init([](std::uint64_t seed, std::shared_ptr<ReplayLogger> logger) {
             return std::make_unique<Dice>(seed, std::move(logger));
           }),
           py::arg("seed"), py::arg("logger") = py::none())
      .def_static(
          "of", [](const Text& directory) { return std::make_unique<Dice>(opened(directory)); }, py::arg("directory"))
      .def(
          "next",
          [](Dice& self, const Text& name) { return self.with([&](ReplayRng& rng) { return rng.next(name.value); }); },
          py::arg("name"))
      .def(
          "below",
          [](Dice& self, const Text& name, std::uint64_t bound) {
            if (bound == 0) throw py::value_error("bound must be above 0");
            return self.with([&](ReplayRng& rng) { return rng.below(name.value, bound); });
          },
          py::arg("name"), py::arg("bound"))
      .def(
          "between",
          [](Dice& self, const Text& name, std::int64_t low, std::int64_t high) {
            if (low > high) throw py::value_error("low must not be above high");
            return self.with([&](ReplayRng& rng) { return rng.between(name.value, low, high); });
          },
          py::arg("name"), py::arg("low"), py::arg("high"))
      .def_property_readonly("replaying",
                             [](Dice& self) { return self.with([](const ReplayRng& rng) { return rng.replaying(); }); })
      .def_property_readonly("draws",
                             [](Dice& self) { return self.with([](const ReplayRng& rng) { return rng.draws(); }); })
      .def_property_readonly(
          "divergence", [](Dice& self) { return self.with([](const ReplayRng& rng) { return rng.divergence(); }); })
      .def_property_readonly(
          "problem", [](Dice& self) { return or_none(self.with([](const ReplayRng& rng) { return rng.problem(); })); });
}

}  // namespace llmcore::bindings
