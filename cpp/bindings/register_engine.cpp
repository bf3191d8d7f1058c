#include <memory>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "as_dict.hpp"
#include "bindings.hpp"
#include "fastcall.hpp"
#include "llmcore/engine.hpp"
#include "llmcore/io/replay.hpp"
#include "llmcore/usage_report.hpp"
#include "locked.hpp"
#include "members.hpp"

namespace llmcore::bindings {
namespace {

// An engine whose inputs are recorded as it takes them, under its lock and so in its order, where there is a recorder.
class Driven : public Engine {
 public:
  Driven(const Config& config, std::shared_ptr<io::ReplayLogger> recorder) : Engine(config) {
    if (recorder == nullptr || !recorder->records_engine()) return;
    recorder_ = std::move(recorder);
    recorder_->start(config);
  }

  CallId submit(Submit call, Now now) {
    if (recorder_ == nullptr) return Engine::submit(std::move(call), now);
    const Input input = call;
    const CallId id = Engine::submit(std::move(call), now);
    recorder_->input(input, now, state_hash());
    return id;
  }
  void handle(const Input& input, Now now) {
    Engine::handle(input, now);
    if (recorder_ != nullptr) recorder_->input(input, now, state_hash());
  }

 private:
  std::shared_ptr<io::ReplayLogger> recorder_;
};

using Machine = Locked<Driven>;

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

Blob payload_of(const std::optional<PyBytes>& bytes) {
  return bytes ? std::make_shared<BytesPayload>(bytes->get()) : nullptr;
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
  machine.with([&](Driven& driven) { driven.handle(input, now); });
}

AttemptRecord attempt_of(const py::tuple& state) {
  if (state.size() != 12) throw py::value_error("an AttemptRecord has 12 fields");
  const auto outcome = state[6].cast<std::int64_t>();
  if (outcome < 0 || outcome >= static_cast<std::int64_t>(kOutcomeCount)) {
    throw py::value_error("an AttemptRecord has no outcome " + std::to_string(outcome));
  }
  return AttemptRecord{
      state[0].cast<CallId>(),        state[1].cast<AttemptId>(),  state[2].cast<std::uint32_t>(),
      state[3].cast<std::uint32_t>(), state[4].cast<Text>().value, state[5].cast<Text>().value,
      static_cast<Outcome>(outcome),  state[7].cast<Usage>(),      state[8].cast<std::optional<NanoUsd>>(),
      state[9].cast<WallTime>(),      state[10].cast<Duration>(),  state[11].cast<Duration>()};
}

PyObject* as_python(Action&& action) {
  if (auto* sent = std::get_if<Send>(&action)) return wrap(std::move(*sent));
  if (auto* aborted = std::get_if<Abort>(&action)) return wrap(std::move(*aborted));
  if (auto* finished = std::get_if<Finish>(&action)) return wrap(std::move(*finished));
  auto& record = std::get<Record>(action);
  if (auto* attempt = std::get_if<AttemptRecord>(&record.body)) return wrap(std::move(*attempt));
  return py::cast(std::move(std::get<AlertRecord>(record.body))).release().ptr();
}

// The items of a sequence, for as long as this lives. A str is a sequence of str: as a list of anything it is a mistake.
class Items {
 public:
  bool load(PyObject* object, const fast::Place& place, const char* wanted) {
    if (PyUnicode_Check(object) || PyBytes_Check(object) || PySequence_Check(object) == 0) {
      return fast::refuse(place, wanted, object);
    }
    items_ = py::reinterpret_steal<py::object>(PySequence_Fast(object, wanted));
    return static_cast<bool>(items_);
  }
  [[nodiscard]] PyObject** begin() const { return PySequence_Fast_ITEMS(items_.ptr()); }
  [[nodiscard]] PyObject** end() const { return begin() + PySequence_Fast_GET_SIZE(items_.ptr()); }
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(PySequence_Fast_GET_SIZE(items_.ptr())); }

 private:
  py::object items_;
};

}  // namespace

// Converters of the arguments that only the engine has.
template <>
struct fast::From<std::vector<Target>> {
  using Stored = std::vector<Target>;
  static constexpr bool kRequired = true;
  static bool load(PyObject* object, const Place& place, Stored& into) {
    Items items;
    if (!items.load(object, place, "a sequence of Target")) return false;
    into.reserve(items.size());
    for (PyObject* item : items) {
      Target* target = nullptr;
      if (!From<const Target&>::load(item, place, target)) return false;
      into.push_back(*target);
    }
    return true;
  }
  static Stored get(Stored& stored) noexcept { return std::move(stored); }
};

