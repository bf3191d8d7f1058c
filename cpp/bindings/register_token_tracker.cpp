#include <array>
#include <cstddef>
#include <memory>
#include <string_view>

#include "arguments.hpp"
#include "bindings.hpp"
#include "fastcall.hpp"
#include "llmcore/budget.hpp"
#include "llmcore/latency_sketch.hpp"
#include "llmcore/token_tracker.hpp"
#include "llmcore/usage_report.hpp"
#include "locked.hpp"

namespace llmcore::bindings {
namespace {

py::dict totals_dict(const UsageTotals& t) {
  py::dict d;
  d["calls"] = t.calls;
  d["errors"] = t.errors;
  d["cache_hits"] = t.cache_hits;
  d["attempts"] = t.attempts;
  d["input_tokens"] = t.usage.input_tokens();
  d["output_tokens"] = t.usage.output_tokens();
  d["cached_tokens"] = t.usage.cached_tokens();
  d["cache_write_tokens"] = t.usage.cache_write_tokens();
  d["reasoning_tokens"] = t.usage.reasoning;
  d["total_tokens"] = t.usage.total_tokens();
  d["images"] = t.usage.images;
  d["web_searches"] = t.usage.web_searches;
  d["cost_nano_usd"] = t.cost;
  d["unpriced_calls"] = t.unpriced_calls;
  d["saved_nano_usd"] = t.saved;
  py::dict latency;
  latency["p50_ns"] = t.latency.quantile_permille(500);
  latency["p95_ns"] = t.latency.quantile_permille(950);
  latency["p99_ns"] = t.latency.quantile_permille(990);
  latency["max_ns"] = t.latency.max();
  d["latency"] = latency;
  return d;
}

py::list rows_list(Locked<TokenTracker>& self, UsageWindow window, UsageScope scope) {
  py::list list;
  for (const TokenTracker::Row& row : self.with([&](const TokenTracker& t) { return t.rows(window, scope); })) {
    py::dict d = totals_dict(row.totals);
    d["model"] = row.model;
    d["call_type"] = row.call_type;
    if (scope == UsageScope::each) d["scope"] = row.scope;
    if (window == UsageWindow::hour) d["hour"] = row.period;
    if (window == UsageWindow::day) d["day"] = row.period;
    list.append(d);
  }
  return list;
}

UsageScope scope_when(bool scoped) { return scoped ? UsageScope::each : UsageScope::none; }

/// The scopes of one call. The views hold as long as the tuple does.
struct CallScopes {
  static constexpr std::size_t kMost = 16;
  py::tuple owner;
  std::array<std::string_view, kMost> views{};
  std::size_t count = 0;

  explicit CallScopes(py::handle given) {
    if (!given || given.is_none()) return;
    // A str is a sequence of strs too: of its letters.
    if (PyUnicode_Check(given.ptr()) != 0) throw py::type_error("record(): scopes is a sequence of str, not one str");
    owner = py::reinterpret_steal<py::tuple>(PySequence_Tuple(given.ptr()));
    if (!owner) throw py::error_already_set();
    if (owner.size() > kMost) throw py::value_error("record(): a call has at most 16 scopes");
    for (const py::handle scope : owner) {
      if (PyUnicode_Check(scope.ptr()) == 0) throw py::type_error("record(): each of scopes is a str");
      Py_ssize_t size = 0;
      const char* text = PyUnicode_AsUTF8AndSize(scope.ptr(), &size);
      if (text == nullptr) throw py::error_already_set();
      views[count++] = {text, static_cast<std::size_t>(size)};
    }
  }
};

/// Field by field what RecentCall is, so that NumPy reads its bytes as they are.
py::object numpy_type_of_recent_call(const py::module_& numpy) {
  py::list names;
  py::list formats;
  py::list offsets;
  const auto field = [&](const char* name, const char* format, std::size_t offset) {
    names.append(name);
    formats.append(format);
    offsets.append(offset);
  };
  field("wall", "i8", offsetof(RecentCall, wall));
  field("model", "u4", offsetof(RecentCall, model));
  field("call_type", "u4", offsetof(RecentCall, call_type));
  field("outcome", "u1", offsetof(RecentCall, outcome));
  field("cache_hit", "?", offsetof(RecentCall, cache_hit));
  field("estimated", "?", offsetof(RecentCall, estimated));
  field("attempts", "u4", offsetof(RecentCall, attempts));
  field("latency", "i8", offsetof(RecentCall, latency));
  field("cost", "i8", offsetof(RecentCall, cost));
  field("saved", "i8", offsetof(RecentCall, saved));
  field("input_uncached", "i8", offsetof(RecentCall, input_uncached));
  field("cache_read", "i8", offsetof(RecentCall, cache_read));
  field("cache_write_5m", "i8", offsetof(RecentCall, cache_write_5m));
  field("cache_write_1h", "i8", offsetof(RecentCall, cache_write_1h));
  field("output_text", "i8", offsetof(RecentCall, output_text));
  field("reasoning", "i8", offsetof(RecentCall, reasoning));
  field("audio_input", "i8", offsetof(RecentCall, audio_input));
  field("audio_cache_read", "i8", offsetof(RecentCall, audio_cache_read));
  field("audio_output", "i8", offsetof(RecentCall, audio_output));
  field("image_input", "i8", offsetof(RecentCall, image_input));
  field("image_output", "i8", offsetof(RecentCall, image_output));
  field("images", "i8", offsetof(RecentCall, images));
  field("web_searches", "i8", offsetof(RecentCall, web_searches));
  py::dict type;
  type["names"] = names;
  type["formats"] = formats;
  type["offsets"] = offsets;
  type["itemsize"] = sizeof(RecentCall);
  return numpy.attr("dtype")(type);
}

py::object samples_of(Locked<TokenTracker>& self) {
  py::module_ numpy;
  try {
    numpy = py::module_::import("numpy");
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_ImportError)) throw;
    throw py::import_error("TokenTracker.samples() answers a NumPy array: pip install 'llmcore[numpy]'");
  }
  // A bytearray, so that the array over it can be written to. Made before the lock is taken: Python may run code then.
  std::size_t count = self.with([](const TokenTracker& t) { return t.recent_count(); });
  const auto bytes = py::reinterpret_steal<py::object>(
      PyByteArray_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(count * sizeof(RecentCall))));
  if (!bytes) throw py::error_already_set();
  self.with([&](const TokenTracker& t) {
    t.copy_recent(reinterpret_cast<RecentCall*>(PyByteArray_AS_STRING(bytes.ptr())), count);
  });
  return numpy.attr("frombuffer")(bytes, numpy_type_of_recent_call(numpy));
}

