#include <memory>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "as_dict.hpp"
#include "bindings.hpp"
#include "llmcore/engine.hpp"
#include "llmcore/usage_report.hpp"
#include "locked.hpp"
#include "members.hpp"

namespace llmcore::bindings {
namespace {

using Machine = Locked<Engine>;

// A Python bytes object kept by reference, never copied. The engine lets go of it under its lock: see plain().
class BytesPayload final : public Payload {
 public:
  explicit BytesPayload(const py::bytes& bytes) : bytes_(plain(bytes)), size_(size_of(bytes)) {}
  [[nodiscard]] std::size_t size() const noexcept override { return size_; }
  [[nodiscard]] const py::bytes& bytes() const noexcept { return bytes_; }

 private:
  py::bytes bytes_;
  std::size_t size_;
};

Blob payload_of(const std::optional<py::bytes>& bytes) {
  return bytes ? std::make_shared<BytesPayload>(*bytes) : nullptr;
}

py::object bytes_of(const Blob& payload) {
  if (const auto* held = dynamic_cast<const BytesPayload*>(payload.get())) return held->bytes();
  return py::none();
}

Now now_of(Instant mono, WallTime wall) {
  check_count(mono, "mono");  // differences of any two then fit in 64 bits
  return Now{mono, wall};
}

void handle(Machine& machine, const Input& input, Now now) {
  machine.with([&](Engine& engine) { engine.handle(input, now); });
}

py::object as_python(Action&& action) {
  if (auto* sent = std::get_if<Send>(&action)) return py::cast(std::move(*sent));
  if (auto* aborted = std::get_if<Abort>(&action)) return py::cast(std::move(*aborted));
  if (auto* finished = std::get_if<Finish>(&action)) return py::cast(std::move(*finished));
  auto& record = std::get<Record>(action);
  if (auto* attempt = std::get_if<AttemptRecord>(&record.body)) return py::cast(std::move(*attempt));
  return py::cast(std::move(std::get<AlertRecord>(record.body)));
}

py::dict stats_dict(const EngineStats& s) {
  py::dict d;
  d["submitted"] = s.submitted;
  d["finished"] = s.finished;
  py::dict outcomes;
  for (std::size_t i = 0; i < kOutcomeCount; ++i) {
    outcomes[py::str(to_string(static_cast<Outcome>(i)))] = s.outcomes[i];
  }
  d["outcomes"] = outcomes;
  d["in_flight"] = s.in_flight;
  d["queued"] = s.queued;
  d["backing_off"] = s.backing_off;
  d["following"] = s.following;
  py::dict reserved;
  reserved["requests"] = s.reserved_requests;
  reserved["tokens"] = s.reserved_tokens;
  reserved["nano_usd"] = s.reserved_nano_usd;
  d["reserved"] = reserved;
  d["attempts"] = s.attempts;
  d["retries"] = s.retries;
  d["failovers"] = s.failovers;
  d["joined"] = s.joined;
  d["late"] = s.late;
  d["clock_regressions"] = s.clock_regressions;
  d["cache"] = as_dict(s.cache);
  py::list lanes;
  for (const LaneStats& lane : s.lanes) {
    py::dict one;
    one["tenant"] = lane.tenant;
    one["provider"] = lane.provider;
    one["limiter"] = as_dict(lane.limiter);
    one["queue"] = as_dict(lane.queue);
    lanes.append(one);
  }
  d["lanes"] = lanes;
  py::dict providers;
  for (const ProviderStats& p : s.providers) providers[py::str(p.provider)] = as_dict(p.recovery);
  d["providers"] = providers;
  d["budgets"] = as_list(s.budgets);
  return d;
}

}  // namespace

void register_engine(py::module_& m) {
  py::native_enum<Source>(m, "Source", "enum.IntEnum")
      .value("NONE", Source::none)
      .value("PROVIDER", Source::provider)
      .value("CACHE", Source::cache)
      .value("JOINED", Source::joined)
      .finalize();

  py::class_<Config>(m, "Config")
      .def(py::init<>())
      .def_static("game", &Config::game)
      .def_static("server", &Config::server)
      .def_readwrite("seed", &Config::seed)
      .def_readwrite("limits", &Config::limits)
      .def_readwrite("queue", &Config::queue)
      .def_readwrite("cache", &Config::cache)
      .def_readwrite("backoff", &Config::backoff)
      .def_readwrite("recovery", &Config::recovery)
      .def_readwrite("budgets", &Config::budgets)
      .def_readwrite("tracker", &Config::tracker)
      .def_readwrite("usage_scopes", &Config::usage_scopes)
      .def_readwrite("deadline", &Config::deadline)
      .def_readwrite("attempt_timeout", &Config::attempt_timeout)
      .def_readwrite("max_lanes", &Config::max_lanes)
      .def(
          "set_provider_limits",
          [](Config& config, const Text& provider, const RateLimiterConfig& limits) {
            config.provider_limits[provider.value] = limits;
          },
          py::arg("provider"), py::arg("limits"))
      .def("problems", &Config::problems);

  py::class_<Target>(m, "Target")
      .def(py::init([](Text provider, Text model, std::int64_t input_tokens, std::int64_t output_tokens,
                       std::int64_t images, std::shared_ptr<PriceCard> price, bool always_answers) {
             check_count(input_tokens, "input_tokens");
             check_count(output_tokens, "output_tokens");
             check_count(images, "images");
             return Target{std::move(provider.value), std::move(model.value), input_tokens, output_tokens, images,
                           std::move(price),          always_answers};
           }),
           py::arg("provider"), py::arg("model"), py::arg("input_tokens") = 0, py::arg("output_tokens") = 0,
           py::arg("images") = 0, py::arg("price") = py::none(), py::arg("always_answers") = false)
      .def_readonly("provider", &Target::provider)
      .def_readonly("model", &Target::model)
      .def_readonly("input_tokens", &Target::input_tokens)
      .def_readonly("output_tokens", &Target::output_tokens)
      .def_readonly("images", &Target::images)
      .def_readonly("always_answers", &Target::always_answers);

  py::class_<Send>(m, "Send")
      .def_readonly("call", &Send::call)
      .def_readonly("attempt", &Send::attempt)
      .def_readonly("number", &Send::number)
      .def_readonly("target", &Send::target)
      .def_readonly("not_after", &Send::not_after)
      .def_readonly("worst_case", &Send::worst_case);
  py::class_<Abort>(m, "Abort").def_readonly("call", &Abort::call).def_readonly("attempt", &Abort::attempt);
  py::class_<AttemptRecord>(m, "AttemptRecord")
      .def_readonly("call", &AttemptRecord::call)
      .def_readonly("attempt", &AttemptRecord::attempt)
      .def_readonly("number", &AttemptRecord::number)
      .def_readonly("target", &AttemptRecord::target)
      .def_readonly("provider", &AttemptRecord::provider)
      .def_readonly("model", &AttemptRecord::model)
      .def_property_readonly("outcome",
                             [](const AttemptRecord& r) { return member_of<Outcome, kOutcomeCount>(r.outcome); })
      .def_readonly("usage", &AttemptRecord::usage)
      .def_readonly("cost", &AttemptRecord::cost)
      .def_readonly("started", &AttemptRecord::started)
      .def_readonly("latency", &AttemptRecord::latency)
      .def_readonly("retry_after", &AttemptRecord::retry_after);
  py::class_<Finish>(m, "Finish")
      .def_readonly("call", &Finish::call)
      .def_property_readonly("outcome", [](const Finish& f) { return member_of<Outcome, kOutcomeCount>(f.outcome); })
      .def_property_readonly("source", [](const Finish& f) { return member_of<Source, 4>(f.source); })
      .def_readonly("target", &Finish::target)
      .def_readonly("provider", &Finish::provider)
      .def_readonly("model", &Finish::model)
      .def_readonly("attempts", &Finish::attempts)
      .def_readonly("fallback", &Finish::fallback)
      .def_readonly("usage", &Finish::usage)
      .def_readonly("cost", &Finish::cost)
      .def_readonly("saved", &Finish::saved)
      .def_readonly("latency", &Finish::latency)
      .def_readonly("queued", &Finish::queued)
      .def_readonly("first_token", &Finish::first_token)
      .def_property_readonly("payload", [](const Finish& f) { return bytes_of(f.payload); })
      .def_readonly("retry_hint", &Finish::retry_hint)
      .def_readonly("refusal", &Finish::refusal);

  py::class_<Machine>(m, "Engine")
      .def(py::init([](const Config& config) { return std::make_unique<Machine>(config); }), py::arg("config"))
      .def(
          "submit",
          [](Machine& self, Text tenant, Text call_type, Priority priority, Duration deadline,
             const std::optional<py::bytes>& key, std::vector<Target> targets,
             std::vector<std::pair<Text, Text>> scopes, Instant mono, WallTime wall) {
            const Now now = now_of(mono, wall);
            Submit call{std::move(tenant.value),
                        std::move(call_type.value),
                        priority,
                        deadline,
                        key ? std::optional(key_of(*key)) : std::nullopt,
                        std::move(targets),
                        scopes_of(std::move(scopes))};
            return self.with([&](Engine& engine) { return engine.submit(std::move(call), now); });
          },
          py::arg("tenant"), py::arg("call_type"), py::arg("priority"), py::arg("deadline"), py::arg("key"),
          py::arg("targets"), py::arg("scopes"), py::arg("mono"), py::arg("wall"))
      .def(
          "streaming",
          [](Machine& self, AttemptId attempt, Instant mono, WallTime wall) {
            handle(self, Streaming{attempt}, now_of(mono, wall));
          },
          py::arg("attempt"), py::arg("mono"), py::arg("wall"))
      .def(
          "replied",
          [](Machine& self, AttemptId attempt, const Usage& usage, std::shared_ptr<PriceCard> price,
             const std::optional<py::bytes>& payload, Instant mono, WallTime wall) {
            handle(self, Replied{attempt, usage, std::move(price), payload_of(payload)}, now_of(mono, wall));
          },
          py::arg("attempt"), py::arg("usage"), py::arg("price"), py::arg("payload"), py::arg("mono"), py::arg("wall"))
      .def(
          "failed",
          [](Machine& self, AttemptId attempt, Outcome outcome, std::optional<bool> should_retry, Duration retry_after,
             const Usage& usage, std::shared_ptr<PriceCard> price, Instant mono, WallTime wall) {
            check_count(retry_after, "retry_after");
            handle(self, Failed{attempt, outcome, should_retry, retry_after, usage, std::move(price)},
                   now_of(mono, wall));
          },
          py::arg("attempt"), py::arg("outcome"), py::arg("should_retry"), py::arg("retry_after"), py::arg("usage"),
          py::arg("price"), py::arg("mono"), py::arg("wall"))
      .def(
          "observed",
          [](Machine& self, Text tenant, Text provider, const RateObservation& limits, Instant mono, WallTime wall) {
            handle(self, Observed{std::move(tenant.value), std::move(provider.value), limits}, now_of(mono, wall));
          },
          py::arg("tenant"), py::arg("provider"), py::arg("limits"), py::arg("mono"), py::arg("wall"))
      .def(
          "cancel",
          [](Machine& self, CallId call, Instant mono, WallTime wall) {
            handle(self, Cancel{call}, now_of(mono, wall));
          },
          py::arg("call"), py::arg("mono"), py::arg("wall"))
      .def(
          "tick", [](Machine& self, Instant mono, WallTime wall) { handle(self, Tick{}, now_of(mono, wall)); },
          py::arg("mono"), py::arg("wall"))
      .def("drain",
           [](Machine& self) {
             std::vector<Action> actions;
             self.with([&](Engine& engine) {
               while (std::optional<Action> action = engine.poll()) actions.push_back(std::move(*action));
             });
             py::list list(actions.size());
             std::size_t i = 0;
             for (Action& action : actions) list[i++] = as_python(std::move(action));
             return list;
           })
      .def("next_deadline",
           [](Machine& self) { return self.with([](const Engine& engine) { return engine.next_deadline(); }); })
      .def("stats",
           [](Machine& self) { return stats_dict(self.with([](const Engine& engine) { return engine.stats(); })); })
      .def("tracker",
           [](Machine& self) {
             return std::make_unique<Locked<TokenTracker>>(
                 self.with([](const Engine& engine) { return TokenTracker(engine.tracker()); }));
           })
      .def("report_json",
           [](Machine& self) {
             return self.with(
                 [](const Engine& engine) { return usage_report_json(engine.tracker(), engine.stats().budgets); });
           })
      .def(
          "report_text",
          [](Machine& self, std::int64_t rows) {
            check_count(rows, "rows");
            return self.with([rows](const Engine& engine) {
              return usage_report_text(engine.tracker(), engine.stats().budgets, static_cast<std::size_t>(rows));
            });
          },
          py::arg("rows") = 20)
      .def("state_hash",
           [](Machine& self) { return self.with([](const Engine& engine) { return engine.state_hash(); }); })
      .def("check", [](Machine& self) { return self.with([](const Engine& engine) { return engine.check(); }); });
}

}  // namespace llmcore::bindings
