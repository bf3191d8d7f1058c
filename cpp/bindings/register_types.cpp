#include <array>

#include "arguments.hpp"
#include "bindings.hpp"
#include "fastcall.hpp"
#include "llmcore/fingerprint.hpp"
#include "llmcore/outcome.hpp"
#include "llmcore/text_weight.hpp"
#include "llmcore/types.hpp"

namespace llmcore::bindings {
namespace {

py::bytes as_bytes(const Fingerprint& f) {
  return py::bytes(reinterpret_cast<const char*>(f.bytes.data()), f.bytes.size());
}

// The buckets of Usage, in the order of its constructor.
constexpr std::size_t kBucketCount = 13;
constexpr std::array<std::pair<const char*, std::int64_t Usage::*>, kBucketCount> kBuckets{{
    {"input_uncached", &Usage::input_uncached},
    {"cache_read", &Usage::cache_read},
    {"cache_write_5m", &Usage::cache_write_5m},
    {"cache_write_1h", &Usage::cache_write_1h},
    {"output_text", &Usage::output_text},
    {"reasoning", &Usage::reasoning},
    {"audio_input", &Usage::audio_input},
    {"audio_cache_read", &Usage::audio_cache_read},
    {"audio_output", &Usage::audio_output},
    {"image_input", &Usage::image_input},
    {"image_output", &Usage::image_output},
    {"images", &Usage::images},
    {"web_searches", &Usage::web_searches},
}};

// Python cannot make a Usage that is not valid, so nothing that takes one has to ask again.
const Usage& checked(const Usage& usage) {
  if (!usage.valid()) throw py::value_error("token counts must be >= 0 and at most 2^53");
  return usage;
}

py::tuple state_of(const Usage& usage) {
  py::tuple state(kBucketCount + 1);
  for (std::size_t i = 0; i < kBucketCount; ++i) state[i] = usage.*kBuckets[i].second;
  state[kBucketCount] = usage.estimated;
  return state;
}

Usage usage_from(const py::tuple& state) {
  if (state.size() != kBucketCount + 1) throw py::value_error("this is not the state of a Usage");
  Usage usage;
  try {
    for (std::size_t i = 0; i < kBucketCount; ++i) usage.*kBuckets[i].second = state[i].cast<std::int64_t>();
    usage.estimated = state[kBucketCount].cast<bool>();
  } catch (const py::cast_error&) {
    throw py::type_error("the state of a Usage is twelve counts and a bool");
  }
  return checked(usage);
}

}  // namespace

void register_types(py::module_& m) {
  py::native_enum<Priority>(m, "Priority", "enum.IntEnum")
      .value("HIGH", Priority::high)
      .value("MEDIUM", Priority::medium)
      .value("LOW", Priority::low)
      .finalize();
  fast_enum<Priority>(m, "Priority");

  py::native_enum<Outcome>(m, "Outcome", "enum.IntEnum")
      .value("OK", Outcome::ok)
      .value("TIMEOUT", Outcome::timeout)
      .value("CONNECTION", Outcome::connection)
      .value("RATE_LIMITED", Outcome::rate_limited)
      .value("QUOTA_EXHAUSTED", Outcome::quota_exhausted)
      .value("OVERLOADED", Outcome::overloaded)
      .value("SERVER_ERROR", Outcome::server_error)
      .value("AUTH", Outcome::auth)
      .value("BAD_REQUEST", Outcome::bad_request)
      .value("CONTEXT_LENGTH", Outcome::context_length)
      .value("CONTENT_FILTER", Outcome::content_filter)
      .value("NOT_FOUND", Outcome::not_found)
      .value("QUEUE_FULL", Outcome::queue_full)
      .value("QUEUE_TIMEOUT", Outcome::queue_timeout)
      .value("OVER_BUDGET", Outcome::over_budget)
      .value("CANCELLED", Outcome::cancelled)
      .value("EXHAUSTED", Outcome::exhausted)
      .finalize();
  fast_enum<Outcome>(m, "Outcome");
  m.def("outcome_of_status", &outcome_of_status, py::arg("http_status"));

  py::class_<Usage> usage(m, "Usage");
  fast_class(usage);
  for (const auto& [name, bucket] : kBuckets) {
    usage.def_property(
        name, [bucket = bucket](const Usage& u) { return u.*bucket; },
        [bucket = bucket](Usage& u, std::int64_t n) {
          Usage changed = u;
          changed.*bucket = n;
          u = checked(changed);
        });
  }
  usage
      .def(py::init([](std::int64_t input_uncached, std::int64_t cache_read, std::int64_t cache_write_5m,
                       std::int64_t cache_write_1h, std::int64_t output_text, std::int64_t reasoning,
                       std::int64_t audio_input, std::int64_t audio_cache_read, std::int64_t audio_output,
                       std::int64_t image_input, std::int64_t image_output, std::int64_t images,
                       std::int64_t web_searches, bool estimated) {
             return checked(Usage{input_uncached, cache_read, cache_write_5m, cache_write_1h, output_text, reasoning,
                                  audio_input, audio_cache_read, audio_output, image_input, image_output, images,
                                  web_searches, estimated});
           }),
           py::arg("input_uncached") = 0, py::arg("cache_read") = 0, py::arg("cache_write_5m") = 0,
           py::arg("cache_write_1h") = 0, py::arg("output_text") = 0, py::arg("reasoning") = 0,
           py::arg("audio_input") = 0, py::arg("audio_cache_read") = 0, py::arg("audio_output") = 0,
           py::arg("image_input") = 0, py::arg("image_output") = 0, py::arg("images") = 0, py::arg("web_searches") = 0,
           py::arg("estimated") = false)
      .def_readwrite("estimated", &Usage::estimated)
      .def_property_readonly("input_tokens", &Usage::input_tokens)
      .def_property_readonly("output_tokens", &Usage::output_tokens)
      .def_property_readonly("cached_tokens", &Usage::cached_tokens)
      .def_property_readonly("cache_write_tokens", &Usage::cache_write_tokens)
      .def_property_readonly("reasoning_tokens", [](const Usage& u) { return u.reasoning; })
      .def_property_readonly("total_tokens", &Usage::total_tokens)
      .def(
          "__eq__", [](const Usage& a, const Usage& b) { return a == b; }, py::is_operator())
      .def(
          "__add__",
          [](const Usage& a, const Usage& b) {
            Usage sum = a;
            sum += b;
            return checked(sum);
          },
          py::is_operator())
      .def("__copy__", [](const Usage& u) { return Usage(u); })
      .def(
          "__deepcopy__", [](const Usage& u, const py::dict&) { return Usage(u); }, py::arg("memo"))
      .def(py::pickle(&state_of, &usage_from))
      .def("__repr__", [](const Usage& u) {
        return py::str("Usage(input={}, cached={}, output={}, reasoning={}, estimated={})")
            .format(u.input_tokens(), u.cached_tokens(), u.output_tokens(), u.reasoning, u.estimated);
      });

  m.def(
      "text_weight",
      [](const py::str& text) {
        Py_ssize_t size = 0;
        const char* utf8 = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
        if (utf8 == nullptr) throw py::error_already_set();
        return text_weight({utf8, static_cast<std::size_t>(size)});
      },
      py::arg("text"));
  m.def(
      "sha256",
      [](std::string_view bytes) {
        Sha256 hash;
        hash.update(bytes);
        return as_bytes(hash.finish());
      },
      py::arg("data"));
  m.def(
      "fingerprint",
      [](const Text& tenant, const Text& provider, const Text& model, std::string_view canonical) {
        return as_bytes(fingerprint(tenant.value, provider.value, model.value, canonical));
      },
      py::arg("tenant"), py::arg("provider"), py::arg("model"), py::arg("canonical_request"));
}

}  // namespace llmcore::bindings
