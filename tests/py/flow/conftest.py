"""What every test of a flow starts from."""

from pathlib import Path

import pytest

from support.flow_bench import Bench
from support.scripted import bare_environment


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare_environment(monkeypatch, tmp_path)


@pytest.fixture
def bench() -> Bench:
    return Bench()