py::dict stats_dict(const TokenTracker::Stats& stats) {
  py::dict d;
  d["keys"] = stats.keys;
  d["rows"] = stats.rows;
  d["retired"] = stats.retired;
  d["other"] = stats.other;
  d["shortened"] = stats.shortened;
  d["unkept"] = stats.unkept;
  d["most_steps"] = stats.most_steps;
  return d;
}

std::vector<Budget::Account> accounts_of(Locked<Budget>* budget) {
  if (budget == nullptr) return {};
  return budget->with([](const Budget& b) { return b.accounts(); });
}

}  // namespace

void register_token_tracker(py::module_& m) {
  using Sketch = Locked<LatencySketch>;
  py::class_<Sketch>(m, "LatencySketch")
      .def(py::init<>())
      .def(
          "add", [](Sketch& self, Duration ns) { self.with([&](LatencySketch& s) { s.add(ns); }); }, py::arg("ns"))
      .def(
          "merge",
          [](Sketch& self, Sketch& other) {
            // A copy: two locks at once could wait for each other, and one of them twice for itself.
            const LatencySketch added = other.with([](const LatencySketch& s) { return s; });
            self.with([&](LatencySketch& s) { s.merge(added); });
          },
          py::arg("other"))
      .def(
          "merge_bytes",
          [](Sketch& self, const py::bytes& data) {
            const py::bytes kept = plain(data);
            const std::string_view view(PyBytes_AS_STRING(kept.ptr()), size_of(kept));
            if (!self.with([&](LatencySketch& s) { return s.merge_bytes(view); })) {
              throw py::value_error("these bytes are no latency sketch");
            }
          },
          py::arg("data"))
      .def("to_bytes",
           [](Sketch& self) { return py::bytes(self.with([](const LatencySketch& s) { return s.to_bytes(); })); })
      .def(
          "quantile",
          [](Sketch& self, double p) {
            if (!(p >= 0.0 && p <= 1.0)) throw py::value_error("a quantile is between 0 and 1");
            const auto permille = static_cast<std::int64_t>(p * 1000.0 + 0.5);
            return self.with([&](const LatencySketch& s) { return s.quantile_permille(permille); });
          },
          py::arg("p"))
      .def_property_readonly("count",
                             [](Sketch& self) { return self.with([](const LatencySketch& s) { return s.count(); }); })
      .def_property_readonly("sum",
                             [](Sketch& self) { return self.with([](const LatencySketch& s) { return s.sum(); }); })
      .def_property_readonly("min",
                             [](Sketch& self) { return self.with([](const LatencySketch& s) { return s.min(); }); })
      .def_property_readonly("max",
                             [](Sketch& self) { return self.with([](const LatencySketch& s) { return s.max(); }); });

  py::class_<TokenTrackerConfig>(m, "TokenTrackerConfig")
      .def(py::init([](std::int64_t hours_kept, std::int64_t days_kept, std::int64_t recent_kept, std::int64_t max_keys,
                       std::int64_t max_rows) {
             return TokenTrackerConfig{hours_kept, days_kept, recent_kept, max_keys, max_rows};
           }),
           py::arg("hours_kept") = 48, py::arg("days_kept") = 31, py::arg("recent_kept") = 1024,
           py::arg("max_keys") = 100'000, py::arg("max_rows") = 200'000)
      .def_readwrite("hours_kept", &TokenTrackerConfig::hours_kept)
      .def_readwrite("days_kept", &TokenTrackerConfig::days_kept)
      .def_readwrite("recent_kept", &TokenTrackerConfig::recent_kept)
      .def_readwrite("max_keys", &TokenTrackerConfig::max_keys)
      .def_readwrite("max_rows", &TokenTrackerConfig::max_rows);

  using Tracker = Locked<TokenTracker>;
  py::class_<Tracker> tracker(m, "TokenTracker");
  tracker
      .def(py::init([](std::int64_t hours_kept, std::int64_t days_kept, std::int64_t recent_kept, std::int64_t max_keys,
                       std::int64_t max_rows) {
             return std::make_unique<Tracker>(
                 TokenTrackerConfig{hours_kept, days_kept, recent_kept, max_keys, max_rows});
           }),
           py::arg("hours_kept") = 48, py::arg("days_kept") = 31, py::arg("recent_kept") = 1024,
           py::arg("max_keys") = 100'000, py::arg("max_rows") = 200'000)
      .def(
          "merge",
          [](Tracker& self, Tracker& other) {
            const TokenTracker added = other.with([](const TokenTracker& t) { return t; });
            self.with([&](TokenTracker& t) { t.merge(added); });
          },
          py::arg("other"))
      .def("totals", [](Tracker& self) { return totals_dict(self.with([](TokenTracker& t) { return t.totals(); })); })
      .def("by_model_and_type", [](Tracker& self) { return rows_list(self, UsageWindow::all, UsageScope::none); })
      .def("by_scope", [](Tracker& self) { return rows_list(self, UsageWindow::all, UsageScope::each); })
      .def(
          "by_hour", [](Tracker& self, bool scoped) { return rows_list(self, UsageWindow::hour, scope_when(scoped)); },
          py::arg("scoped") = false)
      .def(
          "by_day", [](Tracker& self, bool scoped) { return rows_list(self, UsageWindow::day, scope_when(scoped)); },
          py::arg("scoped") = false)
      .def("samples", &samples_of)
      .def("names", [](Tracker& self) { return self.with([](const TokenTracker& t) { return t.names(); }); })
      .def("stats",
           [](Tracker& self) { return stats_dict(self.with([](const TokenTracker& t) { return t.stats(); })); })
      .def(
          "report_json",
          [](Tracker& self, Locked<Budget>* budget) {
            const auto accounts = accounts_of(budget);
            return self.with([&](const TokenTracker& t) { return usage_report_json(t, accounts); });
          },
          py::arg("budget") = py::none())
      .def(
          "report_text",
          [](Tracker& self, Locked<Budget>* budget, std::int64_t rows) {
            check_count(rows, "rows");
            const auto accounts = accounts_of(budget);
            return self.with(
                [&](const TokenTracker& t) { return usage_report_text(t, accounts, static_cast<std::size_t>(rows)); });
          },
          py::arg("budget") = py::none(), py::arg("rows") = 20);
  def_fast(
      tracker, "record",
      "model, call_type, usage, cost=None, latency=0, outcome=None, cache_hit=False, attempts=1, saved=0, wall=None, "
      "scopes=None",
      [](Tracker& self, std::string_view model, std::string_view call_type, const Usage& usage,
         std::optional<NanoUsd> cost, Or<0> latency, std::optional<Outcome> outcome, OrFalse cache_hit, Or<1> attempts,
         Or<0> saved, std::optional<WallTime> wall, std::optional<py::handle> scopes) {
        check_count(cost.value_or(0), "cost");
        check_count(attempts, "attempts");
        check_count(saved, "saved");
        UsageSample sample;
        sample.model = model;
        sample.call_type = call_type;
        sample.outcome = outcome.value_or(Outcome::ok);
        sample.cache_hit = cache_hit;
        sample.attempts = attempts;
        sample.usage = usage;
        sample.cost = cost;
        sample.saved = saved;
        sample.latency = latency;
        const WallTime at = wall_or_now(wall);
        if (!scopes) {
          self.with([&](TokenTracker& t) { t.record(sample, at); });
          return;
        }
        const CallScopes named(*scopes);
        sample.scopes = {named.views.data(), named.count};
        self.with([&](TokenTracker& t) { t.record(sample, at); });
      });
}

}  // namespace llmcore::bindings
