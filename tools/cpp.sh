#!/usr/bin/env bash
# Configures, builds and tests one CMake preset: dev, release, asan, tsan or coverage.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
preset="$1"
tools/bootstrap.sh test

step "$preset: configure" quietly "$preset-configure" cmake --preset "$preset"
step "$preset: build" quietly "$preset-build" cmake --build --preset "$preset" -j "$jobs"
if [[ $preset == dev ]]; then
  step "$preset: every public header compiles alone" quietly "$preset-headers" \
    cmake --build --preset "$preset" -j "$jobs" --target all_verify_interface_header_sets
fi
step "$preset: ctest" quietly "$preset-ctest" ctest --preset "$preset" -j "$jobs"
if [[ $preset == *san ]]; then
  sed -n 's/^\[  PASSED  \] \([0-9]*\) tests\?\.$/\1/p' "build/$preset/Testing/Temporary/LastTest.log" |
    awk '{ n += $1 } END { printf "%d tests of the library passed, in 4 processes\n", n }' >>"build/logs/$preset-ctest.log"
fi
grep ' passed' "build/logs/$preset-ctest.log"
