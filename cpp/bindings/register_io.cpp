#include "bindings.hpp"
#include "llmcore/io/clock.hpp"
#include "llmcore/io/uuid7.hpp"

namespace llmcore::bindings {

void register_io(py::module_& m) {
  m.def("now", [] {
    const Now now = io::now();
    return py::make_tuple(now.mono, now.wall);
  });
  m.def(
      "uuid7", [](std::optional<WallTime> wall) { return io::uuid7(wall ? *wall : io::now().wall); },
      py::arg("wall_ns") = py::none());
  m.def("uuid7_milliseconds", &io::uuid7_milliseconds, py::arg("text"));
}

}  // namespace llmcore::bindings
