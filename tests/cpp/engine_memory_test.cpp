// The engine's memory: flat over a million calls, and free of what nobody uses any more.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "engine_harness.hpp"
#include "llmcore/engine.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define LLMCORE_TEST_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define LLMCORE_TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LLMCORE_TEST_ASAN 1
#elif __has_feature(thread_sanitizer)
#define LLMCORE_TEST_TSAN 1
#endif
#endif
#if defined(LLMCORE_TEST_ASAN)
// As in sanitizer/allocator_interface.h, which not every compiler ships.
extern "C" std::size_t __sanitizer_get_current_allocated_bytes();
#elif defined(__GLIBC__)
#include <malloc.h>
#endif

namespace llmcore {
namespace {

using testing::Bench;
using testing::call_to;
using testing::open_config;
using testing::text;
using testing::usage_of;
using testing::with_key;
using testing::with_tenant;

/// Bytes that are allocated now; nothing where the platform does not say.
std::optional<std::size_t> allocated() {
#if defined(LLMCORE_TEST_ASAN)
  return __sanitizer_get_current_allocated_bytes();
#elif defined(__GLIBC__) && (__GLIBC__ > 2 || (__GLIBC__ == 2 && __GLIBC_MINOR__ >= 33))
  return mallinfo2().uordblks;
#else
  return std::nullopt;
#endif
}

TEST(EngineMemory, StaysFlatOverAMillionCalls) {
  Config config = open_config();
  config.limits.requests_per_minute = 600'000;
  config.limits.minute_burst = true;
  config.cache.max_entries = 100;
  config.max_lanes = 64;
  config.tracker.max_keys = 500;  // full, as the cache is, long before the first look
  config.tracker.max_rows = 2'000;
  config.budgets = {BudgetRule{"tenant=*", Period::hour, kNever, {50}},
                    BudgetRule{"global", Period::total, kNever, {50}}};
  Engine engine(config);
#if defined(LLMCORE_TEST_ASAN) || defined(LLMCORE_TEST_TSAN)
  constexpr int kCalls = 50'000;
#else
  constexpr int kCalls = 1'000'000;
#endif
  Instant now = 0;
  std::size_t flat = 0;
  std::int64_t finished = 0;
  const Submit alpha = call_to({"alpha", "beta", "offline"});
  for (int i = 0; i < kCalls; ++i) {
    now += 20 * kSecond;  // so that hours turn and are forgotten
    Submit submit = alpha;
    if (i % 16 == 0) submit.tenant = std::to_string(i);  // one that never comes again
    if (i % 4 == 0) submit = with_key(std::move(submit), std::to_string(i));
    const CallId call = engine.submit(std::move(submit), {now, now});
    if (i % 32 == 1) engine.handle(Cancel{call}, {now, now});
    while (const auto action = engine.poll()) {
      if (std::holds_alternative<Finish>(*action)) ++finished;
      const auto* send = std::get_if<Send>(&*action);
      if (send == nullptr) continue;
      if (i % 8 == 0 && send->number == 1) {
        Failed failed;
        failed.attempt = send->attempt;
        failed.outcome = Outcome::quota_exhausted;
        engine.handle(failed, {now, now});
      } else {
        engine.handle(Replied{send->attempt, usage_of(100, 50), nullptr, text("answer")}, {now, now});
      }
    }
    if (i == kCalls / 4) flat = allocated().value_or(0);
  }
  EXPECT_EQ(finished, kCalls);
  EXPECT_EQ(engine.check(), "");
  EXPECT_LE(engine.stats().lanes.size(), 2U * 64U + 2U);
  if (!allocated()) GTEST_SKIP() << "this platform does not say how much is allocated";
  EXPECT_LT(*allocated(), flat + 256U * 1024U);
}

TEST(EngineMemory, ForgetsLanesThatNobodyUses) {
  Config config = open_config();
  config.limits.requests_per_minute = 60;
  config.max_lanes = 8;
  Bench bench(config);
  for (int i = 0; i < 100; ++i) {
    bench.reply(bench.submit(with_tenant(call_to({"alpha"}), std::to_string(i))));
    bench.pass(kMinute);
  }
  EXPECT_LE(bench.stats().lanes.size(), 9U);
}

TEST(EngineMemory, ForgetsLanesWhoseCallsHadToBackOff) {
  Config config = open_config();
  config.limits.requests_per_minute = 60;
  config.max_lanes = 8;
  Bench bench(config);
  for (int i = 0; i < 100; ++i) {
    const CallId call = bench.submit(with_tenant(call_to({"alpha"}), std::to_string(i)));
    bench.fail(call, Outcome::server_error);
    bench.pass(2 * kSecond);
    bench.reply(call);
    bench.pass(kMinute);
  }
  EXPECT_LE(bench.stats().lanes.size(), 9U);
}

TEST(EngineMemory, KeepsLanesThatStillHaveSomethingToSay) {
  Config config = open_config();
  config.limits.requests_per_minute = 60;
  config.limits.minute_burst = true;
  config.limits.max_in_flight = 1;
  config.max_lanes = 2;
  Bench bench(config);
  const CallId flying = bench.submit(with_tenant(call_to({"alpha"}), "flying"));
  const CallId waiting = bench.submit(with_tenant(call_to({"alpha"}), "flying"));
  const CallId backing_off = bench.submit(with_tenant(call_to({"alpha"}), "backing off"));
  bench.fail(backing_off, Outcome::server_error);
  const CallId limited = bench.submit(with_tenant(call_to({"alpha"}), "limited"));
  bench.fail(limited, Outcome::rate_limited, 30 * kSecond);
  for (int i = 0; i < 20; ++i) bench.reply(bench.submit(with_tenant(call_to({"alpha"}), std::to_string(i))));
  EXPECT_TRUE(bench.lane("alpha", "flying"));
  EXPECT_TRUE(bench.lane("alpha", "backing off"));
  EXPECT_TRUE(bench.lane("alpha", "limited"));
  bench.reply(flying);
  bench.reply(waiting);
  bench.pass(29 * kSecond);
  bench.reply(backing_off);
  EXPECT_EQ(bench.sends(limited).size(), 1U);
  bench.pass(kSecond);
  bench.reply(limited);
  EXPECT_TRUE(bench.at_rest());
}

}  // namespace
}  // namespace llmcore
