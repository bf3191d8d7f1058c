"""What every test of prices starts from."""

import os
from pathlib import Path

import pytest

from llmcore.config import Settings
from llmcore.pricing import Catalogue


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue(Settings())


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("LLMCORE_") and name != "LLMCORE_RECORDED":
            monkeypatch.delenv(name)
