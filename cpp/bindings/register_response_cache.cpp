#include <memory>

#include "arguments.hpp"
#include "as_dict.hpp"
#include "bindings.hpp"
#include "fastcall.hpp"
#include "llmcore/io/clock.hpp"
#include "llmcore/response_cache.hpp"
#include "locked.hpp"

namespace llmcore::bindings {
namespace {

using Store = ResponseCache<py::object>;

class Cache : public Locked<Store> {
 public:
  explicit Cache(const ResponseCacheConfig& config) : Locked<Store>(config), ages_(config.ttl > 0) {}
  [[nodiscard]] bool ages() const noexcept { return ages_; }
  /// The instant given, or the clock's; where nothing ages, nobody has to look at a clock.
  [[nodiscard]] Instant time(const std::optional<Instant>& given) const {
    return ages_ ? instant_or_now(given) : given.value_or(0);
  }

 private:
  const bool ages_;
};

}  // namespace

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
  using At = std::optional<Instant>;
  py::class_<Cache> cache(m, "ResponseCache");
  cache
      .def(py::init([](const ResponseCacheConfig& config) { return std::make_unique<Cache>(config); }),
           py::arg("config") = ResponseCacheConfig{})
      .def("clear", [](Cache& self) { self.with([](Store& c) { c.clear(); }); })
      .def("stats", [](Cache& self) { return as_dict(self.with([](const Store& c) { return c.stats(); })); });
  def_fast(cache, "get", "key, now=None", [](Cache& self, PyBytes key, At now) -> PyObject* {
    const Fingerprint fingerprint = key_of(std::string_view(key.data(), key.size()));
    if (!now && self.ages()) {
      // A look at the exact clock takes as long as all the rest: only for what is about to age, or is not there.
      const Instant bound = add_saturated(io::coarse_mono(), kSecond);
      PyObject* young = self.with([&](Store& c) {
        const py::object* value = c.get_young(fingerprint, bound);
        return value != nullptr ? Py_NewRef(value->ptr()) : nullptr;
      });
      if (young != nullptr) return young;
    }
    const Instant at = self.time(now);
    return self.with([&](Store& c) {
      const py::object* value = c.get(fingerprint, at);
      return Py_NewRef(value != nullptr ? value->ptr() : Py_None);
    });
  });
  def_fast(cache, "put", "key, value, now=None", [](Cache& self, PyBytes key, PyBytes value, At now) {
    const Fingerprint fingerprint = key_of(std::string_view(key.data(), key.size()));
    const Instant at = self.time(now);
    py::object kept = plain(value.get());
    return self.with([&](Store& c) { return c.put(fingerprint, std::move(kept), value.size(), at); });
  });
  def_fast(cache, "erase", "key", [](Cache& self, PyBytes key) {
    const Fingerprint fingerprint = key_of(std::string_view(key.data(), key.size()));
    return self.with([&](Store& c) { return c.erase(fingerprint); });
  });
  def_fast(cache, "expire", "now=None",
           [](Cache& self, At now) { return self.with([&](Store& c) { return c.expire(instant_or_now(now)); }); });
}

}  // namespace llmcore::bindings