template <>
struct fast::From<Scopes> {
  using Stored = Scopes;
  static constexpr bool kRequired = true;
  static bool load(PyObject* object, const Place& place, Stored& into) {
    Items items;
    if (!items.load(object, place, "a sequence of pairs of str")) return false;
    into.reserve(items.size());
    for (PyObject* item : items) {
      Items pair;
      if (!pair.load(item, place, "a sequence of pairs of str")) return false;
      if (pair.size() != 2) return refuse(place, "a sequence of pairs of str", item);
      std::string_view key;
      std::string_view value;
      if (!From<std::string_view>::load(pair.begin()[0], place, key)) return false;
      if (!From<std::string_view>::load(pair.begin()[1], place, value)) return false;
      into.emplace_back(key, value);
    }
    return true;
  }
  static Stored get(Stored& stored) noexcept { return std::move(stored); }
};

namespace {

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

  py::class_<Target> target(m, "Target");
  fast_class(target);
  target
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

  py::class_<Send> send(m, "Send");
  def_fast_field<&Send::call>(send, "call");
  def_fast_field<&Send::attempt>(send, "attempt");
  def_fast_field<&Send::number>(send, "number");
  def_fast_field<&Send::target>(send, "target");
  def_fast_field<&Send::not_after>(send, "not_after");
  def_fast_field<&Send::worst_case>(send, "worst_case");

  py::class_<Abort> abort(m, "Abort");
  def_fast_field<&Abort::call>(abort, "call");
  def_fast_field<&Abort::attempt>(abort, "attempt");

  py::class_<AttemptRecord> record(m, "AttemptRecord");
  def_fast_field<&AttemptRecord::call>(record, "call");
  def_fast_field<&AttemptRecord::attempt>(record, "attempt");
  def_fast_field<&AttemptRecord::number>(record, "number");
  def_fast_field<&AttemptRecord::target>(record, "target");
  def_fast_field<&AttemptRecord::provider>(record, "provider");
  def_fast_field<&AttemptRecord::model>(record, "model");
  def_fast_field<&AttemptRecord::cost>(record, "cost");
  def_fast_field<&AttemptRecord::started>(record, "started");
  def_fast_field<&AttemptRecord::latency>(record, "latency");
  def_fast_field<&AttemptRecord::retry_after>(record, "retry_after");
  record.def_readonly("usage", &AttemptRecord::usage).def_property_readonly("outcome", [](const AttemptRecord& r) {
    return member_of<Outcome, kOutcomeCount>(r.outcome);
  });
  // Every field in order, the usage as it is: a ledger writes attempts down and reads them back.
  record.def(py::pickle(
      [](const AttemptRecord& r) {
        return py::make_tuple(r.call, r.attempt, r.number, r.target, r.provider, r.model, static_cast<int>(r.outcome),
                              r.usage, r.cost, r.started, r.latency, r.retry_after);
      },
      &attempt_of));

  py::class_<Finish> finish(m, "Finish");
  def_fast_field<&Finish::call>(finish, "call");
  def_fast_field<&Finish::target>(finish, "target");
  def_fast_field<&Finish::provider>(finish, "provider");
  def_fast_field<&Finish::model>(finish, "model");
  def_fast_field<&Finish::attempts>(finish, "attempts");
  def_fast_field<&Finish::fallback>(finish, "fallback");
  def_fast_field<&Finish::cost>(finish, "cost");
  def_fast_field<&Finish::saved>(finish, "saved");
  def_fast_field<&Finish::latency>(finish, "latency");
  def_fast_field<&Finish::queued>(finish, "queued");
  def_fast_field<&Finish::first_token>(finish, "first_token");
  def_fast_field<&Finish::retry_hint>(finish, "retry_hint");
  finish.def_readonly("usage", &Finish::usage)
      .def_property_readonly("outcome", [](const Finish& f) { return member_of<Outcome, kOutcomeCount>(f.outcome); })
      .def_property_readonly("source", [](const Finish& f) { return member_of<Source, 4>(f.source); })
      .def_property_readonly("payload", [](const Finish& f) { return bytes_of(f.payload); })
      .def_readonly("refusal", &Finish::refusal);

