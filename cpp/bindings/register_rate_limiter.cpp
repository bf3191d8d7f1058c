#include <memory>

#include "arguments.hpp"
#include "as_dict.hpp"
#include "bindings.hpp"
#include "fastcall.hpp"
#include "held.hpp"
#include "llmcore/rate_limiter.hpp"
#include "locked.hpp"

namespace llmcore::bindings {

py::dict as_dict(const RateLimiter::Stats& stats) {
  py::dict d;
  d["admitted"] = stats.admitted;
  d["denied"] = stats.denied;
  d["in_flight"] = stats.in_flight;
  d["reserved_tokens"] = stats.reserved_tokens;
  d["available_requests"] = stats.available_requests;
  d["available_tokens"] = stats.available_tokens;
  d["pauses"] = stats.pauses;
  d["paused_until"] = stats.paused_until != 0 ? py::object(py::int_(stats.paused_until)) : py::none();
  return d;
}

void register_rate_limiter(py::module_& m) {
  py::class_<RateLimiterConfig>(m, "RateLimiterConfig")
      .def(py::init([](std::int64_t requests_per_minute, std::int64_t tokens_per_minute, std::int64_t max_in_flight,
                       bool minute_burst) {
             return RateLimiterConfig{requests_per_minute, tokens_per_minute, max_in_flight, minute_burst};
           }),
           py::arg("requests_per_minute") = 60, py::arg("tokens_per_minute") = 0, py::arg("max_in_flight") = 0,
           py::arg("minute_burst") = true)
      .def_readwrite("requests_per_minute", &RateLimiterConfig::requests_per_minute)
      .def_readwrite("tokens_per_minute", &RateLimiterConfig::tokens_per_minute)
      .def_readwrite("max_in_flight", &RateLimiterConfig::max_in_flight)
      .def_readwrite("minute_burst", &RateLimiterConfig::minute_burst);

  py::class_<RateObservation> observed(m, "RateObservation");
  fast_class(observed);
  observed
      .def(py::init([](std::optional<std::int64_t> remaining_requests, std::optional<std::int64_t> remaining_tokens,
                       Duration requests_reset, Duration tokens_reset, std::optional<std::int64_t> requests_limit,
                       std::optional<std::int64_t> tokens_limit) {
             return RateObservation{remaining_requests, remaining_tokens, requests_reset,
                                    tokens_reset,       requests_limit,   tokens_limit};
           }),
           py::arg("remaining_requests") = py::none(), py::arg("remaining_tokens") = py::none(),
           py::arg("requests_reset") = 0, py::arg("tokens_reset") = 0, py::arg("requests_limit") = py::none(),
           py::arg("tokens_limit") = py::none())
      .def_readonly("remaining_requests", &RateObservation::remaining_requests)
      .def_readonly("remaining_tokens", &RateObservation::remaining_tokens)
      .def_readonly("requests_reset", &RateObservation::requests_reset)
      .def_readonly("tokens_reset", &RateObservation::tokens_reset)
      .def_readonly("requests_limit", &RateObservation::requests_limit)
      .def_readonly("tokens_limit", &RateObservation::tokens_limit);

  using Reservation = Held<RateLimiter>;
  py::class_<Reservation> reservation(m, "RateReservation");
  fast_class(reservation);
  reservation.def_property_readonly("requests", [](const Reservation& held) { return held.reservation.requests; })
      .def_property_readonly("tokens", [](const Reservation& held) { return held.reservation.tokens; });

  using Limiter = Locked<RateLimiter>;
  using At = std::optional<Instant>;
  py::class_<Limiter, std::shared_ptr<Limiter>> limiter(m, "RateLimiter");
  limiter
      .def(py::init([](const RateLimiterConfig& config, const At& now) {
             return std::make_shared<Limiter>(config, instant_or_now(now));
           }),
           py::arg("config") = RateLimiterConfig{}, py::arg("now") = py::none())
      .def(
          "pause_until", [](Limiter& self, Instant until) { self.with([&](RateLimiter& r) { r.pause_until(until); }); },
          py::arg("until"))
      .def(
          "observe",
          [](Limiter& self, const RateObservation& observation, const At& now) {
            self.with([&](RateLimiter& r) { r.observe(observation, instant_or_now(now)); });
          },
          py::arg("observation"), py::arg("now") = py::none())
      .def("stats", [](Limiter& self) { return as_dict(self.with([](const RateLimiter& r) { return r.stats(); })); });
  def_fast(limiter, "try_acquire", "n=1, now=None", [](Limiter& self, Or<1> n, At now) {
    check_count(n, "n");
    return self.with([&](RateLimiter& r) { return r.try_acquire(n, instant_or_now(now)); });
  });
  def_fast(limiter, "time_until", "n=1, now=None", [](Limiter& self, Or<1> n, At now) {
    check_count(n, "n");
    return self.with([&](RateLimiter& r) { return r.time_until(n, instant_or_now(now)); });
  });
  def_fast(limiter, "reserve", "tokens=0, now=None", [](const std::shared_ptr<Limiter>& self, Or<0> tokens, At now) {
    check_count(tokens, "tokens");
    const auto taken = self->with([&](RateLimiter& r) { return r.reserve(tokens, instant_or_now(now)); });
    return taken ? py::cast(Reservation{self, *taken}) : py::object(py::none());
  });
  def_fast(limiter, "settle", "reservation, actual_tokens, now=None",
           [](Limiter& self, Reservation& held, std::int64_t actual_tokens, At now) {
             check_count(actual_tokens, "actual_tokens");
             end(self, held, [&](RateLimiter& r, const RateLimiter::Reservation& own) {
               r.settle(own, actual_tokens, instant_or_now(now));
             });
           });
  def_fast(limiter, "refund", "reservation, now=None", [](Limiter& self, Reservation& held, At now) {
    end(self, held, [&](RateLimiter& r, const RateLimiter::Reservation& own) { r.refund(own, instant_or_now(now)); });
  });
}

}  // namespace llmcore::bindings
