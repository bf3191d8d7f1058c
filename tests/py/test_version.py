"""One version, written in pyproject.toml, everywhere the same."""

import tomllib
from importlib import metadata
from pathlib import Path

import llmcore
from llmcore import _core


def test_python_and_cpp_agree_on_the_version() -> None:
    assert llmcore.__version__ == _core.__version__ == metadata.version("llmcore")


def test_the_version_is_the_one_written_in_pyproject() -> None:
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    assert _core.__version__ == tomllib.loads(pyproject.read_text())["project"]["version"]


def test_the_changelog_speaks_of_this_version() -> None:
    changelog = Path(__file__).parents[2] / "CHANGELOG.md"
    assert f"## [{_core.__version__}]" in changelog.read_text()
