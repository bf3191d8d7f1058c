"""A program's own frames, draws and snapshots, recorded and compared."""

from collections.abc import Callable

import pytest

from llmcore import ReplayError, ReplayLogger, ReplayRng, ReplayValidator
from llmcore.recording import Recording, replay


def game(rng: ReplayRng, log: ReplayLogger) -> None:
    """Three frames of a game whose luck is recorded."""
    gold = 0
    for tick in range(3):
        log.frame(tick)
        gold += rng.below("loot", 100) + rng.between("weather", -5, 5)
        log.snapshot(tick, "purse", str(gold).encode(), keep=tick == 2)


def test_a_game_is_the_same_again() -> None:
    with ReplayLogger("one") as log:
        game(ReplayRng(7, log), log)
    with ReplayLogger("two") as log:
        rng = ReplayRng.of("one")
        game(rng, log)
        assert rng.replaying
        assert rng.divergence is None
    assert ReplayValidator(("frame", "snapshot")).compare("one", "two") is None
    with ReplayLogger("other") as log:
        game(ReplayRng(8, log), log)
    parted = ReplayValidator(("frame", "rng", "snapshot")).compare("one", "other")
    assert parted is not None
    assert (parted.tick, parted.field) == (0, "value")
    assert str(parted) == f"tick 0, event 3: value was {parted.expected} and is {parted.got}"


def test_a_draw_that_was_never_made_is_an_error() -> None:
    with ReplayLogger("one") as log:
        game(ReplayRng(7, log), log)
    rng = ReplayRng.of("one")
    with pytest.raises(ReplayError, match=r"rng.loot was below 100 and is below 6"):
        rng.below("loot", 6)
    assert rng.divergence is not None


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda log: log.rng("", 1), "the name is empty"),
        (lambda log: log.rng("d6", 6, 6), "outside of its bound"),
        (lambda log: log.snapshot(1, "", b""), "the name is empty"),
        (lambda log: log.append({"kind": "nonsense"}), "no event of a recording"),
        (lambda log: log.append({"kind": "frame"}), "tick: it is missing"),
        (lambda log: log.append({"kind": "frame", "tick": "1"}), "tick: expected a whole number"),
        (lambda log: log.append({"kind": "frame", "tick": 1 << 63}), "tick: the number does not fit"),
        (lambda log: log.append({"kind": "frame", "tick": 1, "tock": 2}), "fields that are not known"),
        (lambda log: log.append({"kind": "frame", "tick": True}), "tick: expected a whole number"),
        (
            lambda log: log.append({"kind": "input", "mono": 0, "wall": 0, "input": {"jump": {}}, "state": "0" * 16}),
            "input: an input of this name is not known",
        ),
        (
            lambda log: log.append(
                {"kind": "input", "mono": 0, "wall": 0, "input": {"failed": {"attempt": 1, "outcome": b"\xff"}}}
            ),
            "input.failed.outcome: expected one of ok, ",
        ),
        (
            lambda log: log.append({"kind": "input", "mono": 0, "wall": 0, "input": {"tick": {}}, "state": "xyz"}),
            "state: expected 16 hex digits",
        ),
        (
            lambda log: log.append(
                {"kind": "input", "mono": 0, "wall": 0, "input": {"cancel": {"call": -1}}, "state": "0" * 16}
            ),
            "input.cancel.call: the number does not fit",
        ),
    ],
)
def test_what_could_not_be_replayed_is_refused(wrong: Callable[[ReplayLogger], object], why: str) -> None:
    with ReplayLogger("run") as log:
        with pytest.raises(ValueError, match=why):
            wrong(log)
        assert log.problem is None
        assert log.stats()["events"]["frame"] == 0


def test_a_recording_needs_a_place_of_its_own() -> None:
    with ReplayLogger("run") as log:
        log.frame(1)
        with pytest.raises(ReplayError, match="cannot record"):
            ReplayLogger("run")
    with pytest.raises(ReplayError, match="run holds a recording already"):
        ReplayLogger("run")
    with pytest.raises(ReplayError, match="cannot read"):
        Recording("nowhere")
    with pytest.raises(ReplayError, match="cannot read"):
        replay("nowhere")
    with pytest.raises(ReplayError, match="cannot read"):
        ReplayValidator().compare("run", "nowhere")
    with pytest.raises(ReplayError, match="cannot read"):
        ReplayRng.of("nowhere")
    with pytest.raises(ValueError, match="no kind of event"):
        ReplayValidator(("frames",)).compare("run", "run")
    with pytest.raises(ValueError, match="ack is"):
        ReplayLogger("else", ack="never")
