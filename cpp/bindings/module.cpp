#include "bindings.hpp"
#include "llmcore/version.hpp"

// Not mod_gil_not_used: every component holds a lock of its own, but plain values that Python may change (Usage, the configurations) and
// the lists that are read as arguments do not. An interpreter that can do without its global lock takes it back for this module.
PYBIND11_MODULE(_core, m) {
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
  register_replay(m);  // before the engine, which takes a logger
  register_engine(m);
  register_io(m);
  register_journal(m);
  register_ledger(m);
  register_ledger_columns(m);
  register_ledger_sums(m);
  register_messages(m);
}
