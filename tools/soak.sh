#!/usr/bin/env bash
# Half an hour of a game whose network fails, played at 15 times its speed; then the network namespace that is cut (needs root).
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
tools/bootstrap.sh test
quietly release-configure cmake --preset release
step "release: build" quietly release-build cmake --build --preset release -j "$jobs" --target llmcore_soak
build/release/llmcore_soak play "${SECONDS_OF_SOAK:-120}"
tests/cpp/soak/network_cut.sh build/release/llmcore_soak || [[ $? == 77 ]]
