#!/usr/bin/env bash
# Everything that must pass before a change is kept. Stops at the first failure; ends with the summary of each test run.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
start=$SECONDS
tools/bootstrap.sh test
tools/lint.sh
tools/cpp.sh dev
tools/cpp.sh asan
tools/threads.sh

# Wheels one after the other, as a compiler takes every core; then all interpreters' tests at once, as pytest takes one.
versions=()
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT  # nothing goes on when something fails before
# start_pytest PYTHON EXTRAS arguments...: the Python tests against the wheel as a user installs it, in the background.
start_pytest() {
  local python="$1" extras="$2" version environment
  shift 2
  version="$(python_version "$python")"
  environment="build/py$version/env"
  step "Python $version: wheel" build_wheel "$python"
  step "Python $version: clean environment" install_wheel "$python" "$environment" "$extras"
  # A shell lets its background ignore Ctrl-C, and what ignores it cannot be tested for what it does then.
  LLMCORE_WHEEL="$(echo "$PWD/build/py$version"/wheel/*.whl)" env --default-signal=INT "$environment/bin/pytest" "$@" \
    >"build/logs/pytest-$version.log" 2>&1 &
  versions+=("$version:$!")
}

python="$(find_python)"
for other in $(find_other_pythons "$(python_version "$python")"); do
  start_pytest "$other" test -q -m "not slow"
done
start_pytest "$python" dev

failed=()
for started in "${versions[@]}"; do
  version="${started%%:*}"
  printf '== Python %s: pytest\n' "$version"
  if ! wait "${started##*:}"; then failed+=("$version"); fi
  cat "build/logs/pytest-$version.log"
done
if ((${#failed[@]} != 0)); then die "failed: pytest on Python ${failed[*]} (its output: build/logs/pytest-*.log)"; fi

printf '== all passed in %d s\n' $((SECONDS - start))
grep ' passed' build/logs/dev-ctest.log build/logs/asan-ctest.log | sed 's|^build/logs/\(.*\)-ctest.log:|\1: |'
tail -q -n 1 build/logs/pytest-*.log
