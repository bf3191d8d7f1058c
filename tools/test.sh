#!/usr/bin/env bash
# Everything that must pass before a change is kept. Stops at the first failure; ends with the summary of each test run.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
start=$SECONDS
tools/bootstrap.sh test
tools/lint.sh
tools/cpp.sh dev
tools/cpp.sh asan
tools/threads.sh

summaries=()
# run_pytest PYTHON EXTRAS arguments...: the Python tests against the wheel as a user installs it.
run_pytest() {
  local python="$1" extras="$2" version environment log
  shift 2
  version="$(python_version "$python")"
  environment="build/py$version/env"
  log="build/logs/pytest-$version.log"
  step "Python $version: wheel" build_wheel "$python"
  step "Python $version: clean environment" install_wheel "$python" "$environment" "$extras"
  printf '== Python %s: pytest\n' "$version"
  LLMCORE_WHEEL="$(echo "$PWD/build/py$version"/wheel/*.whl)" "$environment/bin/pytest" "$@" 2>&1 | tee "$log"
  summaries+=("$(tail -n 1 "$log")")
}

python="$(find_python)"
for other in $(find_other_pythons "$(python_version "$python")"); do
  run_pytest "$other" test -q -m "not slow"
done
run_pytest "$python" dev

printf '== all passed in %d s\n' $((SECONDS - start))
grep ' passed' build/logs/dev-ctest.log build/logs/asan-ctest.log | sed 's|^build/logs/\(.*\)-ctest.log:|\1: |'
printf '%s\n' "${summaries[@]}"
