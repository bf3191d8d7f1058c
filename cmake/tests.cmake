# The C++ tests: one executable, so that it links once, and the checks of the libraries as built.
find_package(GTest CONFIG REQUIRED)
find_package(Threads REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)  # reads tests/scenarios; never part of a library

set(LLMCORE_TEST_SOURCES
    backoff_test.cpp
    breaker_test.cpp
    budget_alerts_test.cpp
    budget_period_test.cpp
    budget_property_test.cpp
    budget_test.cpp
    burst_test.cpp
    config_test.cpp
    conversation_test.cpp
    crc32c_test.cpp
    engine_breaker_test.cpp
    engine_cancel_test.cpp
    engine_failover_test.cpp
    engine_limits_test.cpp
    engine_memory_test.cpp
    engine_money_test.cpp
    engine_observed_test.cpp
    engine_promise_test.cpp
    engine_property_test.cpp
    engine_queue_test.cpp
    engine_retry_test.cpp
    engine_sharing_test.cpp
    engine_test.cpp
    engine_time_test.cpp
    error_recovery_test.cpp
    fingerprint_test.cpp
    game/backoff_test.cpp
    game/caching_test.cpp
    game/edge_cases_test.cpp
    game/error_recovery_test.cpp
    game/offline_fallback_test.cpp
    game/rate_limiting_test.cpp
    game/replay_test.cpp
    game/token_tracking_test.cpp
    hit_ratio_test.cpp
    io/clock_test.cpp
    io/journal_faults_test.cpp
    io/journal_kill_test.cpp
    io/journal_reader_test.cpp
    io/journal_test.cpp
    io/recording_test.cpp
    io/replay_test.cpp
    io/sharded_cache_test.cpp
    io/synchronized_test.cpp
    io/uuid7_test.cpp
    journal_format_test.cpp
    latency_sketch_test.cpp
    laws_test.cpp
    ledger_batch_test.cpp
    ledger_entry_writing_test.cpp
    ledger_sums_test.cpp
    money_test.cpp
    msgpack_test.cpp
    net/client_faults_test.cpp
    net/client_ledger_test.cpp
    net/client_scenario_test.cpp
    net/client_test.cpp
    net/client_thread_test.cpp
    net/config_manager_test.cpp
    net/curl_faults_test.cpp
    net/curl_transport_test.cpp
    net/json_test.cpp
    net/locale_test.cpp
    net/provider_checks_test.cpp
    net/provider_factory_test.cpp
    net/provider_golden_test.cpp
    net/recorded_test.cpp
    net/session_json_test.cpp
    net/session_test.cpp
    offline_test.cpp
    outcome_test.cpp
    rate_limiter_laws_test.cpp
    rate_limiter_observed_test.cpp
    rate_limiter_test.cpp
    recording_format_test.cpp
    request_queue_expiry_test.cpp
    request_queue_model_test.cpp
    request_queue_test.cpp
    response_cache_eviction_test.cpp
    response_cache_model_test.cpp
    response_cache_test.cpp
    retry_budget_test.cpp
    rng_test.cpp
    saved_cache_test.cpp
    scenario_test.cpp
    simulator_test.cpp
    slot_store_test.cpp
    slot_table_test.cpp
    token_bucket_test.cpp
    token_tracker_rows_test.cpp
    token_tracker_test.cpp
    trace_test.cpp
    types_test.cpp
    usage_report_test.cpp
    version_test.cpp)
list(TRANSFORM LLMCORE_TEST_SOURCES PREPEND tests/cpp/)

# The engine's laws and the worlds to test them in: for the tests, and for as many seeds as one likes (make simulate).
add_library(llmcore_simulation OBJECT tests/cpp/simulator.cpp tests/cpp/watched_engine.cpp tests/cpp/world.cpp)
llmcore_target(llmcore_simulation)
target_include_directories(llmcore_simulation PUBLIC tests/cpp)
target_link_libraries(llmcore_simulation PUBLIC llmcore_core)
add_executable(llmcore_simulate tests/cpp/simulate_main.cpp)
llmcore_target(llmcore_simulate)
target_link_libraries(llmcore_simulate PRIVATE llmcore_simulation)

