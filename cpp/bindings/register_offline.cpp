#include "bindings.hpp"
#include "llmcore/offline.hpp"

namespace llmcore::bindings {
namespace {

ProblemType problem_named(std::string_view name) {
  for (const ProblemType problem :
       {ProblemType::general, ProblemType::dialogue, ProblemType::decision, ProblemType::analysis, ProblemType::summary,
        ProblemType::conflict, ProblemType::shortage, ProblemType::danger}) {
    if (OfflineGenerator::name_of(problem) == name) return problem;
  }
  throw py::value_error("unknown problem type '" + std::string(name) +
                        "': use general, dialogue, decision, analysis, summary, conflict, shortage or danger");
}

}  // namespace

void register_offline(py::module_& m) {
  py::class_<OfflineGenerator>(m, "OfflineGenerator")
      .def(py::init<>())
      .def(
          "generate",
          [](const OfflineGenerator& self, std::string_view problem, std::int64_t severity, std::uint64_t seed,
             const std::map<std::string, std::string>& placeholders, bool json) {
            OfflineRequest request;
            request.problem = problem_named(problem);
            request.severity = severity;
            request.seed = seed;
            request.placeholders.assign(placeholders.begin(), placeholders.end());
            request.json = json;
            return self.generate(request);
          },
          py::arg("problem") = "general", py::arg("severity") = 500, py::arg("seed") = 0,
          py::arg("placeholders") = std::map<std::string, std::string>{}, py::arg("json") = false)
      .def("stats", [](const OfflineGenerator& self) {
        const OfflineGenerator::Stats stats = self.stats();
        py::dict by_problem;
        for (std::size_t i = 0; i < kProblemTypeCount; ++i) {
          by_problem[py::str(std::string(OfflineGenerator::name_of(static_cast<ProblemType>(i))))] =
              stats.by_problem[i];
        }
        py::dict d;
        d["generated"] = stats.generated;
        d["json"] = stats.json;
        d["by_problem"] = by_problem;
        return d;
      });
  m.def(
      "offline_problem",
      [](std::string_view call_type) {
        return std::string(OfflineGenerator::name_of(OfflineGenerator::problem_of(call_type)));
      },
      py::arg("call_type"));
}

}  // namespace llmcore::bindings
