"""Every Python example of README and docs/ runs as it stands there, in an empty folder, without a key,
and prints what it says that it prints.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples" / "README.md"]


def examples() -> list[tuple[str, str]]:
    """(place, source) of each block marked as python."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            found.append((f"{page.relative_to(ROOT)}:{line}", match.group(1)))
    return found


def test_there_are_examples() -> None:
    pages = {place.rpartition(":")[0] for place, _ in examples()}
    assert {"README.md", "docs/client.md"} <= pages


def test_every_component_has_an_example_in_both_languages() -> None:
    for page in (ROOT / "docs" / "components").glob("*.md"):
        blocks = re.findall(r"^```(python|cpp)$", page.read_text(), re.MULTILINE)
        assert page.name == "README.md" or {"python", "cpp"} == set(blocks), page.name


def promises(source: str) -> list[str]:
    """What the comments behind each print say that it prints: all of it, or up to a colon or semicolon."""
    return re.findall(r"^print\(.*\)\s+# (.*)$", source, re.MULTILINE)


def keeps(promise: str, line: str) -> bool:
    return promise == line or promise.startswith((f"{line}:", f"{line};"))


@pytest.mark.parametrize(("place", "source"), [pytest.param(*found, id=found[0]) for found in examples()])
def test_example_runs(place: str, source: str, tmp_path: Path) -> None:
    for framework in set(re.findall(r"^from (flask|celery|fastapi)\b", source, re.MULTILINE)):
        pytest.importorskip(framework, reason=f"{framework} is not installed, which this example is for")
    environment = {
        name: value for name, value in os.environ.items() if not re.match("(LLM|OPENAI|ANTHROPIC|LLAMA)", name)
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{place}\n{done.stderr}"
    printed = iter(done.stdout.splitlines())
    for promise in promises(source):
        assert any(keeps(promise, line) for line in printed), f"{place} does not print: {promise}\n{done.stdout}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"
