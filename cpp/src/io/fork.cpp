#include "llmcore/io/fork.hpp"

#include <atomic>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace llmcore::io {
namespace {

constinit std::atomic<std::uint64_t> generation{0};

#if defined(__unix__) || defined(__APPLE__)
// One handler for the process, put in place before the first number is read: a fork before that has nothing to tell.
bool watch() noexcept {
  return pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); }) == 0;
}
#else
bool watch() noexcept { return true; }
#endif

}  // namespace

std::uint64_t fork_generation() noexcept {
  static const bool watching = watch();
  static_cast<void>(watching);
  return generation.load(std::memory_order_relaxed);
}

}  // namespace llmcore::io
