"""How numbers read on a terminal."""

import pytest

from llmcore.cli import text


@pytest.mark.parametrize(
    ("count", "reads"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1k"),
        (12_345, "12.3k"),
        (999_499, "999k"),
        (999_500, "1M"),
        (4_560_000, "4.56M"),
        (999_500_000, "1G"),
        (12_300_000_000, "12.3G"),
        (4_000_000_000_000, "4,000G"),
    ],
)
def test_counts_are_compact(count: int, reads: str) -> None:
    assert text.compact(count) == reads


@pytest.mark.parametrize(
    ("nano_usd", "reads"),
    [
        (0, "$0"),
        (45, "$0.0000000450"),
        (12_345, "$0.0000123"),
        (12_300_000, "$0.0123"),
        (123_456_789, "$0.123"),
        (999_999_999, "$1.000"),
        (1_000_000_000, "$1.00"),
        (1_005_000_000, "$1.01"),
        (1_234_567_890_000, "$1,234.57"),
        (-12_300_000, "-$0.0123"),
    ],
)
def test_amounts_have_three_digits_below_a_dollar_and_cents_above(nano_usd: int, reads: str) -> None:
    assert text.dollars(nano_usd) == reads


@pytest.mark.parametrize(("duration", "reads"), [(-1, "0:00"), (7.4, "0:07"), (754, "12:34"), (3723, "1:02:03")])
def test_an_eta_is_a_clock(duration: float, reads: str) -> None:
    assert text.clock(duration) == reads


@pytest.mark.parametrize(
    ("duration", "reads"),
    [(0, "0 ms"), (0.34, "340 ms"), (12.34, "12.3 s"), (245, "4 min 05 s"), (7380, "2 h 03 min")],
)
def test_durations_are_words(duration: float, reads: str) -> None:
    assert text.seconds(duration) == reads


@pytest.mark.parametrize(
    ("duration", "reads"), [(0.42, "0.42 ms"), (37.4, "37 ms"), (1204, "1.20 s"), (90_000, "90.00 s")]
)
def test_latencies_are_milliseconds_or_seconds(duration: float, reads: str) -> None:
    assert text.milliseconds(duration) == reads


def test_a_command_to_type_again_shows_no_password() -> None:
    typed = ["llmcore", "batch", "in put.jsonl", "--database", "postgresql://ada:s3cr@t@db:5432/calls"]
    assert text.command(typed) == "llmcore batch 'in put.jsonl' --database postgresql://ada:***@db:5432/calls"


def test_a_name_from_outside_is_one_short_word() -> None:
    assert text.name("gpt-4o-mini") == "gpt-4o-mini"
    assert text.name("a\x1b[2J\nb\x00") == "a?[2J?b?"
    assert text.name("m" * 60) == "m" * 60
    assert text.name("m" * 50 + "z" * 50) == "m" * 40 + "..." + "z" * 17