add_executable(llmcore_tests ${LLMCORE_TEST_SOURCES})
llmcore_target(llmcore_tests)
target_include_directories(llmcore_tests PRIVATE cpp/src)
target_link_libraries(llmcore_tests PRIVATE llmcore_simulation llmcore_net nlohmann_json::nlohmann_json GTest::gmock GTest::gtest_main
                                            Threads::Threads)

# An executable of its own: it counts what operator new gives out.
add_executable(llmcore_memory_tests tests/cpp/memory_test.cpp)
llmcore_target(llmcore_memory_tests)
target_link_libraries(llmcore_memory_tests PRIVATE llmcore_io GTest::gtest_main Threads::Threads)
add_test(NAME llmcore_memory_tests COMMAND llmcore_memory_tests --gtest_brief=1)

# A game played while the network fails, for as long as one likes (make soak), and a moment of it in every run of the tests.
add_executable(llmcore_soak tests/cpp/soak/soak_main.cpp)
llmcore_target(llmcore_soak)
target_include_directories(llmcore_soak PRIVATE tests/cpp)
target_link_libraries(llmcore_soak PRIVATE llmcore_net Threads::Threads)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  add_test(NAME soak.a_moment COMMAND llmcore_soak play 5)
  add_test(NAME soak.the_network_is_cut COMMAND bash "${PROJECT_SOURCE_DIR}/tests/cpp/soak/network_cut.sh" $<TARGET_FILE:llmcore_soak>)
  set_tests_properties(soak.the_network_is_cut PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 120)
endif()

set_source_files_properties(tests/cpp/scenario_test.cpp tests/cpp/io/replay_test.cpp tests/cpp/net/client_scenario_test.cpp PROPERTIES COMPILE_DEFINITIONS
                                                                   "LLMCORE_SCENARIOS=\"${PROJECT_SOURCE_DIR}/tests/scenarios\"")
set_source_files_properties(tests/cpp/conversation_test.cpp tests/cpp/net/provider_checks_test.cpp tests/cpp/net/provider_golden_test.cpp PROPERTIES COMPILE_DEFINITIONS
                                                                        "LLMCORE_TEST_DATA=\"${PROJECT_SOURCE_DIR}/tests/data\"")
set_source_files_properties(tests/cpp/version_test.cpp PROPERTIES COMPILE_DEFINITIONS "LLMCORE_EXPECTED_VERSION=\"${LLMCORE_VERSION}\"")

# What has threads in it, alone: that much of the thread sanitizer every run of the tests can afford (tools/threads.sh).
set(LLMCORE_THREAD_TEST_SOURCES ${LLMCORE_TEST_SOURCES})
list(FILTER LLMCORE_THREAD_TEST_SOURCES INCLUDE REGEX "/io/|/net/(client|curl|session)")
add_executable(llmcore_thread_tests EXCLUDE_FROM_ALL ${LLMCORE_THREAD_TEST_SOURCES})
llmcore_target(llmcore_thread_tests)
target_include_directories(llmcore_thread_tests PRIVATE cpp/src tests/cpp)
target_link_libraries(llmcore_thread_tests PRIVATE llmcore_net nlohmann_json::nlohmann_json GTest::gmock GTest::gtest_main Threads::Threads)

