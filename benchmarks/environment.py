"""The environment that the peers live in: benchmarks/.venv-peers, apart from the one that llmcore is installed in."""

import subprocess
import venv
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent / ".venv-peers"


def peers_python(requirements: Iterable[str]) -> tuple[str, set[str]]:
    """Its interpreter, and which of the requirements could not be installed there. Each is installed once."""
    python = FOLDER / "bin" / "python"
    if not python.exists():
        venv.create(FOLDER, with_pip=True)
    missing = [requirement for requirement in sorted(set(requirements)) if not _marker(requirement).exists()]
    if missing and _installed(python, missing):
        missing = []
    absent = {requirement for requirement in missing if not _installed(python, [requirement])}
    return str(python), absent


def _installed(python: Path, requirements: list[str]) -> bool:
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *requirements], check=False, capture_output=True, text=True
    )
    if done.returncode == 0:
        for requirement in requirements:
            _marker(requirement).touch()
    return done.returncode == 0


def _marker(requirement: str) -> Path:
    name = "".join(letter if letter.isalnum() or letter in "-._" else "_" for letter in requirement)
    return FOLDER / f"{name}.installed"
