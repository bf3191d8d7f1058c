#!/usr/bin/env bash
# The benchmarks against the wheel, one after the other, so that they do not disturb each other.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
tools/bootstrap.sh bench
step "C++: configure" quietly bench-configure cmake --preset bench
step "C++: build" quietly bench-build cmake --build --preset bench -j "$jobs"
python="$(find_python)"
environment="build/py$(python_version "$python")/env"
step "wheel" build_wheel "$python"
step "environment with the wheel" install_wheel "$python" "$environment" dev
step "the C++ components" build/bench/llmcore_benchmarks --benchmark_out=build/bench/cpp.json --benchmark_out_format=json
step "a game's frames with 100 calls in flight" build/bench/llmcore_frame_loop
step "each component beside its peers" "$environment/bin/python" benchmarks/peers.py --json build/bench/peers.json --chart build/bench/peers.svg
step "what a call costs the client" "$environment/bin/python" benchmarks/call_overhead.py
step "what a chunk of a stream costs" "$environment/bin/python" benchmarks/stream_chunks.py
step "llmcore batch as a whole" "$environment/bin/python" benchmarks/batch_rate.py
