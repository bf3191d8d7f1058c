#!/usr/bin/env bash
# The tests worth running after every change.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
tools/cpp.sh dev
python="$(find_python)"
environment="build/py$(python_version "$python")/env"
step "wheel" build_wheel "$python"
step "environment with the wheel" install_wheel "$python" "$environment" dev
"$environment/bin/pytest" -q -m "not slow"
