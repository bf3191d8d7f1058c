"""What every test of parking starts from."""

from pathlib import Path

import pytest

from support.parked import Toy
from support.scripted import bare_environment


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare_environment(monkeypatch, tmp_path)


@pytest.fixture
def toy() -> Toy:
    return Toy()
