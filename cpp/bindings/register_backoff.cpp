#include <memory>

#include "arguments.hpp"
#include "bindings.hpp"
#include "fastcall.hpp"
#include "llmcore/backoff.hpp"
#include "locked.hpp"

namespace llmcore::bindings {
namespace {

py::dict as_dict(const SeededBackoff::Stats& stats) {
  py::dict d;
  d["delays"] = stats.delays;
  d["total"] = stats.total;
  d["shortest"] = stats.shortest;
  d["longest"] = stats.longest;
  d["last"] = stats.last;
  d["capped"] = stats.capped;
  d["deepest"] = stats.deepest;
  return d;
}

}  // namespace

void register_backoff(py::module_& m) {
  py::native_enum<Jitter>(m, "Jitter", "enum.IntEnum")
      .value("NONE", Jitter::none)
      .value("PROPORTIONAL", Jitter::proportional)
      .value("FULL", Jitter::full)
      .finalize();

  py::class_<BackoffConfig>(m, "BackoffConfig")
      .def(py::init([](Duration base, Duration cap, Jitter jitter, std::int64_t jitter_permille) {
             return BackoffConfig{base, cap, jitter, jitter_permille};
           }),
           py::arg("base") = 500 * kMillisecond, py::arg("cap") = 30 * kSecond,
           py::arg("jitter") = Jitter::proportional, py::arg("jitter_permille") = 250)
      .def_readwrite("base", &BackoffConfig::base)
      .def_readwrite("cap", &BackoffConfig::cap)
      .def_readwrite("jitter", &BackoffConfig::jitter)
      .def_readwrite("jitter_permille", &BackoffConfig::jitter_permille);

  using Calculator = Locked<SeededBackoff>;
  py::class_<Calculator> backoff(m, "Backoff");
  backoff
      .def(py::init([](const BackoffConfig& config, std::uint64_t seed) {
             return std::make_unique<Calculator>(config, seed);
           }),
           py::arg("config") = BackoffConfig{}, py::arg("seed") = 0)
      .def("stats",
           [](Calculator& self) { return as_dict(self.with([](const SeededBackoff& b) { return b.stats(); })); });
  def_fast(backoff, "delay", "attempt", [](Calculator& self, std::int64_t attempt) {
    check_count(attempt, "attempt");
    return self.with([&](SeededBackoff& b) { return b.delay(attempt); });
  });
}

}  // namespace llmcore::bindings
