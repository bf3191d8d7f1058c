# The C++ examples of README.md and docs/, compiled and run as they stand there: each one a file of its own with its own main, all in
# one executable. What a line that prints says behind // it prints, tests/cpp/examples_main.cpp makes sure.
file(GLOB_RECURSE llmcore_pages RELATIVE "${PROJECT_SOURCE_DIR}" CONFIGURE_DEPENDS docs/*.md)
list(PREPEND llmcore_pages README.md)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${llmcore_pages})
set(llmcore_examples "${PROJECT_BINARY_DIR}/examples")
set(declarations "")
set(rows "")
set(count 0)

add_executable(llmcore_examples tests/cpp/examples_main.cpp "${llmcore_examples}/table.cpp")
llmcore_target(llmcore_examples)
target_include_directories(llmcore_examples PRIVATE tests/cpp)
target_link_libraries(llmcore_examples PRIVATE llmcore_io)
if(TARGET llmcore_net)
  target_link_libraries(llmcore_examples PRIVATE llmcore_net)
endif()
if(TARGET llmcore_c)
  target_link_libraries(llmcore_examples PRIVATE llmcore_c)
else()
  list(REMOVE_ITEM llmcore_pages docs/game_engines.md)  # which is about both
endif()

foreach(page IN LISTS llmcore_pages)
  file(READ "${PROJECT_SOURCE_DIR}/${page}" rest)
  set(ordinal 0)
  while(TRUE)
    string(FIND "${rest}" "\n```cpp\n" start)
    if(start EQUAL -1)
      break()
    endif()
    math(EXPR start "${start} + 8")
    string(SUBSTRING "${rest}" ${start} -1 rest)
    string(FIND "${rest}" "\n```" end)
    string(SUBSTRING "${rest}" 0 ${end} example)
    math(EXPR end "${end} + 4")
    string(SUBSTRING "${rest}" ${end} -1 rest)
    math(EXPR ordinal "${ordinal} + 1")
    set(name "${page}:${ordinal}")

    # Only main may end without a return, and there it is called by another name.
    string(REGEX REPLACE "}$" "  return 0;\n}\n" source "${example}")
    file(CONFIGURE OUTPUT "${llmcore_examples}/${count}.cpp" CONTENT "${source}" @ONLY)
    target_sources(llmcore_examples PRIVATE "${llmcore_examples}/${count}.cpp")
    set_source_files_properties("${llmcore_examples}/${count}.cpp" PROPERTIES COMPILE_DEFINITIONS "main=llmcore_example_${count}")
    string(APPEND declarations "int llmcore_example_${count}();\n")
    string(APPEND rows "    {\"${name}\", R\"example(${example})example\", llmcore_example_${count}},\n")
    add_test(NAME "examples.${name}" COMMAND llmcore_examples "${name}")
    math(EXPR count "${count} + 1")
  endwhile()
endforeach()

file(CONFIGURE OUTPUT "${llmcore_examples}/table.cpp" @ONLY CONTENT
[[#include "examples.hpp"

@declarations@
const std::vector<Example>& examples() {
  static const std::vector<Example> all{
@rows@  };
  return all;
}
]])
