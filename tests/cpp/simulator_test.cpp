#include "simulator.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace llmcore {
namespace {

using testing::SimulationReport;
using testing::Simulator;
using testing::World;

SimulationReport simulate(std::uint64_t seed) { return Simulator(World::of(seed)).run(); }

// LLMCORE_SIMULATE_SEEDS asks for more than the few that every run of the tests can afford.
std::uint64_t seeds() {
  if (const char* wish = std::getenv("LLMCORE_SIMULATE_SEEDS")) return std::strtoull(wish, nullptr, 10);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return 200;
#else
  return 2'000;
#endif
}

TEST(Simulator, HoldsEveryLawInEveryWorld) {
  for (std::uint64_t seed = 1; seed <= seeds(); ++seed) {
    const SimulationReport report = simulate(seed);
    ASSERT_EQ(report.broken, "") << report.describe() << "\nrepeat it with: llmcore_simulate 1 " << seed;
  }
}

TEST(Simulator, HoldsEveryLawInLargeWorlds) {
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    const SimulationReport report = Simulator(World::large(seed)).run();
    ASSERT_EQ(report.broken, "") << report.describe();
    EXPECT_EQ(report.stats.submitted, 20'000);
    EXPECT_GT(report.most_open, 300) << report.describe();
  }
}

// However often a driver asks, whatever is going on: the same decisions at the same times.
TEST(Simulator, CannotTellHowOftenItIsAsked) {
  std::int64_t idle_ticks = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    World quiet = World::of(seed);
    // After a clock was set back the engine goes by the newest time that it was told, and a tick is one.
    for (testing::ClockJump& jump : quiet.jumps) jump.mono = std::abs(jump.mono);
    World restless = quiet;
    quiet.idle_ticks = 0;
    restless.idle_ticks = 800;
    const SimulationReport one = Simulator(quiet).run();
    const SimulationReport two = Simulator(restless).run();
    ASSERT_EQ(two.broken, "") << two.describe();
    ASSERT_EQ(one.idle_ticks, 0);
    idle_ticks += two.idle_ticks;
    ASSERT_EQ(one.decisions, two.decisions) << two.describe();
    ASSERT_EQ(one.state, two.state) << two.describe();
  }
  EXPECT_GT(idle_ticks, 60'000);
}

TEST(Simulator, MakesTheSameRunOfTheSameSeed) {
  for (const std::uint64_t seed : {3U, 14U, 15U, 92U, 65U}) {
    const SimulationReport one = simulate(seed);
    const SimulationReport two = simulate(seed);
    EXPECT_EQ(one.decisions, two.decisions);
    EXPECT_EQ(one.state, two.state);
    EXPECT_EQ(one.inputs, two.inputs);
    EXPECT_EQ(one.stats.outcomes, two.stats.outcomes);
  }
  EXPECT_NE(simulate(1).decisions, simulate(2).decisions);
  EXPECT_NE(simulate(1).state, simulate(2).state);
}

// A law holds easily in a world where nothing happens.
TEST(Simulator, MeetsEverythingThatCanHappen) {
  std::array<std::int64_t, kOutcomeCount> outcomes{};
  std::array<std::int64_t, 4> sources{};
  EngineStats sum;
  std::int64_t breakers = 0;
  std::int64_t refused_retries = 0;
  std::int64_t pauses = 0;
  std::int64_t alerts_possible = 0;
  std::int64_t inputs = 0;
  SimulationReport all;
  constexpr std::uint64_t kWorlds = 60;
  for (std::uint64_t seed = 1; seed <= kWorlds; ++seed) {
    const SimulationReport report = simulate(seed);
    inputs += report.inputs;
    all.panics += report.panics;
    all.cancelled_queued += report.cancelled_queued;
    all.cancelled_in_flight += report.cancelled_in_flight;
    all.cancelled_backing_off += report.cancelled_backing_off;
    all.cancelled_following += report.cancelled_following;
    all.cancelled_late += report.cancelled_late;
    for (std::size_t i = 0; i < kOutcomeCount; ++i) outcomes[i] += report.stats.outcomes[i];
    for (std::size_t i = 0; i < sources.size(); ++i) sources[i] += report.sources[i];
    sum.retries += report.stats.retries;
    sum.failovers += report.stats.failovers;
    sum.joined += report.stats.joined;
    sum.late += report.stats.late;
    sum.clock_regressions += report.stats.clock_regressions;
    for (const ProviderStats& provider : report.stats.providers) {
      breakers += provider.recovery.breaker_opened;
      refused_retries += provider.recovery.retries_refused;
    }
    for (const LaneStats& lane : report.stats.lanes) pauses += lane.limiter.pauses;
    for (const Budget::Account& account : report.stats.budgets) alerts_possible += account.spent > 0 ? 1 : 0;
  }
  for (std::size_t i = 0; i < kOutcomeCount; ++i) {
    EXPECT_GT(outcomes[i], 0) << to_string(static_cast<Outcome>(i));
  }
  for (std::size_t i = 0; i < sources.size(); ++i) EXPECT_GT(sources[i], 0) << to_string(static_cast<Source>(i));
  EXPECT_GT(sum.retries, 0);
  EXPECT_GT(sum.failovers, 0);
  EXPECT_GT(sum.joined, 0);
  EXPECT_GT(sum.late, 0);
  EXPECT_GT(sum.clock_regressions, 0);
  EXPECT_GT(all.panics, 0);
  EXPECT_GT(all.cancelled_queued, 0);
  EXPECT_GT(all.cancelled_in_flight, 0);
  EXPECT_GT(all.cancelled_backing_off, 0);
  EXPECT_GT(all.cancelled_following, 0);
  EXPECT_GT(all.cancelled_late, 0);
  EXPECT_GT(breakers, 0);
  EXPECT_GT(refused_retries, 0);
  EXPECT_GT(pauses, 0);
  EXPECT_GT(alerts_possible, 0);
  EXPECT_GT(inputs, static_cast<std::int64_t>(kWorlds) * 1'000);
}

TEST(Simulator, TellsWhatToRepeat) {
  SimulationReport report;
  report.seed = 42;
  report.broken = "a law";
  EXPECT_NE(report.describe().find("seed 42"), std::string::npos);
  EXPECT_NE(report.describe().find("a law"), std::string::npos);
}

}  // namespace
}  // namespace llmcore
