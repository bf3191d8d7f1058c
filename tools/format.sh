#!/usr/bin/env bash
# Lets the formatters of the `dev` extra rewrite the sources.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
tools/bootstrap.sh demo
python="$(find_python)"
environment="build/py$(python_version "$python")/env"
build_wheel "$python"
install_wheel "$python" "$environment" dev
"$environment/bin/ruff" check --fix --quiet .
"$environment/bin/ruff" format --quiet .
find cpp tests/cpp tests/fuzz benchmarks/cpp examples -name '*.[ch]pp' -print0 | xargs -0 "$environment/bin/clang-format" -i
