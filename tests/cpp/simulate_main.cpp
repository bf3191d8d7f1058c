// llmcore_simulate [COUNT [FIRST]]: drives the engine through COUNT simulated worlds, from seed FIRST on; one in a thousand is large. Ends
// with 1 and names the seeds if a law was broken in one.
//
// llmcore_simulate golden: what the engine decides in a few worlds, and its state at their end, as hashes: the same for every compiler
// and every level of optimisation (tests/data/golden/engine.txt).
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "simulator.hpp"

namespace {

using llmcore::testing::SimulationReport;
using llmcore::testing::Simulator;
using llmcore::testing::World;

int golden() {
  std::puts("seed calls inputs decisions state");
  bool broken = false;
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    const SimulationReport report = Simulator(seed % 8 == 0 ? World::large(seed) : World::of(seed)).run();
    std::printf("%" PRIu64 " %" PRId64 " %" PRId64 " %016" PRIx64 " %016" PRIx64 "\n", seed, report.stats.submitted,
                report.inputs, report.decisions, report.state);
    if (report.broken.empty()) continue;
    std::fprintf(stderr, "%s\n", report.describe().c_str());
    broken = true;
  }
  return broken ? 1 : 0;
}

int simulate(std::uint64_t count, std::uint64_t first) {
  std::uint64_t broken = 0;
  std::int64_t calls = 0;
  std::int64_t inputs = 0;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    World world = seed % 1'000 == 0 ? World::large(seed) : World::of(seed);
    // The witness looks after every input; the engine is asked to check itself so often in one world of eight only: it takes longer
    // than all the rest.
    if (seed % 8 != 0) world.check_every = 31;
    const SimulationReport report = Simulator(std::move(world)).run();
    calls += report.stats.submitted;
    inputs += report.inputs;
    if (report.broken.empty()) continue;
    ++broken;
    std::printf("%s\n", report.describe().c_str());
    std::fflush(stdout);
  }
  std::printf("%" PRIu64 " worlds, %" PRId64 " calls, %" PRId64 " inputs, %" PRIu64 " of the worlds broke a law\n",
              count, calls, inputs, broken);
  return broken == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "golden") return golden();
  const std::uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000;
  const std::uint64_t first = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  return simulate(count, first);
}
