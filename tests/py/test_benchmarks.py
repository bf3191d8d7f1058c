"""The comparison with the peers still runs, as far as it needs none: benchmarks that nobody runs stop running."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from support.server_process import ServerProcess

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_groups_without_peers_are_measured_written_and_drawn(tmp_path: Path) -> None:
    groups = ("queue", "record", "engine")
    figures, chart = tmp_path / "figures.json", tmp_path / "chart.svg"
    command = [sys.executable, "benchmarks/peers.py", "--quick", "--only", ",".join(groups)]
    command += ["--json", str(figures), "--chart", str(chart)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "absent" not in done.stdout
    found = json.loads(figures.read_text())
    assert tuple(found) == groups
    for contenders in found.values():
        assert any(name.startswith("llmcore") for name in contenders)
        assert all(figure > 0 for figure in contenders.values())
    drawn = "".join(ET.parse(chart).getroot().itertext())
    assert all(name in drawn for contenders in found.values() for name in contenders)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mode"),
    [("llmcore", "structured"), ("llmcore", "concurrent"), ("openai", "sequential"), ("llmcore.openai", "sequential")],
)
def test_the_contenders_that_are_installed_are_measured(name: str, mode: str) -> None:
    answer = {"mood": "good", "stars": 4, "topics": [], "summary": "short"}
    with ServerProcess("chat", text=json.dumps(answer)) as server:
        command = [sys.executable, "benchmarks/contenders.py", name, mode, "20", server.base_url]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["cpu_us"] > 0
    assert found["per_second"] > 0
