#!/usr/bin/env bash
# From a bare machine to a report: a batch of requests through the offline provider, remembered in an SQLite ledger.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
tools/bootstrap.sh demo
python="$(find_python)"
step "building the package" build_wheel "$python"
step "installing it into .venv" install_wheel "$python" .venv ""

# The demo is the same whatever this shell is configured for, and costs nothing.
for name in $(compgen -e | grep -E '^LLM(CORE)?_'); do unset "$name"; done
rm -rf demo-out
mkdir demo-out
printf "== llmcore batch examples/requests.jsonl --provider offline --rpm 6000 --database demo-out/llmcore.db\n"
.venv/bin/llmcore batch examples/requests.jsonl --provider offline --rpm 6000 --database demo-out/llmcore.db --output demo-out/results.jsonl