  py::class_<Machine> engine(m, "Engine");
  engine
      .def(py::init([](const Config& config, std::shared_ptr<io::ReplayLogger> recorder) {
             return std::make_unique<Machine>(config, std::move(recorder));
           }),
           py::arg("config"), py::arg("recorder") = py::none())
      .def("stats", [](Machine& self) { return stats_dict(self.with([](const Engine& e) { return e.stats(); })); })
      .def("tracker",
           [](Machine& self) {
             return std::make_unique<Locked<TokenTracker>>(
                 self.with([](const Engine& e) { return TokenTracker(e.tracker()); }));
           })
      .def("report_json",
           [](Machine& self) {
             return self.with([](const Engine& e) { return usage_report_json(e.tracker(), e.stats().budgets); });
           })
      .def(
          "report_text",
          [](Machine& self, std::int64_t rows) {
            check_count(rows, "rows");
            return self.with([rows](const Engine& e) {
              return usage_report_text(e.tracker(), e.stats().budgets, static_cast<std::size_t>(rows));
            });
          },
          py::arg("rows") = 20)
      .def("state_hash", [](Machine& self) { return self.with([](const Engine& e) { return e.state_hash(); }); })
      .def("check", [](Machine& self) { return self.with([](const Engine& e) { return e.check(); }); });
  def_fast(engine, "submit", "tenant, call_type, priority, deadline, key, targets, scopes, mono, wall",
           [](Machine& self, std::string_view tenant, std::string_view call_type, Priority priority, Duration deadline,
              Nullable<PyBytes> key, std::vector<Target> targets, Scopes scopes, Instant mono, WallTime wall) {
             const Now now = now_of(mono, wall);
             Submit call{std::string(tenant),
                         std::string(call_type),
                         priority,
                         deadline,
                         key.value ? std::optional(key_of(key.value->get())) : std::nullopt,
                         std::move(targets),
                         std::move(scopes)};
             return self.with([&](Driven& driven) { return driven.submit(std::move(call), now); });
           });
  def_fast(engine, "streaming", "attempt, mono, wall",
           [](Machine& self, AttemptId attempt, Instant mono, WallTime wall) {
             handle(self, Streaming{attempt}, now_of(mono, wall));
           });
  def_fast(engine, "replied", "attempt, usage, price, payload, mono, wall",
           [](Machine& self, AttemptId attempt, const Usage& usage, std::shared_ptr<PriceCard> price,
              Nullable<PyBytes> payload, Instant mono, WallTime wall) {
             handle(self, Replied{attempt, usage, std::move(price), payload_of(payload.value)}, now_of(mono, wall));
           });
  def_fast(engine, "failed", "attempt, outcome, should_retry, retry_after, usage, price, mono, wall",
           [](Machine& self, AttemptId attempt, Outcome outcome, Nullable<bool> should_retry, Duration retry_after,
              const Usage& usage, std::shared_ptr<PriceCard> price, Instant mono, WallTime wall) {
             check_count(retry_after, "retry_after");
             handle(self, Failed{attempt, outcome, should_retry.value, retry_after, usage, std::move(price)},
                    now_of(mono, wall));
           });
  def_fast(engine, "observed", "tenant, provider, limits, mono, wall",
           [](Machine& self, std::string_view tenant, std::string_view provider, const RateObservation& limits,
              Instant mono, WallTime wall) {
             handle(self, Observed{std::string(tenant), std::string(provider), limits}, now_of(mono, wall));
           });
  def_fast(engine, "cancel", "call, mono, wall", [](Machine& self, CallId call, Instant mono, WallTime wall) {
    handle(self, Cancel{call}, now_of(mono, wall));
  });
  def_fast(engine, "tick", "mono, wall",
           [](Machine& self, Instant mono, WallTime wall) { handle(self, Tick{}, now_of(mono, wall)); });
  def_fast(engine, "drain", "", [](Machine& self) {
    std::vector<Action> actions;
    self.with([&](Engine& e) {
      while (std::optional<Action> action = e.poll()) actions.push_back(std::move(*action));
    });
    py::list list(actions.size());
    Py_ssize_t i = 0;
    for (Action& action : actions) PyList_SET_ITEM(list.ptr(), i++, as_python(std::move(action)));
    return py::object(std::move(list));
  });
  def_fast(engine, "next_deadline", "",
           [](Machine& self) { return self.with([](const Engine& e) { return e.next_deadline(); }); });
}

}  // namespace llmcore::bindings
