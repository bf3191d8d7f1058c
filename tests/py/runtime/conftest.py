"""What every test of a runtime starts from, and that none leaves its default behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmcore.runtime import Runtime
from support.scripted import bare_environment


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    bare_environment(monkeypatch, tmp_path)
    monkeypatch.setenv("LLMCORE_DATABASE_URL", "none")
    monkeypatch.setattr(Runtime, "_default", None)
    yield
    if Runtime._default is not None:
        Runtime._default.close()