if(LLMCORE_SANITIZE)
  # A sanitized process takes longer to start than most tests to run: four processes instead of one for each test.
  foreach(shard IN ITEMS 0 1 2 3)
    add_test(NAME llmcore_tests.shard_${shard} COMMAND llmcore_tests --gtest_brief=1 WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
    set_tests_properties(llmcore_tests.shard_${shard} PROPERTIES ENVIRONMENT "GTEST_TOTAL_SHARDS=4;GTEST_SHARD_INDEX=${shard}")
  endforeach()
else()
  # Not while building: a loaded machine would fail the build at the five-second limit of listing the tests.
  set(CMAKE_GTEST_DISCOVER_TESTS_DISCOVERY_MODE PRE_TEST)
  include(GoogleTest)
  gtest_discover_tests(llmcore_tests NO_PRETTY_VALUES DISCOVERY_TIMEOUT 60 WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
endif()

include(cmake/fuzz.cmake)

# Every public header compiles alone.
set_target_properties(llmcore_core llmcore_io llmcore_net PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)

include(cmake/built.cmake)

# Every build decides alike. tools/determinism.sh tries two compilers and two levels of optimisation.
add_test(NAME determinism.golden COMMAND "${CMAKE_COMMAND}" -D "SIMULATE=$<TARGET_FILE:llmcore_simulate>" -D
                                         "GOLDEN=${PROJECT_SOURCE_DIR}/tests/data/golden/engine.txt" -P "${PROJECT_SOURCE_DIR}/cmake/golden.cmake")

if(LLMCORE_SANITIZE)
  # Flags that reached the tests but not the libraries would find nothing.
  foreach(library IN ITEMS core io net)
    add_test(NAME sanitizer.${library}_is_instrumented
             COMMAND "${CMAKE_COMMAND}" -D "NM=${CMAKE_NM}" -D "ARCHIVE=$<TARGET_FILE:llmcore_${library}>" -D
                     "SANITIZE=${LLMCORE_SANITIZE}" -P "${PROJECT_SOURCE_DIR}/cmake/instrumented.cmake")
  endforeach()
else()
  # Projects of their own use the library as a stranger would.
  set(llmcore_ways find_package add_subdirectory fetch_content pkg_config no_rtti shared windows)
  if(TARGET llmcore_net)
    list(APPEND llmcore_ways frame_loop village)
  endif()
  foreach(way IN LISTS llmcore_ways)
    add_test(NAME consumer.${way}
             COMMAND "${CMAKE_COMMAND}" -D "WAY=${way}" -D "LLMCORE_SOURCE_DIR=${PROJECT_SOURCE_DIR}" -D
                     "LLMCORE_BINARY_DIR=${PROJECT_BINARY_DIR}" -D "GENERATOR=${CMAKE_GENERATOR}" -D "CXX=${CMAKE_CXX_COMPILER}" -D
                     "LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER}" -D "VERSION=${LLMCORE_VERSION}" -D "NM=${CMAKE_NM}" -D
                     "NET=$<TARGET_EXISTS:llmcore_net>" -P
                     "${PROJECT_SOURCE_DIR}/tests/cpp/consumers/run.cmake")
    # Some compile the library anew, and the village Ogre's headers: minutes on a busy machine.
    set_tests_properties(consumer.${way} PROPERTIES SKIP_REGULAR_EXPRESSION "-- skipped: " TIMEOUT 900)
  endforeach()
endif()

include(cmake/examples.cmake)

# A file in no list would be read, formatted and never compiled.
file(GLOB_RECURSE llmcore_unlisted RELATIVE "${PROJECT_SOURCE_DIR}" CONFIGURE_DEPENDS cpp/include/*.hpp cpp/src/*.cpp tests/cpp/*.cpp
     tests/fuzz/*.cpp)
list(FILTER llmcore_unlisted EXCLUDE REGEX "^tests/cpp/consumers/|^cpp/src/io/file_(posix|win32).cpp$")
foreach(target IN ITEMS llmcore_core llmcore_io llmcore_net llmcore_c llmcore_simulation llmcore_simulate llmcore_soak llmcore_tests llmcore_memory_tests
               llmcore_examples llmcore_impure ${llmcore_fuzz_targets})
  foreach(property IN ITEMS SOURCES HEADER_SET)
    get_target_property(llmcore_listed ${target} ${property})
    list(TRANSFORM llmcore_listed REPLACE "^.*(tests/fuzz/replay_main.cpp).*$" "\\1")  # which a fuzzer leaves out
    list(TRANSFORM llmcore_listed REPLACE "^${PROJECT_SOURCE_DIR}/" "")
    list(REMOVE_ITEM llmcore_unlisted ${llmcore_listed})
  endforeach()
endforeach()
if(llmcore_unlisted)
  message(FATAL_ERROR "in no list of CMakeLists.txt or cmake/tests.cmake: ${llmcore_unlisted}")
endif()
