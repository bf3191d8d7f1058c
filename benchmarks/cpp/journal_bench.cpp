#include <benchmark/benchmark.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "llmcore/crc32c.hpp"
#include "llmcore/io/journal.hpp"

namespace llmcore::io {
namespace {

constexpr std::size_t kPayload = 1100;  // a call's record: its context, its figures, a short text

std::string directory_of(const char* name) {
  return (std::filesystem::temp_directory_path() / (std::string("llmcore-bench-") + name)).string();
}

// One journal for all threads of a benchmark, held to 64 MiB however long it runs.
std::unique_ptr<JournalWriter> shared;

void open_shared(Ack ack, std::size_t window_bytes = JournalConfig{}.window_bytes) {
  const std::string directory = directory_of("journal");
  std::filesystem::remove_all(directory);
  auto opened = JournalWriter::open(
      {.directory = directory, .ack = ack, .total_bytes = 64U * 1024 * 1024, .window_bytes = window_bytes});
  if (opened) shared = std::move(*opened);
}

void close_shared(const benchmark::State& /*state*/) {
  shared.reset();
  std::filesystem::remove_all(directory_of("journal"));
}

void append(benchmark::State& state) {
  if (shared == nullptr) {
    state.SkipWithError("no journal could be opened");
    return;
  }
  const std::string payload(kPayload, 'x');
  for (auto _ : state) {
    benchmark::DoNotOptimize(shared->append(RecordKind::close, payload));
  }
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(static_cast<std::int64_t>(kPayload) * state.iterations());
}
// So few that the window takes them all, in memory that was used before: what append() itself costs.
constexpr int kFew = 5000;
BENCHMARK(append)
    ->Name("journal/append 1.1 KB, memory, nothing written")
    ->Setup([](const benchmark::State&) {
      open_shared(Ack::memory, 8U * 1024 * 1024);
      for (int i = 0; i < kFew && shared; ++i) {
        benchmark::DoNotOptimize(shared->append(RecordKind::close, std::string(kPayload, 'x')));
      }
      if (shared && shared->flush()) shared.reset();
    })
    ->Teardown(close_shared)
    ->Iterations(kFew);
// And with the file system's share: as many windows are written as are filled, and old segments removed.
BENCHMARK(append)
    ->Name("journal/append 1.1 KB, memory")
    ->Setup([](const benchmark::State&) { open_shared(Ack::memory); })
    ->Teardown(close_shared)
    ->Threads(1)
    ->Threads(4);
BENCHMARK(append)
    ->Name("journal/append 1.1 KB, os")
    ->Setup([](const benchmark::State&) { open_shared(Ack::os); })
    ->Teardown(close_shared)
    ->Threads(1)
    ->Threads(4);
BENCHMARK(append)
    ->Name("journal/append 1.1 KB, disk")
    ->Setup([](const benchmark::State&) { open_shared(Ack::disk); })
    ->Teardown(close_shared)
    ->Threads(1)
    ->Threads(64)
    ->UseRealTime();

// Nothing but the framing: checksums and copies.
void encode(benchmark::State& state) {
  RecordEncoder encoder(SegmentHeader{});
  const std::string payload(kPayload, 'x');
  for (auto _ : state) benchmark::DoNotOptimize(encoder.next(1, payload));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(encode)->Name("journal/frame 1.1 KB");

void read(benchmark::State& state) {
  constexpr int kRecords = 10'000;
  const std::string directory = directory_of("reader");
  std::filesystem::remove_all(directory);
  {
    auto writer = JournalWriter::open({.directory = directory, .ack = Ack::memory});
    for (int i = 0; i < kRecords && writer; ++i) {
      benchmark::DoNotOptimize((*writer)->append(RecordKind::close, std::string(kPayload, 'x')));
    }
  }
  for (auto _ : state) {
    auto reader = JournalReader::open({.directory = directory});
    int records = 0;
    while (reader && (*reader)->next() == JournalReader::Next::record) ++records;
    if (records != kRecords) state.SkipWithError("records are missing");
  }
  std::filesystem::remove_all(directory);
  state.SetItemsProcessed(kRecords * state.iterations());
}
BENCHMARK(read)->Name("journal/read 10,000 records of 1.1 KB")->Unit(benchmark::kMillisecond);

void checksum(benchmark::State& state) {
  const std::string bytes(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(crc32c(bytes));
  state.SetBytesProcessed(state.range(0) * state.iterations());
}
BENCHMARK(checksum)->Name("crc32c")->Arg(32)->Arg(1100)->Arg(65536);

}  // namespace
}  // namespace llmcore::io
