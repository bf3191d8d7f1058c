#!/usr/bin/env bash
# ruff, clang-format, mypy --strict and stubtest, with the tools of the `dev` extra in the environment that the wheel is tested in.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
tools/bootstrap.sh demo
python="$(find_python)"
environment="build/py$(python_version "$python")/env"
step "wheel" build_wheel "$python"
step "environment with the wheel" install_wheel "$python" "$environment" dev
bin="$PWD/$environment/bin"

lint_python() { "$bin/ruff" check --quiet . && "$bin/ruff" format --check --quiet .; }
lint_cpp() { find cpp tests/cpp -name '*.[ch]pp' -print0 | xargs -0 "$bin/clang-format" --dry-run --Werror; }
# From elsewhere: the stub that the wheel carries is compared with the extension that it carries.
lint_stub() { (cd build && "$bin/stubtest" llmcore._core --allowlist ../tests/py/stubtest_allowlist.txt); }

step "ruff" lint_python
step "clang-format" lint_cpp
step "mypy --strict" "$bin/mypy"
step "stubtest" lint_stub
