"""The examples do what they say, and the manual says what there is."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmcore.call_context import CONTEXT_FIELDS
from llmcore.cli.batch.lines import Job, parse
from llmcore.cli.batch.output import FINAL_CODES

ROOT = Path(__file__).parents[3]
REQUESTS = ROOT / "examples" / "requests.jsonl"
MANUAL = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")


def test_the_example_is_what_its_generator_writes() -> None:
    written = subprocess.run([sys.executable, ROOT / "examples" / "make_requests.py"], capture_output=True, check=True)

    assert REQUESTS.read_bytes() == written.stdout


def test_the_example_has_many_kinds_of_requests_and_some_that_repeat() -> None:
    jobs = []
    for number, line in enumerate(REQUESTS.read_bytes().splitlines(), start=1):
        job = parse(number, line)
        assert isinstance(job, Job)
        jobs.append(job)

    assert len({job.custom_id for job in jobs}) == len(jobs) >= 240
    assert len({job.call_type for job in jobs}) == 8
    assert len({job.priority for job in jobs}) == 3
    bodies = Counter(json.dumps([job.model, job.messages, job.params]) for job in jobs)
    assert len(jobs) - len(bodies) == 66
    used = {name for job in jobs for name in job.context}
    assert used >= {"game_id", "owner_id", "review_id", "trace_id", "player_name", "hand_number", "tags", "metadata"}


def test_the_example_runs_without_a_key_as_its_readme_says(
    run: Callable[..., Any], results: Callable[..., list[dict[str, Any]]]
) -> None:
    ran = run("batch", REQUESTS, "--provider", "offline", "-o", "results.jsonl")

    assert ran.code == 0
    assert ran.out.startswith("calls     244: 178 ok, ")
    assert len(results("results.jsonl")) == 244
    for line in results("results.jsonl"):
        if line["custom_id"].startswith(("poker-000", "review")):
            assert isinstance(json.loads(line["response"]["body"]["choices"][0]["message"]["content"]), dict)
    assert "244 finished before" in run("batch", REQUESTS, "--provider", "offline", "-o", "results.jsonl").err
    assert "244: 178 ok" in run("report").out


def test_the_manual_names_every_option_and_no_other(run: Callable[..., Any]) -> None:
    said = run("batch", "--help").out

    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", said)) - {"--help"}
    table = MANUAL[MANUAL.index("## Options") : MANUAL.index("Everything else is as configured")]

    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", table)) == options


def test_the_manual_names_every_context_field_and_final_error() -> None:
    fields = MANUAL[MANUAL.index("| field |") : MANUAL.index("Lines are read as")]

    assert set(re.findall(r"`(\w+)`", fields)) >= CONTEXT_FIELDS
    assert {code for code in FINAL_CODES if f"`{code}`" not in MANUAL} == set()


def test_every_request_of_the_manual_is_one() -> None:
    lines = re.findall(r'^\{"custom_id".*\}$', MANUAL, re.MULTILINE)

    assert lines
    for line in lines:
        assert isinstance(parse(1, line.encode()), Job)


@pytest.mark.parametrize(
    "code",
    [
        "invalid_json",
        "invalid_utf8",
        "line_too_long",
        "missing_custom_id",
        "duplicate_custom_id",
        "unknown_url",
        "missing_model",
        "wrong_type",
        "unsupported",
    ],
)
def test_the_manual_names_every_way_to_be_malformed(code: str) -> None:
    assert f"`{code}`" in MANUAL
