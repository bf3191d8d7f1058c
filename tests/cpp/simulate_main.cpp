// llmcore_simulate [COUNT [FIRST]]: drives the engine through COUNT simulated worlds, from seed FIRST on. Ends with 1 and names the
// seeds if a law was broken in one.
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "simulator.hpp"

int main(int argc, char** argv) {
  const std::uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000;
  const std::uint64_t first = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  std::uint64_t broken = 0;
  std::int64_t inputs = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto report = llmcore::testing::Simulator(llmcore::testing::World::of(first + i)).run();
    inputs += report.inputs;
    if (report.broken.empty()) continue;
    ++broken;
    std::printf("%s\n", report.describe().c_str());
  }
  std::printf("%" PRIu64 " worlds, %" PRId64 " inputs, %" PRIu64 " of the worlds broke a law\n", count, inputs, broken);
  return broken == 0 ? 0 : 1;
}
