"""Recordings as JSON Lines, one event a line, and back without a loss. Both directions stream.

Bytes are text where they are UTF-8, and otherwise {"base64": "..."}; everything else is as in
:class:`llmcore.recording.Recording`.
"""

import base64
import binascii
from collections.abc import Callable, Iterator
from os import PathLike
from typing import Any, BinaryIO

import msgspec

from llmcore.errors import ReplayError
from llmcore.recording import Event, Recording, ReplayLogger

__all__ = ["armoured", "events_of", "export_json", "import_json"]

_LONGEST_LINE = 512 * 1024 * 1024


def export_json(directory: str | PathLike[str], to: BinaryIO) -> int:
    """Writes every event of a recording as a line of JSON.

    :returns: how many events there were
    :raises ReplayError: the recording cannot be read
    """
    encoder = msgspec.json.Encoder()
    recording = Recording(directory)
    to.writelines(encoder.encode(armoured(event)) + b"\n" for event in recording)
    return recording.number


def import_json(source: BinaryIO, directory: str | PathLike[str]) -> int:
    """Makes a recording of the lines of an export.

    :returns: how many events there were
    :raises ReplayError: a line is no event, there is none, or the directory cannot be written
    """
    log = ReplayLogger(directory, ack="memory")
    try:
        number, ended = 0, False
        for number, event in enumerate(events_of(source), 1):
            try:
                log.append(event)
            except ValueError as error:
                raise ReplayError(f"line {number}: {error}") from None
            ended = event["kind"] == "recording_end"
        if number == 0:
            raise ReplayError("there is no event to make a recording of")
    except BaseException:
        log.abandon()
        raise
    if ended:
        log.close()
    else:
        log.abandon()
    return number


def events_of(source: BinaryIO) -> Iterator[Event]:
    """The events in the lines of an export, as they are read.

    :raises ReplayError: a line is no event
    """
    lines = iter(lambda: source.readline(_LONGEST_LINE), b"")
    for number, line in enumerate(lines, 1):
        if len(line) == _LONGEST_LINE:
            raise ReplayError(f"line {number} is longer than any event can be")
        try:
            event = _mapped(msgspec.json.decode(line), _plain)
        except (ValueError, RecursionError):
            raise ReplayError(f"line {number} is not JSON") from None
        if not isinstance(event, dict) or not isinstance(event.get("kind"), str):
            raise ReplayError(f"line {number} is no event of a recording")
        yield event


def armoured(event: Event) -> Event:
    """The event with everything in it that JSON has a form for."""
    made: Event = _mapped(event, _in_base64)
    return made


def _mapped(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """`value` with `leaf` applied from the inside out to everything in it."""
    if isinstance(value, dict):
        return leaf({name: _mapped(inner, leaf) for name, inner in value.items()})
    if isinstance(value, list):
        return [_mapped(inner, leaf) for inner in value]
    return leaf(value)


def _in_base64(value: Any) -> Any:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"base64"}:
        try:
            return base64.b64decode(value["base64"], validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise ValueError("not base64") from None
    return value
