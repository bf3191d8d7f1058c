#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "as_dict.hpp"
#include "bindings.hpp"
#include "fastcall.hpp"
#include "llmcore/request_queue.hpp"
#include "locked.hpp"

namespace llmcore::bindings {
namespace {

// What push() says, made once per process.
PyObject* name_of(RequestQueue::Admission admission) {
  using Names = std::array<py::object, 4>;
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<Names> names;
  const Names& all = names
                         .call_once_and_store_result([] {
                           Names made;
                           const auto name = [&](RequestQueue::Admission of, const char* text) {
                             made[static_cast<std::size_t>(of)] = py::str(text);
                           };
                           name(RequestQueue::Admission::accepted, "accepted");
                           name(RequestQueue::Admission::class_full, "class_full");
                           name(RequestQueue::Admission::total_full, "total_full");
                           name(RequestQueue::Admission::duplicate, "duplicate");
                           return made;
                         })
                         .get_stored();
  return Py_NewRef(all[static_cast<std::size_t>(admission)].ptr());
}

// A Priority, and MEDIUM where the caller leaves it out.
struct OrMedium {
  Priority value = Priority::medium;
};

}  // namespace

template <>
struct fast::From<OrMedium> {
  using Stored = OrMedium;
  static constexpr bool kRequired = false;
  static bool load(PyObject* object, const Place& place, Stored& into) {
    return From<Priority>::load(object, place, into.value);
  }
  static Stored get(Stored stored) noexcept { return stored; }
};

py::dict as_dict(const RequestQueue::Stats& stats) {
  py::dict d;
  d["high"] = stats.waiting[0];
  d["medium"] = stats.waiting[1];
  d["low"] = stats.waiting[2];
  d["total"] = stats.total;
  d["accepted"] = stats.accepted;
  d["restored"] = stats.restored;
  d["dispatched"] = stats.dispatched;
  d["expired"] = stats.expired;
  d["removed"] = stats.removed;
  d["refused_class"] = stats.refused_class;
  d["refused_total"] = stats.refused_total;
  d["peak"] = stats.peak;
  return d;
}

void register_request_queue(py::module_& m) {
  py::class_<RequestQueueConfig>(m, "RequestQueueConfig")
      .def(py::init<>())
      .def_static("game", &RequestQueueConfig::game)
      .def_static("server", &RequestQueueConfig::server)
      .def_readwrite("class_capacity", &RequestQueueConfig::class_capacity)
      .def_readwrite("total_capacity", &RequestQueueConfig::total_capacity)
      .def_readwrite("class_timeout", &RequestQueueConfig::class_timeout)
      .def_readwrite("low_share", &RequestQueueConfig::low_share);

  using Queue = Locked<RequestQueue>;
  using At = std::optional<Instant>;
  fast_enum<Priority>(m, "Priority");
  py::class_<Queue> queue(m, "RequestQueue");
  queue
      .def(py::init([](const RequestQueueConfig& config) { return std::make_unique<Queue>(config); }),
           py::arg("config") = RequestQueueConfig{})
      .def(
          "expire",
          [](Queue& self, const At& now) {
            std::vector<RequestQueue::Id> ids;
            for (const auto& entry : self.with([&](RequestQueue& q) { return q.expire(instant_or_now(now)); })) {
              ids.push_back(entry.id);
            }
            return ids;
          },
          py::arg("now") = py::none())
      .def("__len__", [](Queue& self) { return self.with([](RequestQueue& q) { return q.size(); }); })
      .def(
          "__contains__",
          [](Queue& self, RequestQueue::Id id) { return self.with([&](RequestQueue& q) { return q.contains(id); }); },
          py::arg("id"))
      .def("stats", [](Queue& self) { return as_dict(self.with([](const RequestQueue& q) { return q.stats(); })); });
  def_fast(queue, "push", "id, priority=..., deadline=None, now=None",
           [](Queue& self, std::uint64_t id, OrMedium priority, At deadline, At now) {
             const Instant at = instant_or_now(now);
             return name_of(
                 self.with([&](RequestQueue& q) { return q.push(id, priority.value, deadline.value_or(kNever), at); }));
           });
  def_fast(queue, "pop", "", [](Queue& self) -> std::optional<std::uint64_t> {
    const auto entry = self.with([](RequestQueue& q) { return q.pop(); });
    return entry ? std::optional(entry->id) : std::nullopt;
  });
  def_fast(queue, "peek", "", [](Queue& self) -> std::optional<std::uint64_t> {
    const auto entry = self.with([](RequestQueue& q) { return q.peek(); });
    return entry ? std::optional(entry->id) : std::nullopt;
  });
  def_fast(queue, "remove", "id",
           [](Queue& self, std::uint64_t id) { return self.with([&](RequestQueue& q) { return q.remove(id); }); });
  def_fast(queue, "next_expiry", "", [](Queue& self) -> std::optional<std::int64_t> {
    const Instant next = self.with([](RequestQueue& q) { return q.next_expiry(); });
    return next == kNever ? std::nullopt : std::optional(next);
  });
}

}  // namespace llmcore::bindings
