#include <memory>

#include "arguments.hpp"
#include "as_dict.hpp"
#include "bindings.hpp"
#include "fastcall.hpp"
#include "llmcore/error_recovery.hpp"
#include "locked.hpp"
#include "members.hpp"

namespace llmcore::bindings {
namespace {

const char* name_of(Health health) {
  switch (health) {
    case Health::healthy: return "healthy";
    case Health::degraded: return "degraded";
    case Health::probing: return "probing";
  }
  return "healthy";
}

}  // namespace

py::dict as_dict(const ErrorRecovery::Stats& stats) {
  const bool open = stats.health != Health::healthy;
  py::dict d;
  d["health"] = name_of(stats.health);
  d["open_until"] = open ? py::object(py::int_(stats.open_until)) : py::none();
  d["consecutive_errors"] = stats.consecutive_errors;
  d["errors"] = stats.errors;
  d["successes"] = stats.successes;
  d["calls"] = stats.calls;
  d["retries"] = stats.retries;
  d["retries_refused"] = stats.retries_refused;
  d["breaker_opened"] = stats.breaker_opened;
  return d;
}

void register_error_recovery(py::module_& m) {
  py::native_enum<Verdict>(m, "Verdict", "enum.IntEnum")
      .value("RETRY", Verdict::retry)
      .value("FAIL_OVER", Verdict::fail_over)
      .value("STOP", Verdict::stop)
      .finalize();
  py::native_enum<Health>(m, "Health", "enum.IntEnum")
      .value("HEALTHY", Health::healthy)
      .value("DEGRADED", Health::degraded)
      .value("PROBING", Health::probing)
      .finalize();
  m.def("verdict_of", &verdict_of, py::arg("outcome"), py::arg("should_retry") = py::none());
  m.def("counts_against_health", &counts_against_health, py::arg("outcome"));

  py::class_<ErrorRecoveryConfig>(m, "ErrorRecoveryConfig")
      .def(py::init<>())
      .def_readwrite("max_attempts", &ErrorRecoveryConfig::max_attempts)
      .def_readwrite("retry_after_cap", &ErrorRecoveryConfig::retry_after_cap)
      .def_readwrite("breaker_errors", &ErrorRecoveryConfig::breaker_errors)
      .def_readwrite("cooldown", &ErrorRecoveryConfig::cooldown)
      .def_readwrite("retry_percent", &ErrorRecoveryConfig::retry_percent)
      .def_readwrite("retries_per_second", &ErrorRecoveryConfig::retries_per_second);

  using Recovery = Locked<ErrorRecovery>;
  using At = std::optional<Instant>;
  py::class_<Recovery> recovery(m, "ErrorRecovery");
  recovery
      .def(py::init([](const ErrorRecoveryConfig& config, const At& now) {
             return std::make_unique<Recovery>(config, instant_or_now(now));
           }),
           py::arg("config") = ErrorRecoveryConfig{}, py::arg("now") = py::none())
      .def("stats",
           [](Recovery& self) { return as_dict(self.with([](const ErrorRecovery& r) { return r.stats(); })); });
  def_fast(recovery, "call_arrived", "", [](Recovery& self) { self.with([](ErrorRecovery& r) { r.call_arrived(); }); });
  def_fast(recovery, "ready_at", "now=None", [](Recovery& self, At now) -> std::optional<Instant> {
    const Instant at = self.with([&](ErrorRecovery& r) { return r.ready_at(instant_or_now(now)); });
    return at == kNever ? std::nullopt : std::optional(at);
  });
  def_fast(recovery, "sent", "now=None", [](Recovery& self, At now) {
    return self.with([&](ErrorRecovery& r) { return r.sent(instant_or_now(now)); });
  });
  def_fast(recovery, "succeeded", "probe=False",
           [](Recovery& self, OrFalse probe) { self.with([&](ErrorRecovery& r) { r.succeeded(probe); }); });
  def_fast(recovery, "failed", "probe=False, now=None", [](Recovery& self, OrFalse probe, At now) {
    self.with([&](ErrorRecovery& r) { r.failed(probe, instant_or_now(now)); });
  });
  def_fast(recovery, "abandoned", "probe=False",
           [](Recovery& self, OrFalse probe) { self.with([&](ErrorRecovery& r) { r.abandoned(probe); }); });
  def_fast(recovery, "advise", "outcome, attempts, should_retry=None, retry_after=0, now=None",
           [](Recovery& self, Outcome outcome, std::int64_t attempts, std::optional<bool> should_retry,
              Or<0> retry_after, At now) {
             check_count(attempts, "attempts");
             check_count(retry_after, "retry_after");
             return member_of<Verdict, 3>(self.with([&](ErrorRecovery& r) {
               return r.advise(outcome, should_retry, retry_after, attempts, instant_or_now(now));
             }));
           });
  def_fast(recovery, "health", "now=None", [](Recovery& self, At now) {
    return member_of<Health, 3>(self.with([&](const ErrorRecovery& r) { return r.health(instant_or_now(now)); }));
  });
}

}  // namespace llmcore::bindings
