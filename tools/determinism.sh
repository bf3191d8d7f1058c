#!/usr/bin/env bash
# The core and the simulator by GCC and by Clang, without optimisation and with all of it: four programs that must decide alike.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
tools/bootstrap.sh fuzz

decides_alike() {
  local compiler="$1" level="$2" name="determinism-$1-$2"
  quietly "$name-configure" cmake -G Ninja -B "build/$name" -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=None \
    -DCMAKE_CXX_FLAGS="-$level" -DLLMCORE_DEVELOPER_MODE=ON -DLLMCORE_WERROR=ON
  quietly "$name-build" cmake --build "build/$name" -j "$jobs" --target llmcore_simulate
  cmake -D SIMULATE="build/$name/llmcore_simulate" -D GOLDEN=tests/data/golden/engine.txt -P cmake/golden.cmake
}

for compiler in g++ clang++; do
  for level in O0 O3; do
    step "$compiler -$level" decides_alike "$compiler" "$level"
  done
done
printf '== decided alike by g++ and clang++, at -O0 and -O3\n'
