"""What every test of settings starts from."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory and an environment without any of our variables."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("LLM", "OPENAI_", "ANTHROPIC_", "LLAMA_")) or name.endswith(("_API_KEY", "_ENDPOINT")):
            monkeypatch.delenv(name)
