#!/usr/bin/env bash
# Line coverage of the core by the C++ tests and of the package by the Python tests.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
tools/bootstrap.sh test
python="$(find_python)"
environment="build/py$(python_version "$python")/env"
build_wheel "$python"
install_wheel "$python" "$environment" dev
mkdir -p build/coverage

find build/coverage -name '*.gcda' -delete
tools/cpp.sh coverage
# Threads that count at once make GCC's counters of hot lines run over: such a line was reached all the same.
"$environment/bin/gcovr" --root . --filter cpp/src --filter cpp/include --exclude-throw-branches \
  --gcov-ignore-parse-errors=negative_hits.warn_once_per_file --html-details build/coverage/cpp.html --txt - build/coverage

export COVERAGE_FILE="$PWD/build/coverage/python.data"
"$environment/bin/coverage" erase
"$environment/bin/coverage" run -m pytest -q
"$environment/bin/coverage" combine --quiet
"$environment/bin/coverage" html --directory build/coverage/python --quiet
"$environment/bin/coverage" report
