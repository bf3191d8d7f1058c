# The C++ benchmarks: one executable, one file for each component (tools/bench.sh runs it). They are no tests: nothing fails because it
# is slow.
find_package(benchmark CONFIG REQUIRED)

set(LLMCORE_BENCHMARK_SOURCES
    burst_bench.cpp
    engine_bench.cpp
    journal_bench.cpp
    rate_limiter_bench.cpp
    request_queue_bench.cpp
    response_cache_bench.cpp
    retry_bench.cpp
    token_tracker_bench.cpp)
list(TRANSFORM LLMCORE_BENCHMARK_SOURCES PREPEND benchmarks/cpp/)

add_executable(llmcore_benchmarks ${LLMCORE_BENCHMARK_SOURCES})
llmcore_target(llmcore_benchmarks)
target_link_libraries(llmcore_benchmarks PRIVATE llmcore_core llmcore_io benchmark::benchmark_main)

file(GLOB llmcore_unlisted_benchmarks RELATIVE "${PROJECT_SOURCE_DIR}" CONFIGURE_DEPENDS benchmarks/cpp/*.cpp)
list(REMOVE_ITEM llmcore_unlisted_benchmarks ${LLMCORE_BENCHMARK_SOURCES})
if(llmcore_unlisted_benchmarks)
  message(FATAL_ERROR "No list in cmake/benchmarks.cmake names: ${llmcore_unlisted_benchmarks}")
endif()

# A game's frame loop beside blocking libcurl: an executable of its own, because it counts what operator new gives out.
if(TARGET llmcore_net)
  find_package(CURL REQUIRED)
  add_executable(llmcore_frame_loop benchmarks/frame_loop/frame_loop.cpp)
  llmcore_target(llmcore_frame_loop)
  target_link_libraries(llmcore_frame_loop PRIVATE llmcore_net CURL::libcurl)
endif()
