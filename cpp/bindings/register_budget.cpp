#include <memory>

#include "arguments.hpp"
#include "as_dict.hpp"
#include "bindings.hpp"
#include "held.hpp"
#include "llmcore/budget.hpp"
#include "locked.hpp"

namespace llmcore::bindings {

py::dict as_dict(const Budget::Account& account) {
  py::dict d;
  d["scope"] = account.scope;
  d["period"] = to_string(account.period);
  d["limit_nano_usd"] = account.limit;
  d["spent_nano_usd"] = account.spent;
  d["reserved_nano_usd"] = account.reserved;
  return d;
}

py::dict as_dict(const Budget::Stats& stats) {
  py::dict d;
  d["reserved"] = stats.reserved;
  d["settled"] = stats.settled;
  d["released"] = stats.released;
  d["overdrawn"] = stats.overdrawn;
  d["refused"] = stats.refused;
  d["price_unknown"] = stats.price_unknown;
  d["alerts"] = stats.alerts;
  d["accounts"] = stats.accounts;
  return d;
}

void register_budget(py::module_& m) {
  py::native_enum<Period>(m, "Period", "enum.IntEnum")
      .value("HOUR", Period::hour)
      .value("DAY", Period::day)
      .value("MONTH", Period::month)
      .value("TOTAL", Period::total)
      .finalize();

  py::class_<BudgetRule>(m, "BudgetRule")
      .def(py::init([](Text scope, Period period, NanoUsd limit, std::vector<std::int64_t> alert_percent) {
             return BudgetRule{std::move(scope.value), period, limit, std::move(alert_percent)};
           }),
           py::arg("scope") = "global", py::arg("period") = Period::total, py::arg("limit") = 0,
           py::arg("alert_percent") = std::vector<std::int64_t>{50, 80, 100})
      .def_readonly("scope", &BudgetRule::scope)
      .def_readonly("period", &BudgetRule::period)
      .def_readonly("limit", &BudgetRule::limit)
      .def_readonly("alert_percent", &BudgetRule::alert_percent)
      .def("problem", &BudgetRule::problem);

  py::class_<BudgetAlert>(m, "AlertRecord")
      .def_readonly("rule", &BudgetAlert::rule)
      .def_readonly("scope", &BudgetAlert::scope)
      .def_readonly("period", &BudgetAlert::period)
      .def_readonly("percent", &BudgetAlert::percent)
      .def_readonly("spent", &BudgetAlert::spent)
      .def_readonly("limit", &BudgetAlert::limit);

  py::class_<BudgetRefusal>(m, "BudgetRefusal")
      .def_readonly("rule", &BudgetRefusal::rule)
      .def_readonly("scope", &BudgetRefusal::scope)
      .def_readonly("period", &BudgetRefusal::period)
      .def_readonly("limit", &BudgetRefusal::limit)
      .def_readonly("spent", &BudgetRefusal::spent)
      .def_readonly("reserved", &BudgetRefusal::reserved)
      .def_readonly("needed", &BudgetRefusal::needed)
      .def_readonly("price_unknown", &BudgetRefusal::price_unknown);

  using Reservation = Held<Budget>;
  py::class_<Reservation>(m, "BudgetReservation").def_property_readonly("amount", [](const Reservation& held) {
    return held.reservation.amount;
  });

  using Book = Locked<Budget>;
  using Wall = std::optional<WallTime>;
  using Pairs = std::vector<std::pair<Text, Text>>;
  py::class_<Book, std::shared_ptr<Book>>(m, "Budget")
      .def(py::init([](std::vector<BudgetRule> rules) { return std::make_shared<Book>(std::move(rules)); }),
           py::arg("rules"))
      .def(
          "refusal",
          [](Book& self, Pairs pairs, std::optional<NanoUsd> worst_case, const Wall& wall) {
            check_count(worst_case.value_or(0), "worst_case");
            const Scopes scopes = scopes_of(std::move(pairs));
            return self.with([&](Budget& b) { return b.refusal(scopes, worst_case, wall_or_now(wall)); });
          },
          py::arg("scopes"), py::arg("worst_case"), py::arg("wall") = py::none())
      // Asking and setting aside under one lock: between the two, no other thread can take the room.
      .def(
          "reserve",
          [](const std::shared_ptr<Book>& self, Pairs pairs, NanoUsd worst_case,
             const Wall& wall) -> std::optional<Reservation> {
            check_count(worst_case, "worst_case");
            const Scopes scopes = scopes_of(std::move(pairs));
            return self->with([&](Budget& b) -> std::optional<Reservation> {
              const WallTime at = wall_or_now(wall);
              if (b.refusal(scopes, worst_case, at)) return std::nullopt;
              return Reservation{self, b.reserve(scopes, worst_case, at)};
            });
          },
          py::arg("scopes"), py::arg("worst_case"), py::arg("wall") = py::none())
      .def(
          "settle",
          [](Book& self, Reservation& held, NanoUsd actual, const Wall& wall) {
            check_count(actual, "actual");
            return end(self, held, [&](Budget& b, const Budget::Reservation& reservation) {
              return b.settle(reservation, actual, wall_or_now(wall));
            });
          },
          py::arg("reservation"), py::arg("actual"), py::arg("wall") = py::none())
      .def(
          "release",
          [](Book& self, Reservation& held) {
            end(self, held, [](Budget& b, const Budget::Reservation& reservation) { b.release(reservation); });
          },
          py::arg("reservation"))
      .def("stats", [](Book& self) { return as_dict(self.with([](const Budget& b) { return b.stats(); })); })
      .def("reserved", [](Book& self) { return self.with([](const Budget& b) { return b.reserved(); }); })
      .def("accounts", [](Book& self) { return as_list(self.with([](const Budget& b) { return b.accounts(); })); });
}

}  // namespace llmcore::bindings
