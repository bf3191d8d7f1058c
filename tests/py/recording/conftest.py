"""What every test of recordings starts from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.scripted import bare_environment
from support.server import ScriptedServer, echo


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare_environment(monkeypatch, tmp_path)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(echo) as running:
        yield running
