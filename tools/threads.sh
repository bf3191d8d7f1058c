#!/usr/bin/env bash
# The C++ tests with threads in them under the thread sanitizer; `make tsan` runs all of them so.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
tools/bootstrap.sh test
quietly tsan-configure cmake --preset tsan
step "tsan: build what has threads" quietly tsan-build cmake --build --preset tsan -j "$jobs" --target llmcore_thread_tests
step "tsan: its tests" quietly tsan-threads build/tsan/llmcore_thread_tests --gtest_brief=1
grep PASSED build/logs/tsan-threads.log
