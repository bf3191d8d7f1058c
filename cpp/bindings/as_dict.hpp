// Statistics as Python shows them: the same whether a component is used alone or inside an engine. Each is defined with its component.
#pragma once

#include "bindings.hpp"
#include "llmcore/budget.hpp"
#include "llmcore/error_recovery.hpp"
#include "llmcore/rate_limiter.hpp"
#include "llmcore/request_queue.hpp"
#include "llmcore/response_cache.hpp"

namespace llmcore::bindings {

py::dict as_dict(const RateLimiter::Stats& stats);
py::dict as_dict(const RequestQueue::Stats& stats);
py::dict as_dict(const ResponseCacheStats& stats);
py::dict as_dict(const ErrorRecovery::Stats& stats);
py::dict as_dict(const Budget::Account& account);
py::dict as_dict(const Budget::Stats& stats);

/// A list of the dicts of all of them.
template <class Sequence>
py::list as_list(const Sequence& all) {
  py::list list;
  for (const auto& one : all) list.append(as_dict(one));
  return list;
}

}  // namespace llmcore::bindings
