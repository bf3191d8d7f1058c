# One word for each habit; the work is in tools/. PYTHON=python3.12 picks another interpreter than the first that will do.
.DEFAULT_GOAL := help
.PHONY: help demo demo-local test quick lint format asan tsan simulate soak determinism fuzz coverage bench clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: ## install what is missing, build, run a batch through the offline provider, print its report
	@tools/demo.sh

demo-local: ## the same against a real model on this machine (downloads about 130 MB once)
	@tools/demo_local.sh

test: ## everything that must pass: C++, sanitizers, the wheel in a clean environment, types, format
	@tools/test.sh

quick: ## the C++ tests and the fast Python tests, for while you work
	@tools/quick.sh

lint: ## ruff, clang-format, mypy --strict and stubtest
	@tools/lint.sh

format: ## let ruff and clang-format rewrite the sources
	@tools/format.sh

asan: ## the C++ tests under the address and undefined-behaviour sanitizers
	@tools/cpp.sh asan

tsan: ## the C++ tests under the thread sanitizer
	@tools/cpp.sh tsan

simulate: ## the engine in SEEDS=10000 random worlds under the sanitizers, from seed FIRST=1 on
	@tools/simulate.sh

soak: ## half an hour of a game whose network fails, in two minutes: memory and descriptors stay flat, each call ends once
	@tools/soak.sh

determinism: ## the golden hash of the engine, by GCC and Clang at -O0 and -O3
	@tools/determinism.sh

fuzz: ## what reads bytes from outside, under libFuzzer for SECONDS=60 each
	@tools/fuzz.sh $(SECONDS)

coverage: ## which lines the C++ and Python tests reach, as text and as build/coverage/*.html
	@tools/coverage.sh

bench: ## the benchmarks, with their results on the terminal
	@tools/bench.sh

clean: ## remove everything that was built or installed here
	rm -rf build dist .venv demo-out .mypy_cache .pytest_cache .ruff_cache .hypothesis benchmarks/.venv-peers
