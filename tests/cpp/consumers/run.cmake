# Builds and runs a consumer project from nothing. WAY is which, VERSION what it must get:
#
#   find_package      from an installed tree, moved after the install
#   no_rtti           the same, compiled as many games are: without RTTI and without exceptions
#   frame_loop        the example of a game's loop, from the same tree
#   pkg_config        the same tree, with nothing but a compiler and pkg-config
#   add_subdirectory  as a part of another project
#   shared            as a part of another project that wants shared libraries
set(work "${LLMCORE_BINARY_DIR}/consumers/${WAY}")
file(REMOVE_RECURSE "${work}")

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nfailed (${result}):\n${output}")
  endif()
endfunction()

set(source "${WAY}")
set(hints "")
if(WAY STREQUAL "find_package" OR WAY STREQUAL "no_rtti" OR WAY STREQUAL "pkg_config" OR WAY STREQUAL "frame_loop")
  set(source find_package)
  run("${CMAKE_COMMAND}" --install "${LLMCORE_BINARY_DIR}" --prefix "${work}/prefix" --component development)
  # Moved after the install: a package that remembers where it was built would not be found.
  file(RENAME "${work}/prefix" "${work}/moved")
  set(hints "-DCMAKE_PREFIX_PATH=${work}/moved")
endif()
if(WAY STREQUAL "no_rtti")
  list(APPEND hints "-DCMAKE_CXX_FLAGS=-fno-rtti -fno-exceptions" -DALL_HEADERS=ON)
elseif(WAY STREQUAL "shared")
  set(source add_subdirectory)
  list(APPEND hints -DLLMCORE_SHARED=ON)
endif()

if(WAY STREQUAL "frame_loop")
  run("${CMAKE_COMMAND}" -S "${LLMCORE_SOURCE_DIR}/examples/frame_loop" -B "${work}/build" -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${CXX}"
      "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}" "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror" ${hints})
  run("${CMAKE_COMMAND}" --build "${work}/build")
  set(ENV{LLM_PROVIDER} offline)
  execute_process(COMMAND "${work}/build/frame_loop" 30 WORKING_DIRECTORY "${work}" OUTPUT_VARIABLE said ERROR_VARIABLE said RESULT_VARIABLE result)
  if(NOT result EQUAL 0 OR NOT said MATCHES "Mira: " OR NOT said MATCHES "Old Pell: " OR NOT said MATCHES "30 frames; .*\n3 answers")
    message(FATAL_ERROR "the frame loop ended with ${result}:\n${said}")
  endif()
  return()
endif()

if(WAY STREQUAL "pkg_config")
  find_program(pkg_config NAMES pkg-config pkgconf)
  if(NOT pkg_config)
    message(STATUS "skipped: there is no pkg-config here")
    return()
  endif()
  file(GLOB_RECURSE descriptions "${work}/moved/*/llmcore.pc")
  get_filename_component(where "${descriptions}" DIRECTORY)
  set(ENV{PKG_CONFIG_PATH} "${where}")
  execute_process(COMMAND "${pkg_config}" --cflags --libs llmcore OUTPUT_VARIABLE flags RESULT_VARIABLE result OUTPUT_STRIP_TRAILING_WHITESPACE)
  execute_process(COMMAND "${pkg_config}" --modversion llmcore OUTPUT_VARIABLE version OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT result EQUAL 0 OR NOT version STREQUAL VERSION)
    message(FATAL_ERROR "pkg-config says \"${flags}\" of version \"${version}\"")
  endif()
  separate_arguments(flags NATIVE_COMMAND "${flags}")
  run("${CXX}" "-DEXPECTED_VERSION=\"${VERSION}\"" "${CMAKE_CURRENT_LIST_DIR}/main.cpp" ${flags} -o "${work}/consumer")
  run("${work}/consumer")
  return()
endif()

run("${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}/${source}" -B "${work}/build" -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${CXX}"
    "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}" "-DLAUNCHER=${LAUNCHER}" "-DLLMCORE_SOURCE_DIR=${LLMCORE_SOURCE_DIR}"
    "-DEXPECTED_VERSION=${VERSION}" ${hints})
run("${CMAKE_COMMAND}" --build "${work}/build")
run("${work}/build/consumer")

if(WAY STREQUAL "shared")
  # The libraries give away what is llmcore's, and nothing of the standard library that was compiled into them.
  file(GLOB_RECURSE libraries "${work}/build/llmcore/libllmcore_*.so")
  if(NOT libraries)
    message(STATUS "no libllmcore_*.so here: what they export was not looked at")
  endif()
  foreach(library IN LISTS libraries)
    execute_process(COMMAND "${NM}" -DC --defined-only "${library}" OUTPUT_VARIABLE listing RESULT_VARIABLE result)
    string(REGEX REPLACE "[][;]" "_" listing "${listing}")
    string(REGEX REPLACE "\n$" "" listing "${listing}")
    string(REPLACE "\n" ";" lines "${listing}")
    list(FILTER lines EXCLUDE REGEX " [A-Za-z] ((vtable|VTT|typeinfo|typeinfo name|guard variable|(non-)?virtual thunk) (for|to) )?llmcore::")
    if(lines OR NOT result EQUAL 0)
      message(FATAL_ERROR "${library} exports what is not its own:\n${lines}")
    endif()
  endforeach()
endif()
