#!/usr/bin/env bash
# Makes sure that the machine has what `demo` (a compiler and Python), `test` (the C++ test libraries too), `fuzz` (Clang with its
# sanitizers as well) or `bench` (google-benchmark) needs, and installs only what is missing: Debian packages, where this is root or sudo
# lets us be. Otherwise it says exactly what is lacking.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
purpose="$1"

missing=()
need() { missing+=("$@"); }

has_header() { printf '#if !__has_include(<%s>)\n#error\n#endif\n' "$1" | c++ -std=c++20 -x c++ -E - >/dev/null 2>&1; }

check() {
  missing=()
  local python
  if ! command -v c++ >/dev/null || ! has_header concepts; then need g++; fi
  python="$(find_python)"
  if [[ -z $python ]]; then
    need python3 python3-venv python3-dev
  elif ! python_is_complete "$python"; then
    if [[ $python == /usr/bin/python3 || $python == /usr/bin/python3.* ]]; then
      if ! python_has_venv "$python"; then need "python$(python_version "$python")-venv"; fi
      if ! python_has_headers "$python"; then need "python$(python_version "$python")-dev"; fi
    else
      die "$python has no ensurepip, venv or Python.h; install it completely, or name another one: make $purpose PYTHON=python3"
    fi
  fi
  if [[ $purpose != demo ]]; then
    if ! good_cmake; then need cmake; fi
    if ! command -v ninja >/dev/null; then need ninja-build; fi
  fi
  if [[ $purpose == bench ]] && ! has_header benchmark/benchmark.h; then need libbenchmark-dev; fi
  if [[ $purpose == test || $purpose == fuzz ]]; then
    if [[ " ${missing[*]-} " == *" g++ "* ]]; then
      need libgtest-dev libgmock-dev nlohmann-json3-dev libcurl4-openssl-dev
    else
      if ! has_header gtest/gtest.h; then need libgtest-dev; fi
      if ! has_header gmock/gmock.h; then need libgmock-dev; fi
      if ! has_header nlohmann/json.hpp; then need nlohmann-json3-dev; fi
      if ! has_header curl/curl.h; then need libcurl4-openssl-dev; fi
    fi
  fi
  if [[ $purpose == fuzz ]]; then
    if ! command -v clang++ >/dev/null; then
      need clang libclang-rt-14-dev
    elif ! compgen -G "$(clang++ -print-resource-dir)/lib/linux/libclang_rt.fuzzer-*.a" >/dev/null; then
      need "libclang-rt-$(clang++ -dumpversion | cut -d. -f1)-dev"
    fi
  fi
}

check
if ((${#missing[@]} == 0)); then exit 0; fi

list="${missing[*]}"
become=()
if ! command -v apt-get >/dev/null; then
  die "These are missing, named as in Debian: $list. Install your system's counterparts and run it again."
elif [[ $(id -u) != 0 ]]; then
  if ! command -v sudo >/dev/null || ! { sudo -n true 2>/dev/null || { [[ -t 0 ]] && sudo -v; }; }; then
    die "These Debian packages are missing, and this is neither root nor may it use sudo: $list. Have them installed (apt-get install $list) and run it again."
  fi
  become=(sudo)
fi

# The compiler cache is no need, but while we are at it: it halves every build after the first.
extra=()
if [[ $purpose != demo ]] && ! command -v ccache >/dev/null; then extra=(ccache); fi
# Nor is the engine of examples/village, whose test is skipped without it.
village=()
if [[ $purpose == test ]] && ! { command -v xvfb-run >/dev/null && has_header OGRE/Ogre.h; }; then
  village=(libogre-1.12-dev xvfb xauth libgl1-mesa-dri fonts-dejavu-core)
fi
install_packages() {
  "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq || return
  if ((${#village[@]} != 0)) && apt-cache show libogre-1.12-dev >/dev/null 2>&1; then extra+=("${village[@]}"); fi
  "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" "${extra[@]}"
}
step "installing Debian packages: $list ${extra[*]-}" quietly apt install_packages

check
if ((${#missing[@]} != 0)); then
  die "Still missing after the installation: ${missing[*]}. This system's packages may be too old: Python 3.11, CMake 3.25 and GCC 12 are needed."
fi
