// More calls at once than there is room for: each is taken or refused, at once and with a reason, and none is lost.
#include <gtest/gtest.h>

#include <cstdint>
#include <map>

#include "engine_harness.hpp"

namespace llmcore {
namespace {

constexpr std::int64_t kBurst = 100'000;
constexpr std::int64_t kCap = 1'000;
constexpr std::int64_t kAtOnce = 8;

TEST(Burst, AQueueTakesItsCapAndWhatWasServedMeanwhileAndNamesTheBoundToAllOthers) {
  RequestQueueConfig config = RequestQueueConfig::server();
  config.total_capacity = kCap;
  RequestQueue queue(config);
  std::int64_t served = 0;
  std::map<RequestQueue::Admission, std::int64_t> said;
  for (std::int64_t i = 0; i < kBurst; ++i) {
    const auto id = static_cast<RequestQueue::Id>(i);
    ++said[queue.push(id, static_cast<Priority>(i % 3), kMinute, i)];
    if (i % 50 == 0 && queue.pop()) ++served;
  }
  EXPECT_EQ(said[RequestQueue::Admission::accepted], kCap + served);
  EXPECT_EQ(said[RequestQueue::Admission::total_full], kBurst - kCap - served);
  EXPECT_EQ(said.size(), 2U);
  EXPECT_EQ(queue.stats().refused_total, kBurst - kCap - served);
  EXPECT_EQ(queue.size(), kCap);
}

TEST(Burst, AnEngineFinishesEveryRefusedCallAtOnceAsQueueFull) {
  Config config = testing::open_config();
  config.limits = {0, 0, kAtOnce, true};
  config.queue.total_capacity = kCap;
  config.queue.class_capacity = {kCap, kCap, kCap};
  Engine engine(config);
  const Now now{testing::Bench::kStart, testing::Bench::kWallStart};
  std::map<Outcome, std::int64_t> finished;
  std::int64_t sent = 0;
  const auto drain = [&] {
    while (const auto action = engine.poll()) {
      if (std::holds_alternative<Send>(*action)) ++sent;
      if (const auto* done = std::get_if<Finish>(&*action)) {
        ++finished[done->outcome];
        if (done->outcome == Outcome::queue_full) {
          EXPECT_EQ(done->attempts, 0U);
          EXPECT_EQ(done->latency, 0);
        }
      }
    }
  };
  for (std::int64_t i = 0; i < kBurst; ++i) {
    engine.submit(testing::call_to({"openai"}), now);
    drain();
  }
  EXPECT_EQ(sent, kAtOnce);
  EXPECT_EQ(engine.stats().queued, kCap);
  EXPECT_EQ(finished[Outcome::queue_full], kBurst - kCap - kAtOnce) << "accepted = cap + served";
  EXPECT_EQ(finished.size(), 1U);
  EXPECT_EQ(engine.check(), "");
}

}  // namespace
}  // namespace llmcore
