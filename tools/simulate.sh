#!/usr/bin/env bash
# More worlds than the tests have time for, under the sanitizers. A seed that breaks a law is named, and repeats it exactly.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
tools/bootstrap.sh test
quietly asan-configure cmake --preset asan
step "asan: build" quietly asan-build cmake --build --preset asan -j "$jobs" --target llmcore_simulate
exec build/asan/llmcore_simulate "${SEEDS:-10000}" "${FIRST:-1}"
