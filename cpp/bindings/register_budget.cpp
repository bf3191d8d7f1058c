#include <memory>

#include "bindings.hpp"
#include "llmcore/budget.hpp"
#include "locked.hpp"

namespace llmcore::bindings {

void register_budget(py::module_& m) {
  py::native_enum<Period>(m, "Period", "enum.IntEnum")
      .value("HOUR", Period::hour)
      .value("DAY", Period::day)
      .value("MONTH", Period::month)
      .value("TOTAL", Period::total)
      .finalize();

  py::class_<BudgetRule>(m, "BudgetRule")
      .def(py::init([](std::string scope, Period period, NanoUsd limit, std::vector<std::int64_t> alert_percent) {
             return BudgetRule{std::move(scope), period, limit, std::move(alert_percent)};
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

  py::class_<Budget::Reservation>(m, "BudgetReservation").def_readonly("amount", &Budget::Reservation::amount);

  using Book = Locked<Budget>;
  using Wall = std::optional<WallTime>;
  py::class_<Book>(m, "Budget")
      .def(py::init([](std::vector<BudgetRule> rules) { return std::make_unique<Book>(std::move(rules)); }),
           py::arg("rules"))
      .def(
          "refusal",
          [](Book& self, const Scopes& scopes, std::optional<NanoUsd> worst_case, const Wall& wall) {
            return self.with([&](Budget& b) { return b.refusal(scopes, worst_case, wall_or_now(wall)); });
          },
          py::arg("scopes"), py::arg("worst_case"), py::arg("wall") = py::none())
      // Asking and setting aside under one lock: between the two, no other thread can take the room.
      .def(
          "reserve",
          [](Book& self, const Scopes& scopes, NanoUsd worst_case,
             const Wall& wall) -> std::optional<Budget::Reservation> {
            return self.with([&](Budget& b) -> std::optional<Budget::Reservation> {
              const WallTime at = wall_or_now(wall);
              if (b.refusal(scopes, worst_case, at)) return std::nullopt;
              return b.reserve(scopes, worst_case, at);
            });
          },
          py::arg("scopes"), py::arg("worst_case"), py::arg("wall") = py::none())
      .def(
          "settle",
          [](Book& self, const Budget::Reservation& reservation, NanoUsd actual, const Wall& wall) {
            return self.with([&](Budget& b) { return b.settle(reservation, actual, wall_or_now(wall)); });
          },
          py::arg("reservation"), py::arg("actual"), py::arg("wall") = py::none())
      .def(
          "release",
          [](Book& self, const Budget::Reservation& reservation) {
            self.with([&](Budget& b) { b.release(reservation); });
          },
          py::arg("reservation"))
      .def("reserved", [](Book& self) { return self.with([](Budget& b) { return b.reserved(); }); })
      .def("accounts", [](Book& self) {
        py::list list;
        for (const Budget::Account& account : self.with([](Budget& b) { return b.accounts(); })) {
          py::dict d;
          d["scope"] = account.scope;
          d["period"] = std::string(to_string(account.period));
          d["limit_nano_usd"] = account.limit;
          d["spent_nano_usd"] = account.spent;
          d["reserved_nano_usd"] = account.reserved;
          list.append(d);
        }
        return list;
      });
}

}  // namespace llmcore::bindings
