// Names and configurations that the tests of the request queue share.
#pragma once

#include <cstdint>
#include <vector>

#include "llmcore/request_queue.hpp"

namespace llmcore::testing {

using Admission = RequestQueue::Admission;
using Id = RequestQueue::Id;

constexpr Priority kHigh = Priority::high;
constexpr Priority kMedium = Priority::medium;
constexpr Priority kLow = Priority::low;

inline RequestQueueConfig roomy(std::int64_t low_share = 0) {
  RequestQueueConfig config = RequestQueueConfig::server();
  config.low_share = low_share;
  return config;
}

inline std::vector<Id> pop_all(RequestQueue& queue) {
  std::vector<Id> ids;
  while (const auto entry = queue.pop()) ids.push_back(entry->id);
  return ids;
}

inline std::vector<Id> ids_of(const std::vector<RequestQueue::Entry>& entries) {
  std::vector<Id> ids;
  for (const auto& entry : entries) ids.push_back(entry.id);
  return ids;
}

}  // namespace llmcore::testing
