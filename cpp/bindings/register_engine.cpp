#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "llmcore/engine.hpp"
#include "locked.hpp"
#include "members.hpp"

namespace llmcore::bindings {
namespace {

// A Python bytes object kept by reference: bytes hold no reference to anything and run no code when they go.
class BytesPayload final : public Payload {
 public:
  explicit BytesPayload(py::bytes bytes) : bytes_(std::move(bytes)), size_(static_cast<std::size_t>(py::len(bytes_))) {}
  [[nodiscard]] std::size_t size() const noexcept override { return size_; }
  [[nodiscard]] const py::bytes& bytes() const noexcept { return bytes_; }

 private:
  py::bytes bytes_;
  std::size_t size_;
};

Blob payload_of(const std::optional<py::bytes>& bytes) {
  if (!bytes) return nullptr;
  return std::make_shared<BytesPayload>(*bytes);
}

py::object bytes_of(const Blob& payload) {
  if (const auto* held = dynamic_cast<const BytesPayload*>(payload.get())) return held->bytes();
  return py::none();
}

std::optional<Fingerprint> key_of(const std::optional<std::string_view>& bytes) {
  if (!bytes) return std::nullopt;
  Fingerprint key;
  if (bytes->size() != key.bytes.size()) throw py::value_error("a key has 32 bytes");
  std::copy(bytes->begin(), bytes->end(), key.bytes.begin());
  return key;
}

// The engine behind its one mutex. Arguments are converted before it is taken, results after it is released.
class LockedEngine {
 public:
  explicit LockedEngine(const Config& config) : engine_(config) {}

  CallId submit(Submit submit, Now now) {
    const std::lock_guard<std::mutex> hold(mutex_);
    return engine_.submit(std::move(submit), now);
  }
  void handle(const Input& input, Now now) {
    const std::lock_guard<std::mutex> hold(mutex_);
    engine_.handle(input, now);
  }
  std::vector<Action> drain() {
    std::vector<Action> actions;
    const std::lock_guard<std::mutex> hold(mutex_);
    while (std::optional<Action> action = engine_.poll()) actions.push_back(std::move(*action));
    return actions;
  }
  std::optional<Instant> next_deadline() const {
    const std::lock_guard<std::mutex> hold(mutex_);
    return engine_.next_deadline();
  }
  EngineStats stats() const {
    const std::lock_guard<std::mutex> hold(mutex_);
    return engine_.stats();
  }
  TokenTracker tracker() const {
    const std::lock_guard<std::mutex> hold(mutex_);
    return engine_.tracker();
  }
  std::uint64_t state_hash() const {
    const std::lock_guard<std::mutex> hold(mutex_);
    return engine_.state_hash();
  }
  std::string check() const {
    const std::lock_guard<std::mutex> hold(mutex_);
    return engine_.check();
  }

