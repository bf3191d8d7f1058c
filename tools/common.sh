# Sourced by every script here: strict mode, the repository as working directory, and the few things that they share.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

jobs="$(nproc 2>/dev/null || echo 2)"
mkdir -p build/logs

die() {
  printf '%s\n' "$*" >&2
  exit 1
}

# step "what is done" command...: one line before; the time after; the command's own output in between.
step() {
  local name="$1" start=$SECONDS
  shift
  printf '== %s\n' "$name"
  "$@"
  printf '   %d s\n' $((SECONDS - start))
}

# quietly NAME command...: output goes to build/logs/NAME.log, and to the terminal only if the command fails.
quietly() {
  local log="build/logs/$1.log"
  shift
  if ! "$@" >"$log" 2>&1; then
    tail -n 200 "$log" >&2
    die "failed: $* (all of its output: $log)"
  fi
}

# Whether an interpreter is 3.11 or later; and whether it can also make environments and compile extensions.
python_is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
python_has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }
python_has_headers() { "$1" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null; }
python_is_complete() { python_is_recent "$1" && python_has_venv "$1" && python_has_headers "$1"; }
python_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

# The interpreter to work with, as an absolute path; nothing if there is none.
find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13}; do
    if python_is_recent "$candidate"; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
}

# Every other complete interpreter of a supported version, one line each. What stands on PATH under that name may be a shim that
# fails; pyenv's own folders are looked at too.
find_other_pythons() {
  local mine="$1" version candidate
  for version in 3.11 3.12 3.13; do
    if [[ $version == "$mine" ]]; then continue; fi
    for candidate in $(type -aP "python$version") "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/"python$version"; do
      if python_is_complete "$candidate"; then
        printf '%s\n' "$candidate"
        break
      fi
    done
  done
}

# A fingerprint of everything that goes into the package.
sources_hash() {
  find CMakeLists.txt LICENSE README.md cmake cpp pyproject.toml python -type f -not -path "*/__pycache__/*" -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
}
project_hash() { { "$1" -VV && cat pyproject.toml; } | sha256sum | cut -d' ' -f1; }
stamped() { [[ -f $1 && $(cat "$1") == "$2" ]]; }

# build_wheel PYTHON: the package for that interpreter, in build/pyX.Y/wheel; does nothing when no source changed.
#
# Not isolated: an environment for the build that stays keeps pybind11 at one path, so the compiler runs only for what changed.
build_wheel() {
  local python="$1" home requirements project sources
  home="build/py$(python_version "$python")"
  project="$(project_hash "$python")"
  sources="$(sources_hash)"
  if stamped "$home/wheel.stamp" "$sources"; then return; fi
  if ! stamped "$home/builder.stamp" "$project"; then
    rm -rf "$home/builder"
    mkdir -p "$home"
    "$python" -m venv "$home/builder"
    mapfile -t requirements < <("$python" -c '
import tomllib
for requirement in tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"]: print(requirement)')
    if ! good_cmake; then requirements+=("cmake>=3.25"); fi
    if ! command -v ninja >/dev/null; then requirements+=(ninja); fi
    "$home/builder/bin/python" -m pip install --quiet "${requirements[@]}"
    printf '%s' "$project" >"$home/builder.stamp"
  fi
  rm -rf "$home/wheel"
  PATH="$PWD/$home/builder/bin:$PATH" CMAKE_BUILD_PARALLEL_LEVEL="$jobs" quietly "wheel-$(basename "$home")" \
    "$home/builder/bin/python" -m pip wheel --no-build-isolation --no-deps --wheel-dir "$home/wheel" .
  printf '%s' "$sources" >"$home/wheel.stamp"
}

# install_wheel PYTHON ENVIRONMENT EXTRAS: an environment with the wheel, its dependencies and nothing else. The dependencies
# stay while pyproject.toml does; the wheel is put in anew whenever it changed.
install_wheel() {
  local python="$1" environment="$2" extras="$3" wheel project sources home
  home="build/py$(python_version "$python")"
  project="$(project_hash "$python") $extras"
  sources="$(cat "$home/wheel.stamp")"
  wheel="$(echo "$home"/wheel/*.whl)"
  if ! stamped "$environment/.dependencies" "$project"; then
    rm -rf "$environment"
    "$python" -m venv "$environment"
    "$environment/bin/python" -m pip install --quiet "$wheel${extras:+[$extras]}"
    printf '%s' "$project" >"$environment/.dependencies"
    printf '%s' "$sources" >"$environment/.wheel"
  elif ! stamped "$environment/.wheel" "$sources"; then
    "$environment/bin/python" -m pip install --quiet --no-deps --force-reinstall "$wheel"
    printf '%s' "$sources" >"$environment/.wheel"
  fi
}

good_cmake() {
  command -v cmake >/dev/null && [[ $(printf '%s\n' 3.25 "$(cmake --version | sed -n 's/^cmake version //p')" | sort -V | head -n1) == 3.25 ]]
}
