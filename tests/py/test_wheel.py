"""What a user gets: the package, one extension, its metadata, and nothing of a C++ installation."""

import os
import re
import zipfile
from importlib import metadata
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def names() -> list[str]:
    """Every path of the wheel that LLMCORE_WHEEL names, or of the installed distribution."""
    if wheel := os.environ.get("LLMCORE_WHEEL"):
        with zipfile.ZipFile(wheel) as archive:
            return archive.namelist()
    files = [str(file) for file in metadata.files("llmcore") or []]
    if any("editable" in file for file in files):
        pytest.skip("an editable install is no wheel; name one in LLMCORE_WHEEL")
    return [file for file in files if "__pycache__" not in file and not file.startswith("..")]


def test_wheel_holds_exactly_one_extension_built_for_this_interpreter(names: list[str]) -> None:
    extensions = [name for name in names if re.search(r"\.(so|pyd|dylib|dll)$", name)]
    assert len(extensions) == 1
    assert re.fullmatch(r"llmcore/_core\.[^/]+\.(so|pyd)", extensions[0])


def test_wheel_holds_nothing_of_a_cpp_installation(names: list[str]) -> None:
    strangers = [name for name in names if not re.match(r"llmcore/|llmcore-[0-9.]+\.dist-info/", name)]
    assert strangers == []
    unwanted = re.compile(r"\.(a|lib|o|h|hpp|cpp|cmake|pc|pth|pyc|egg-link)$|(^|/)(CMakeLists\.txt|tests?)(/|$)")
    assert [name for name in names if unwanted.search(name)] == []


def test_wheel_is_typed(names: list[str]) -> None:
    assert {"llmcore/py.typed", "llmcore/_core.pyi"} <= set(names)


def test_wheel_carries_every_source_file_of_the_package(names: list[str]) -> None:
    root = Path(__file__).parents[2] / "python"
    sources = {
        path.relative_to(root).as_posix()
        for path in (root / "llmcore").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert sources <= set(names)


def test_wheel_carries_the_licence_and_the_command(names: list[str]) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    (command,) = metadata.entry_points(group="console_scripts", name="llmcore")
    assert command.value == "llmcore.cli:main"
