#include <memory>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "bindings.hpp"
#include "fastcall.hpp"
#include "llmcore/money.hpp"

namespace llmcore::bindings {
namespace {

NanoUsd known(std::optional<NanoUsd> cost, const char* what) {
  if (cost) return *cost;
  throw py::value_error(what);
}

}  // namespace

void register_money(py::module_& m) {
  py::class_<Rates>(m, "Rates")
      .def(py::init([](NanoUsd input, NanoUsd cache_read, NanoUsd cache_write_5m, NanoUsd cache_write_1h,
                       NanoUsd output, NanoUsd reasoning, NanoUsd audio_input, NanoUsd audio_cache_read,
                       NanoUsd audio_output, NanoUsd image_input, NanoUsd image_output, NanoUsd per_image,
                       NanoUsd per_request, NanoUsd per_search) {
             return Rates{input,        cache_read,  cache_write_5m,   cache_write_1h, output,
                          reasoning,    audio_input, audio_cache_read, audio_output,   image_input,
                          image_output, per_image,   per_request,      per_search};
           }),
           py::arg("input") = 0, py::arg("cache_read") = 0, py::arg("cache_write_5m") = 0,
           py::arg("cache_write_1h") = 0, py::arg("output") = 0, py::arg("reasoning") = 0, py::arg("audio_input") = 0,
           py::arg("audio_cache_read") = 0, py::arg("audio_output") = 0, py::arg("image_input") = 0,
           py::arg("image_output") = 0, py::arg("per_image") = 0, py::arg("per_request") = 0, py::arg("per_search") = 0)
      .def_readonly("input", &Rates::input)
      .def_readonly("cache_read", &Rates::cache_read)
      .def_readonly("cache_write_5m", &Rates::cache_write_5m)
      .def_readonly("cache_write_1h", &Rates::cache_write_1h)
      .def_readonly("output", &Rates::output)
      .def_readonly("reasoning", &Rates::reasoning)
      .def_readonly("audio_input", &Rates::audio_input)
      .def_readonly("audio_cache_read", &Rates::audio_cache_read)
      .def_readonly("audio_output", &Rates::audio_output)
      .def_readonly("image_input", &Rates::image_input)
      .def_readonly("image_output", &Rates::image_output)
      .def_readonly("per_image", &Rates::per_image)
      .def_readonly("per_search", &Rates::per_search)
      .def_readonly("per_request", &Rates::per_request)
      .def("__eq__", [](const Rates& a, const Rates& b) { return a == b; }, py::is_operator());

  // Immutable from Python, so that cards can be shared between the catalogue and every engine.
  py::class_<PriceCard, std::shared_ptr<PriceCard>> bound(m, "PriceCard");
  bound
      .def(py::init([](const Rates& base, const std::vector<std::pair<std::int64_t, Rates>>& tiers, Text source) {
             auto card = std::make_shared<PriceCard>();
             card->base = base;
             for (const auto& [above, rates] : tiers) card->tiers.push_back(PriceTier{above, rates});
             card->source = std::move(source.value);
             if (!card->valid()) throw py::value_error("a price card needs rates >= 0 and ascending tier thresholds");
             return card;
           }),
           py::arg("base"), py::arg("tiers") = std::vector<std::pair<std::int64_t, Rates>>{}, py::arg("source") = "")
      .def_readonly("base", &PriceCard::base)
      .def_property_readonly("tiers",
                             [](const PriceCard& card) {
                               std::vector<std::pair<std::int64_t, Rates>> tiers;
                               for (const PriceTier& tier : card.tiers)
                                 tiers.emplace_back(tier.above_input_tokens, tier.rates);
                               return tiers;
                             })
      .def_readonly("source", &PriceCard::source)
      .def("__eq__", [](const PriceCard& a, const PriceCard& b) { return a == b; }, py::is_operator());

  def_fast(bound, "cost", "usage, requests=1", [](const PriceCard& self, const Usage& usage, Or<1> requests) {
    check_count(requests, "requests");
    const std::optional<NanoUsd> cost = cost_of(self, usage, requests);
    if (cost) return *cost;
    PyErr_SetString(PyExc_OverflowError, "this cost does not fit in 64 bits of nano-dollars");
    throw py::error_already_set();
  });
  def_fast(bound, "worst_case", "input_tokens, output_tokens, images=0",
           [](const PriceCard& self, std::int64_t input_tokens, std::int64_t output_tokens, Or<0> images) {
             return known(worst_case_cost(self, input_tokens, output_tokens, images),
                          "token and image counts must be >= 0 and their cost must fit in 64 bits");
           });

  m.def("to_micro_usd", &to_micro_usd, py::arg("nano_usd"));
}

}  // namespace llmcore::bindings
