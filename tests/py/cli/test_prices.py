"""The command that says what models cost."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.conftest import Ran


def test_a_card_in_dollars(run: Callable[..., Ran]) -> None:
    shown = run("prices", "show", "openai/gpt-4o-mini")
    assert shown.code == 0
    assert "genai-prices" in shown.out
    assert "input              $0.150000000 a million" in shown.out
    assert "output             $0.600000000 a million" in shown.out


def test_a_card_with_tiers_as_json(run: Callable[..., Ran]) -> None:
    shown = json.loads(run("prices", "show", "gemini/gemini-2.5-pro", "--json").out)
    assert shown["tiers"][0]["above_input_tokens"] == 200_000
    assert float(shown["tiers"][0]["input"]) > float(shown["usd_per_million_tokens"]["input"])


def test_what_one_call_would_cost(run: Callable[..., Ran]) -> None:
    said = run("prices", "check", "gpt-4o-mini", "--input", 2000, "--output", 500)
    assert said.code == 0
    assert "gpt-4o-mini: 2,000 tokens in and 500 out cost $0.000600000" in said.out
    assert json.loads(run("prices", "check", "gpt-4o-mini", "--json").out)["nano_usd"] == 750_000


def test_prices_of_another_day(run: Callable[..., Ran]) -> None:
    before = json.loads(run("prices", "check", "openai/o3", "--at", "2025-05-01", "--json").out)
    later = json.loads(run("prices", "check", "openai/o3", "--at", "2025-07-01", "--json").out)
    assert before["nano_usd"] != later["nano_usd"]


def test_ones_own_price_wins(run: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "llmcore.toml").write_text('[prices."mine/tiny"]\ninput = 1\noutput = 2\n')
    assert json.loads(run("prices", "check", "mine/tiny", "--json").out)["nano_usd"] == 3_000_000


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("show", "openai/grandma-7b"), "no price is known for model 'grandma-7b' of 'openai'"),
        (("check", "gpt-4o-mini", "--at", "yesterday"), "--at 'yesterday' is no date"),
    ],
)
def test_what_nobody_knows_ends_with_a_sentence(arguments: tuple[str, ...], why: str, run: Callable[..., Ran]) -> None:
    ended = run("prices", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert why in ended.err
    assert ended.err.count("\n") == 1
