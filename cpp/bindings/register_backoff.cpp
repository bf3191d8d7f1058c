#include <memory>

#include "arguments.hpp"
#include "bindings.hpp"
#include "fastcall.hpp"
#include "llmcore/backoff.hpp"
#include "locked.hpp"

namespace llmcore::bindings {
namespace {

// A calculator with random numbers of its own.
struct SeededBackoff {
  SeededBackoff(const BackoffConfig& config, std::uint64_t seed) : backoff(config), rng(seed) {}
  Backoff backoff;
  Rng rng;
};

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

  py::class_<Locked<SeededBackoff>> backoff(m, "Backoff");
  backoff.def(py::init([](const BackoffConfig& config, std::uint64_t seed) {
                return std::make_unique<Locked<SeededBackoff>>(config, seed);
              }),
              py::arg("config") = BackoffConfig{}, py::arg("seed") = 0);
  def_fast(backoff, "delay", "attempt", [](Locked<SeededBackoff>& self, std::int64_t attempt) {
    check_count(attempt, "attempt");
    return self.with([&](SeededBackoff& b) { return b.backoff.delay(attempt, b.rng); });
  });
}

}  // namespace llmcore::bindings
