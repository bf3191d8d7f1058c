#include <memory>

#include "as_dict.hpp"
#include "bindings.hpp"
#include "llmcore/request_queue.hpp"
#include "locked.hpp"

namespace llmcore::bindings {
namespace {

const char* admission_name(RequestQueue::Admission admission) {
  switch (admission) {
    case RequestQueue::Admission::accepted: return "accepted";
    case RequestQueue::Admission::class_full: return "class_full";
    case RequestQueue::Admission::total_full: return "total_full";
    case RequestQueue::Admission::duplicate: return "duplicate";
  }
  return "accepted";
}

}  // namespace

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
  py::class_<Queue>(m, "RequestQueue")
      .def(py::init([](const RequestQueueConfig& config) { return std::make_unique<Queue>(config); }),
           py::arg("config") = RequestQueueConfig{})
      .def(
          "push",
          [](Queue& self, RequestQueue::Id id, Priority priority, const At& deadline, const At& now) {
            return admission_name(self.with(
                [&](RequestQueue& q) { return q.push(id, priority, deadline.value_or(kNever), instant_or_now(now)); }));
          },
          py::arg("id"), py::arg("priority") = Priority::medium, py::arg("deadline") = py::none(),
          py::arg("now") = py::none())
      .def("pop",
           [](Queue& self) -> std::optional<RequestQueue::Id> {
             const auto entry = self.with([](RequestQueue& q) { return q.pop(); });
             return entry ? std::optional(entry->id) : std::nullopt;
           })
      .def("peek",
           [](Queue& self) -> std::optional<RequestQueue::Id> {
             const auto entry = self.with([](RequestQueue& q) { return q.peek(); });
             return entry ? std::optional(entry->id) : std::nullopt;
           })
      .def(
          "remove",
          [](Queue& self, RequestQueue::Id id) { return self.with([&](RequestQueue& q) { return q.remove(id); }); },
          py::arg("id"))
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
      .def("next_expiry",
           [](Queue& self) -> std::optional<Instant> {
             const Instant next = self.with([](RequestQueue& q) { return q.next_expiry(); });
             return next == kNever ? std::nullopt : std::optional(next);
           })
      .def("__len__", [](Queue& self) { return self.with([](RequestQueue& q) { return q.size(); }); })
      .def(
          "__contains__",
          [](Queue& self, RequestQueue::Id id) { return self.with([&](RequestQueue& q) { return q.contains(id); }); },
          py::arg("id"))
      .def("stats", [](Queue& self) { return as_dict(self.with([](const RequestQueue& q) { return q.stats(); })); });
}

}  // namespace llmcore::bindings
