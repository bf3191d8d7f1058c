# Every switch of the build, on one screen.

# Not a default expression of option(): scikit-build-core sets SKBUILD to "2", which option() would read as OFF, and the wheel
# would be built without its extension.
set(llmcore_python_default OFF)
if(DEFINED SKBUILD)
  set(llmcore_python_default ON)
endif()

option(LLMCORE_PYTHON "Build the Python extension _core (needs pybind11 3 and Python's headers)" ${llmcore_python_default})
option(LLMCORE_INSTALL "Install the libraries, headers and CMake package" ${PROJECT_IS_TOP_LEVEL})
set(LLMCORE_NET AUTO CACHE STRING "Build llmcore::net (needs libcurl): ON, OFF, or AUTO for where it is found")
option(LLMCORE_SHARED "Build the C++ libraries shared instead of static" OFF)
option(LLMCORE_C "Build the C interface, a shared library, wherever llmcore::net is built" ${PROJECT_IS_TOP_LEVEL})
option(LLMCORE_DEVELOPER_MODE "Build the tests (needs GoogleTest and nlohmann-json)" OFF)
option(LLMCORE_BENCHMARKS "Build the C++ benchmarks (needs google-benchmark)" OFF)
option(LLMCORE_WERROR "Treat warnings as errors" OFF)
option(LLMCORE_ASSERTIONS "Check the invariants of the core while it runs, and abort when one is broken" OFF)
option(LLMCORE_FUZZ "Make the targets in tests/fuzz fuzzers (Clang's libFuzzer)" OFF)
set(LLMCORE_SANITIZE "" CACHE STRING "Sanitizers for everything built here: \"address,undefined\" or \"thread\"")
