#include <memory>

#include "arguments.hpp"
#include "as_dict.hpp"
#include "bindings.hpp"
#include "llmcore/response_cache.hpp"
#include "locked.hpp"

namespace llmcore::bindings {

py::dict as_dict(const ResponseCacheStats& stats) {
  py::dict d;
  d["hits"] = stats.hits;
  d["misses"] = stats.misses;
  d["hit_rate"] = static_cast<double>(stats.hit_permille()) / 1000.0;
  d["insertions"] = stats.insertions;
  d["evictions"] = stats.evictions;
  d["expirations"] = stats.expirations;
  d["rejected"] = stats.rejected;
  d["entries"] = stats.entries;
  d["bytes"] = stats.bytes;
  d["ghosts"] = stats.ghosts;
  return d;
}

void register_response_cache(py::module_& m) {
  py::class_<ResponseCacheConfig>(m, "ResponseCacheConfig")
      .def(py::init([](std::int64_t max_entries, std::int64_t max_bytes, Duration ttl) {
             return ResponseCacheConfig{max_entries, max_bytes, ttl};
           }),
           py::arg("max_entries") = 10'000, py::arg("max_bytes") = 256 * 1024 * 1024, py::arg("ttl") = kHour)
      .def_readwrite("max_entries", &ResponseCacheConfig::max_entries)
      .def_readwrite("max_bytes", &ResponseCacheConfig::max_bytes)
      .def_readwrite("ttl", &ResponseCacheConfig::ttl);

  // Values are kept by reference, never copied, and let go of under the lock: see plain().
  using Store = ResponseCache<py::object>;
  using Cache = Locked<Store>;
  using At = std::optional<Instant>;
  py::class_<Cache>(m, "ResponseCache")
      .def(py::init([](const ResponseCacheConfig& config) { return std::make_unique<Cache>(config); }),
           py::arg("config") = ResponseCacheConfig{})
      .def(
          "get",
          [](Cache& self, const py::bytes& key, const At& now) -> std::optional<py::object> {
            const Fingerprint fingerprint = key_of(key);
            return self.with([&](Store& c) -> std::optional<py::object> {
              const py::object* value = c.get(fingerprint, instant_or_now(now));
              return value != nullptr ? std::optional(*value) : std::nullopt;
            });
          },
          py::arg("key"), py::arg("now") = py::none())
      .def(
          "put",
          [](Cache& self, const py::bytes& key, const py::bytes& value, const At& now) {
            const Fingerprint fingerprint = key_of(key);
            py::object kept = plain(value);
            return self.with(
                [&](Store& c) { return c.put(fingerprint, std::move(kept), size_of(value), instant_or_now(now)); });
          },
          py::arg("key"), py::arg("value"), py::arg("now") = py::none())
      .def(
          "erase",
          [](Cache& self, const py::bytes& key) {
            const Fingerprint fingerprint = key_of(key);
            return self.with([&](Store& c) { return c.erase(fingerprint); });
          },
          py::arg("key"))
      .def(
          "expire",
          [](Cache& self, const At& now) { return self.with([&](Store& c) { return c.expire(instant_or_now(now)); }); },
          py::arg("now") = py::none())
      .def("clear", [](Cache& self) { self.with([](Store& c) { c.clear(); }); })
      .def("stats", [](Cache& self) { return as_dict(self.with([](const Store& c) { return c.stats(); })); });
}

}  // namespace llmcore::bindings
