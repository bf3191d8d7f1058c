#include <memory>

#include "arguments.hpp"
#include "bindings.hpp"
#include "llmcore/latency_sketch.hpp"
#include "llmcore/token_tracker.hpp"
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
  d["reasoning_tokens"] = t.usage.reasoning;
  d["total_tokens"] = t.usage.total_tokens();
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

py::list rows_list(const std::vector<TokenTracker::Row>& rows, bool with_hour) {
  py::list list;
  for (const TokenTracker::Row& row : rows) {
    py::dict d = totals_dict(row.totals);
    d["model"] = row.model;
    d["call_type"] = row.call_type;
    if (with_hour) d["hour"] = row.hour;
    list.append(d);
  }
  return list;
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

  using Tracker = Locked<TokenTracker>;
  py::class_<Tracker>(m, "TokenTracker")
      .def(py::init([](std::int64_t hours_kept) { return std::make_unique<Tracker>(hours_kept); }),
           py::arg("hours_kept") = 48)
      .def(
          "record",
          [](Tracker& self, const Text& model, const Text& call_type, const Usage& usage, std::optional<NanoUsd> cost,
             Duration latency, Outcome outcome, bool cache_hit, std::int64_t attempts, NanoUsd saved,
             std::optional<WallTime> wall) {
            check_count(cost.value_or(0), "cost");
            check_count(attempts, "attempts");
            check_count(saved, "saved");
            self.with([&](TokenTracker& t) {
              t.record(
                  UsageSample{model.value, call_type.value, outcome, cache_hit, attempts, usage, cost, saved, latency},
                  wall_or_now(wall));
            });
          },
          py::arg("model"), py::arg("call_type"), py::arg("usage"), py::arg("cost") = py::none(),
          py::arg("latency") = 0, py::arg("outcome") = Outcome::ok, py::arg("cache_hit") = false,
          py::arg("attempts") = 1, py::arg("saved") = 0, py::arg("wall") = py::none())
      .def("totals", [](Tracker& self) { return totals_dict(self.with([](TokenTracker& t) { return t.totals(); })); })
      .def("by_model_and_type",
           [](Tracker& self) {
             return rows_list(self.with([](TokenTracker& t) { return t.by_model_and_type(); }), false);
           })
      .def("by_hour",
           [](Tracker& self) { return rows_list(self.with([](TokenTracker& t) { return t.by_hour(); }), true); });
}

}  // namespace llmcore::bindings
