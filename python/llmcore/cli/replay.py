"""``llmcore replay``: look at recordings, run them again, compare them, and turn them into JSON and back."""

import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from llmcore.errors import ReplayError
from llmcore.recording import Recording, ReplayValidator, replay
from llmcore.recording_json import armoured, export_json, import_json

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Recordings of a program's run: show, verify, compare, export, import.")

_SHOWN = 100  # characters of a body

RecordingPath = Annotated[
    Path, typer.Argument(metavar="RECORDING", help="The directory of a recording, or the file of an export.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


@app.command()
def show(
    recording: RecordingPath,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="KIND", help="Only events of this kind. May be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON.")] = False,
) -> None:
    """List the events of a recording, one a line."""
    with _opened(recording) as directory:
        events = Recording(directory)
        for event in events:
            if only and event["kind"] not in only:
                continue
            if as_json:
                _say(json.dumps(armoured(event)))
            else:
                _say(f"{events.number:>7}  {event['kind']:<15}  {_summary(event)}".rstrip())
        if not events.complete and not as_json:
            _say("It has no end: the program was killed, or still runs.")


@app.command()
def verify(recording: RecordingPath, as_json: AsJson = False) -> None:
    """Run the engine again over the recorded inputs and compare its state after each.

    Exit codes: 0 every state is the recorded one, 1 they part, 2 the recording cannot be read.
    """
    with _opened(recording) as directory:
        report = replay(directory)
    parted = report.divergence
    if as_json:
        found = {"ok": report.ok, "events": report.events, "inputs": report.inputs, "complete": report.complete}
        _say(json.dumps({**found, "divergence": _as_dict(parted)}))
    elif parted is not None:
        _say(_printable(f"They part at {parted}."))
    else:
        end = "" if report.complete else " It has no end: the program was killed, or still runs."
        _say(f"The engine went the same way: {report.inputs:,} inputs, {report.events:,} events.{end}")
    raise typer.Exit(0 if parted is None else 1)


@app.command()
def diff(
    expected: RecordingPath,
    got: RecordingPath,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="KIND", help="Compare events of this kind alone, as in frame. May be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Name the first event in which two recordings differ.

    Exit codes: 0 they are equal, 1 they differ, 2 one of them cannot be read.
    """
    with _opened(expected) as one, _opened(got) as other:
        try:
            parted = ReplayValidator(tuple(only or ())).compare(one, other)
        except ValueError as error:
            raise ReplayError(f"--only: {error}") from None
    if as_json:
        _say(json.dumps({"equal": parted is None, "divergence": _as_dict(parted)}))
    else:
        _say("They are equal." if parted is None else _printable(f"They part at {parted}."))
    raise typer.Exit(0 if parted is None else 1)


@app.command("export")
def export_(
    recording: RecordingPath,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Otherwise standard output.")
    ] = None,
) -> None:
    """Write a recording as JSON Lines, without a loss."""
    if output is None:
        with _opened(recording) as directory:
            export_json(directory, sys.stdout.buffer)
        return
    with _opened(recording) as directory, _system_errors(output), output.open("wb") as to:
        count = export_json(directory, to)
    sys.stderr.write(f"{count:,} events written to {output}\n")


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="What export wrote; - reads standard input.")],
    recording: Annotated[Path, typer.Argument(metavar="RECORDING", help="The directory to make of it.")],
) -> None:
    """Make a recording of JSON Lines."""
    with _lines(source) as lines:
        count = import_json(lines, recording)
    sys.stderr.write(f"{count:,} events written to {recording}\n")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[str]:
    """The directory of a recording; of an export, one made for as long as it is needed."""
    if path.is_dir():
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="llmcore-") as folder, _lines(path) as lines:
        directory = Path(folder, "recording")
        try:
            import_json(lines, directory)
        except ReplayError as error:
            raise ReplayError(f"{path}: {error.message}") from None
        yield str(directory)


@contextlib.contextmanager
def _lines(path: Path) -> Iterator[BinaryIO]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    with _system_errors(path):
        opened = path.open("rb")
    with opened:
        yield opened


@contextlib.contextmanager
def _system_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReplayError(f"{path}: {error.strerror or error}") from None


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _as_dict(divergence: Any) -> dict[str, Any] | None:
    if divergence is None:
        return None
    return {name: getattr(divergence, name) for name in ("tick", "event", "field", "expected", "got")}


def _summary(event: dict[str, Any]) -> str:
    return _printable(_SUMMARY[event["kind"]](event))


def _of_input(event: dict[str, Any]) -> str:
    [(name, fields)] = event["input"].items()
    told = [f"at {event['mono'] / 1e9:.6f} s", name]
    told += [f"{key} {fields[key]}" for key in ("attempt", "call", "outcome") if key in fields]
    told += [f"{target['provider']}/{target['model']}" for target in fields.get("targets", ())]
    return "  ".join([*told, event["state"]])


def _of_response(event: dict[str, Any]) -> str:
    if event["error"] is not None:
        return f"{_about(event)}  {event['error']}: {event['message']}"
    return f"{_about(event)}  {event['status']}  {_start_of(event['body'])}"


def _about(event: dict[str, Any]) -> str:
    return f"call {event['call']}  attempt {event['attempt']}"


def _of_snapshot(event: dict[str, Any]) -> str:
    kept = event["bytes"]
    return f"tick {event['tick']}  {event['name']}  {event['state']}" + ("" if kept is None else f"  {_start_of(kept)}")


_SUMMARY: dict[str, Callable[[dict[str, Any]], str]] = {
    "recording_begin": lambda event: f"by {event['producer']}, version {event['version']}",
    "config": lambda event: f"seed {event['config']['seed']}",
    "input": _of_input,
    "request_body": lambda event: f"{_about(event)}  {event['method']} {event['url']}  {_start_of(event['body'])}",
    "response_body": _of_response,
    "frame": lambda event: f"tick {event['tick']}",
    "rng": lambda event: f"{event['name']}  {event['value']}" + (f" of {event['bound']}" if event["bound"] else ""),
    "snapshot": _of_snapshot,
    "recording_end": lambda event: f"after {event['events']} events",
}


def _start_of(body: str | bytes) -> str:
    if isinstance(body, bytes):
        return f"({len(body):,} bytes)"
    return body if len(body) <= _SHOWN else f"{body[:_SHOWN]}... ({len(body):,} characters)"


def _printable(text: str) -> str:
    """A recording may come from anybody: what steers a terminal is not passed on to it."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
