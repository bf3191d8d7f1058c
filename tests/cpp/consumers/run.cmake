# Builds and runs one of the consumer projects from nothing: WAY is find_package or add_subdirectory, VERSION what it must get.
set(work "${LLMCORE_BINARY_DIR}/consumers/${WAY}")
file(REMOVE_RECURSE "${work}")

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nfailed (${result}):\n${output}")
  endif()
endfunction()

set(hints "")
if(WAY STREQUAL "find_package")
  run("${CMAKE_COMMAND}" --install "${LLMCORE_BINARY_DIR}" --prefix "${work}/prefix" --component development)
  # Moved after the install: a package that remembers where it was built would not be found.
  file(RENAME "${work}/prefix" "${work}/moved")
  set(hints "-DCMAKE_PREFIX_PATH=${work}/moved")
endif()

run("${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}/${WAY}" -B "${work}/build" -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${CXX}"
    "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}" "-DLAUNCHER=${LAUNCHER}" "-DLLMCORE_SOURCE_DIR=${LLMCORE_SOURCE_DIR}"
    "-DEXPECTED_VERSION=${VERSION}" ${hints})
run("${CMAKE_COMMAND}" --build "${work}/build")
run("${work}/build/consumer")
