# Targets for libFuzzer: what reads bytes from outside, and the engine. With LLMCORE_FUZZ (preset `fuzz`, Clang) each is a fuzzer; in every
# other build it hands the files of its corpus to the same function, so that what was once found is a test for ever.
#
#   llmcore_fuzz_target(NAME LIBRARY...)   tests/fuzz/NAME.cpp, tests/fuzz/corpus/NAME
function(llmcore_fuzz_target name)
  set(target "llmcore_fuzz_${name}")
  add_executable(${target} "tests/fuzz/${name}.cpp" $<$<NOT:$<BOOL:${LLMCORE_FUZZ}>>:tests/fuzz/replay_main.cpp>)
  llmcore_target(${target})
  target_link_libraries(${target} PRIVATE ${ARGN})
  if(LLMCORE_FUZZ)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  else()
    add_test(NAME "fuzz.corpus_of_${name}" COMMAND ${target} "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name}")
  endif()
  set_property(GLOBAL APPEND PROPERTY LLMCORE_FUZZ_TARGETS ${target})
endfunction()

llmcore_fuzz_target(answers llmcore_net nlohmann_json::nlohmann_json)
target_include_directories(llmcore_fuzz_answers PRIVATE cpp/src)
llmcore_fuzz_target(config llmcore_simulation)
llmcore_fuzz_target(engine llmcore_simulation)
llmcore_fuzz_target(fingerprint llmcore_core)
llmcore_fuzz_target(journal llmcore_core)
llmcore_fuzz_target(ledger_entry llmcore_core)
llmcore_fuzz_target(offline llmcore_core nlohmann_json::nlohmann_json)
llmcore_fuzz_target(recording llmcore_core)
llmcore_fuzz_target(saved_cache llmcore_core)

get_property(llmcore_fuzz_targets GLOBAL PROPERTY LLMCORE_FUZZ_TARGETS)
add_custom_target(fuzz DEPENDS ${llmcore_fuzz_targets})