 private:
  mutable std::mutex mutex_;
  Engine engine_;
};

py::object as_python(Action&& action) {
  if (auto* sent = std::get_if<Send>(&action)) return py::cast(std::move(*sent));
  if (auto* aborted = std::get_if<Abort>(&action)) return py::cast(std::move(*aborted));
  if (auto* finished = std::get_if<Finish>(&action)) return py::cast(std::move(*finished));
  auto& record = std::get<Record>(action);
  if (auto* attempt = std::get_if<AttemptRecord>(&record.body)) return py::cast(std::move(*attempt));
  return py::cast(std::move(std::get<AlertRecord>(record.body)));
}

py::dict limiter_dict(const RateLimiter::Stats& s) {
  py::dict d;
  d["admitted"] = s.admitted;
  d["denied"] = s.denied;
  d["in_flight"] = s.in_flight;
  d["reserved_tokens"] = s.reserved_tokens;
  d["available_requests"] = s.available_requests;
  d["available_tokens"] = s.available_tokens;
  d["pauses"] = s.pauses;
  return d;
}

py::dict queue_dict(const RequestQueue::Stats& s) {
  py::dict d;
  d["high"] = s.waiting[0];
  d["medium"] = s.waiting[1];
  d["low"] = s.waiting[2];
  d["total"] = s.total;
  d["accepted"] = s.accepted;
  d["dispatched"] = s.dispatched;
  d["expired"] = s.expired;
  d["removed"] = s.removed;
  d["refused"] = s.refused_class + s.refused_total;
  d["peak"] = s.peak;
  return d;
}

py::dict cache_dict(const ResponseCacheStats& s) {
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
}

const char* health_name(Health health) {
  switch (health) {
    case Health::healthy: return "healthy";
    case Health::degraded: return "degraded";
    case Health::probing: return "probing";
  }
  return "healthy";
}

py::dict stats_dict(const EngineStats& s) {
  py::dict d;
  d["submitted"] = s.submitted;
  d["finished"] = s.finished;
  py::dict outcomes;
  for (std::size_t i = 0; i < kOutcomeCount; ++i) {
    outcomes[py::str(std::string(to_string(static_cast<Outcome>(i))))] = s.outcomes[i];
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
  d["cache"] = cache_dict(s.cache);
  py::list lanes;
  for (const LaneStats& lane : s.lanes) {
    py::dict one;
    one["tenant"] = lane.tenant;
    one["provider"] = lane.provider;
    one["limiter"] = limiter_dict(lane.limiter);
    one["queue"] = queue_dict(lane.queue);
    lanes.append(one);
  }
  d["lanes"] = lanes;
  py::dict providers;
  for (const ProviderStats& p : s.providers) {
    py::dict one;
    one["health"] = health_name(p.recovery.health);
    one["consecutive_errors"] = p.recovery.consecutive_errors;
    one["errors"] = p.recovery.errors;
    one["successes"] = p.recovery.successes;
    one["calls"] = p.recovery.calls;
    one["retries"] = p.recovery.retries;
    one["retries_refused"] = p.recovery.retries_refused;
    one["breaker_opened"] = p.recovery.breaker_opened;
    providers[py::str(p.provider)] = one;
  }
  d["providers"] = providers;
  py::list budgets;
  for (const Budget::Account& account : s.budgets) {
    py::dict one;
    one["scope"] = account.scope;
    one["period"] = std::string(to_string(account.period));
    one["limit_nano_usd"] = account.limit;
    one["spent_nano_usd"] = account.spent;
    one["reserved_nano_usd"] = account.reserved;
    budgets.append(one);
  }
  d["budgets"] = budgets;
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
      .def_readwrite("deadline", &Config::deadline)
      .def_readwrite("attempt_timeout", &Config::attempt_timeout)
      .def_readwrite("max_lanes", &Config::max_lanes)
      .def(
          "set_provider_limits",
          [](Config& config, const std::string& provider, const RateLimiterConfig& limits) {
            config.provider_limits[provider] = limits;
          },
          py::arg("provider"), py::arg("limits"))
      .def("problems", &Config::problems);

  py::class_<Target>(m, "Target")
      .def(py::init([](std::string provider, std::string model, std::int64_t input_tokens, std::int64_t output_tokens,
                       std::int64_t images, std::shared_ptr<PriceCard> price, bool always_answers) {
             return Target{std::move(provider), std::move(model), input_tokens, output_tokens, images,
                           std::move(price),    always_answers};
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
      .def_readonly("not_after", &Send::not_after);
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

  py::class_<LockedEngine>(m, "Engine")
      .def(py::init<const Config&>(), py::arg("config"))
      .def(
          "submit",
          [](LockedEngine& engine, std::string tenant, std::string call_type, Priority priority, Duration deadline,
             const std::optional<std::string_view>& key, std::vector<Target> targets, Scopes scopes, Instant mono,
             WallTime wall) {
            return engine.submit(Submit{std::move(tenant), std::move(call_type), priority, deadline, key_of(key),
                                        std::move(targets), std::move(scopes)},
                                 Now{mono, wall});
          },
          py::arg("tenant"), py::arg("call_type"), py::arg("priority"), py::arg("deadline"), py::arg("key"),
          py::arg("targets"), py::arg("scopes"), py::arg("mono"), py::arg("wall"))
      .def(
          "streaming",
          [](LockedEngine& engine, AttemptId attempt, Instant mono, WallTime wall) {
            engine.handle(Streaming{attempt}, Now{mono, wall});
          },
          py::arg("attempt"), py::arg("mono"), py::arg("wall"))
      .def(
          "replied",
          [](LockedEngine& engine, AttemptId attempt, const Usage& usage, std::shared_ptr<PriceCard> price,
             const std::optional<py::bytes>& payload, Instant mono, WallTime wall) {
            engine.handle(Replied{attempt, usage, std::move(price), payload_of(payload)}, Now{mono, wall});
          },
          py::arg("attempt"), py::arg("usage"), py::arg("price"), py::arg("payload"), py::arg("mono"), py::arg("wall"))
      .def(
          "failed",
          [](LockedEngine& engine, AttemptId attempt, Outcome outcome, std::optional<bool> should_retry,
             Duration retry_after, const Usage& usage, std::shared_ptr<PriceCard> price, Instant mono, WallTime wall) {
            engine.handle(Failed{attempt, outcome, should_retry, retry_after, usage, std::move(price)},
                          Now{mono, wall});
          },
          py::arg("attempt"), py::arg("outcome"), py::arg("should_retry"), py::arg("retry_after"), py::arg("usage"),
          py::arg("price"), py::arg("mono"), py::arg("wall"))
      .def(
          "observed",
          [](LockedEngine& engine, std::string tenant, std::string provider, const RateObservation& limits,
             Instant mono, WallTime wall) {
            engine.handle(Observed{std::move(tenant), std::move(provider), limits}, Now{mono, wall});
          },
          py::arg("tenant"), py::arg("provider"), py::arg("limits"), py::arg("mono"), py::arg("wall"))
      .def(
          "cancel",
          [](LockedEngine& engine, CallId call, Instant mono, WallTime wall) {
            engine.handle(Cancel{call}, Now{mono, wall});
          },
          py::arg("call"), py::arg("mono"), py::arg("wall"))
      .def(
          "tick", [](LockedEngine& engine, Instant mono, WallTime wall) { engine.handle(Tick{}, Now{mono, wall}); },
          py::arg("mono"), py::arg("wall"))
      .def("drain",
           [](LockedEngine& engine) {
             std::vector<Action> actions = engine.drain();
             py::list list(actions.size());
             std::size_t i = 0;
             for (Action& action : actions) list[i++] = as_python(std::move(action));
             return list;
           })
      .def("next_deadline", &LockedEngine::next_deadline)
      .def("stats", [](const LockedEngine& engine) { return stats_dict(engine.stats()); })
      .def("tracker",
           [](const LockedEngine& engine) { return std::make_unique<Locked<TokenTracker>>(engine.tracker()); })
      .def("state_hash", &LockedEngine::state_hash)
      .def("check", &LockedEngine::check);
}

}  // namespace llmcore::bindings
