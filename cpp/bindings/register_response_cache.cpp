#include <memory>

#include "bindings.hpp"
#include "llmcore/response_cache.hpp"
#include "locked.hpp"

namespace llmcore::bindings {

void register_response_cache(py::module_& m) {
  py::class_<ResponseCacheConfig>(m, "ResponseCacheConfig")
      .def(py::init([](std::int64_t max_entries, std::int64_t max_bytes, Duration ttl) {
             return ResponseCacheConfig{max_entries, max_bytes, ttl};
           }),
           py::arg("max_entries") = 10'000, py::arg("max_bytes") = 256 * 1024 * 1024, py::arg("ttl") = kHour)
      .def_readwrite("max_entries", &ResponseCacheConfig::max_entries)
      .def_readwrite("max_bytes", &ResponseCacheConfig::max_bytes)
      .def_readwrite("ttl", &ResponseCacheConfig::ttl);

  // Values are bytes kept by reference: they hold no reference to anything, so letting one go runs no code.
  using Cache = Locked<ResponseCache<py::object>>;
  using At = std::optional<Instant>;
  const auto key_of = [](std::string_view bytes) {
    Fingerprint key;
    if (bytes.size() != key.bytes.size()) throw py::value_error("a key has 32 bytes: see fingerprint()");
    std::copy(bytes.begin(), bytes.end(), key.bytes.begin());
    return key;
  };
  py::class_<Cache>(m, "ResponseCache")
      .def(py::init([](const ResponseCacheConfig& config) { return std::make_unique<Cache>(config); }),
           py::arg("config") = ResponseCacheConfig{})
      .def(
          "get",
          [key_of](Cache& self, std::string_view key, const At& now) -> std::optional<py::object> {
            const Fingerprint fingerprint = key_of(key);
            const Instant at = instant_or_now(now);
            return self.with([&](ResponseCache<py::object>& c) -> std::optional<py::object> {
              const py::object* value = c.get(fingerprint, at);
              return value != nullptr ? std::optional(*value) : std::nullopt;
            });
          },
          py::arg("key"), py::arg("now") = py::none())
      .def(
          "put",
          [key_of](Cache& self, std::string_view key, const py::bytes& value, const At& now) {
            const Fingerprint fingerprint = key_of(key);
            const auto size = static_cast<std::size_t>(py::len(value));
            const Instant at = instant_or_now(now);
            self.with([&](ResponseCache<py::object>& c) { c.put(fingerprint, value, size, at); });
          },
          py::arg("key"), py::arg("value"), py::arg("now") = py::none())
      .def(
          "erase",
          [key_of](Cache& self, std::string_view key) {
            const Fingerprint fingerprint = key_of(key);
            return self.with([&](ResponseCache<py::object>& c) { return c.erase(fingerprint); });
          },
          py::arg("key"))
      .def("clear", [](Cache& self) { self.with([](ResponseCache<py::object>& c) { c.clear(); }); })
      .def("stats", [](Cache& self) {
        const ResponseCacheStats s = self.with([](ResponseCache<py::object>& c) { return c.stats(); });
        py::dict d;
        d["hits"] = s.hits;
        d["misses"] = s.misses;
        d["hit_rate"] = static_cast<double>(s.hit_permille()) / 1000.0;
        d["insertions"] = s.insertions;
        d["evictions"] = s.evictions;
        d["expirations"] = s.expirations;
        d["rejected"] = s.rejected;
        d["entries"] = s.entries;
        d["bytes"] = s.bytes;
        return d;
      });
}

}  // namespace llmcore::bindings
