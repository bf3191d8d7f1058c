#include "bindings.hpp"
#include "llmcore/version.hpp"

// mod_gil_not_used is a promise: every stateful object below holds its own mutex.
PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  using namespace llmcore::bindings;
  m.attr("__version__") = llmcore::version();
  register_types(m);
  register_money(m);
  register_backoff(m);
  register_rate_limiter(m);
  register_request_queue(m);
  register_response_cache(m);
  register_error_recovery(m);
  register_budget(m);
  register_token_tracker(m);
  register_offline(m);
  register_engine(m);
  register_io(m);
  register_journal(m);
}
