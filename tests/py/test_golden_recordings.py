"""Recordings of every version are read for ever, and run to the same states (tests/data/recordings)."""

import io
import shutil
from pathlib import Path

import pytest

from llmcore import ReplayRng, ReplayTransport, ReplayValidator
from llmcore.recording import Recording, replay
from llmcore.recording_json import export_json, import_json
from llmcore.transport import TransportError
from llmcore.types import HttpRequest

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings"
VERSIONS = sorted(folder.name for folder in RECORDINGS.iterdir() if folder.is_dir())


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the recordings of one version."""
    return Path(shutil.copytree(RECORDINGS / request.param, tmp_path / request.param))


def test_the_first_version_is_there() -> None:
    assert "v1" in VERSIONS


def test_a_run_goes_the_same_way(version: Path) -> None:
    report = replay(version / "run")
    assert report.ok, report.divergence
    assert report.complete
    assert report.inputs >= 15
    kinds = {event["kind"] for event in Recording(version / "run")}
    assert kinds == {"recording_begin", "config", "input", "request_body", "response_body", "recording_end"}
    inputs = [name for event in Recording(version / "run") if event["kind"] == "input" for name in event["input"]]
    assert {"submit", "replied", "failed", "cancel", "tick"} <= set(inputs)


def test_its_states_are_those_that_were(version: Path) -> None:
    states = [event["state"] for event in Recording(version / "run") if event["kind"] == "input"]
    assert states == (RECORDINGS / version.name / "run.states").read_text().split()


def test_its_answers_are_served(version: Path) -> None:
    transport = ReplayTransport(version / "run")
    told: list[int | str] = []
    for event in Recording(version / "run"):
        if event["kind"] == "request_body":
            request = HttpRequest(event["url"], {}, event["body"].encode(), event["method"])
            try:
                told.append(transport.send(request, 1).status)
            except TransportError as error:
                told.append(error.outcome.name)
            except Exception as error:
                told.append(type(error).__name__)
    assert told[:4] == [200, 429, 200, 200]
    assert "CONNECTION" in told
    assert told[-1] == "ReplayError"  # it was given up before there was an answer


def test_a_game_draws_the_same(version: Path) -> None:
    rng = ReplayRng.of(version / "game")
    gold = 0
    kept = [event["bytes"] for event in Recording(version / "game") if event["kind"] == "snapshot"]
    for tick in range(3):
        gold += rng.below("loot", 100) + rng.between("weather", -5, 5) + rng.next("noise") % 3
        assert kept[tick] == (b"\xff%d" % gold if tick else None)


def test_they_survive_the_way_through_json(version: Path, tmp_path: Path) -> None:
    for name in ("run", "game"):
        exported = io.BytesIO()
        export_json(version / name, exported)
        exported.seek(0)
        import_json(exported, tmp_path / name)
        assert ReplayValidator().compare(version / name, tmp_path / name) is None
