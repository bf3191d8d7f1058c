"""How numbers, names and commands read on a terminal, and how text gets there."""

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Sequence
from typing import TextIO

from llmcore.errors import LLMConfigError

__all__ = ["clock", "command", "compact", "dollars", "milliseconds", "name", "say", "seconds", "show"]

#: Characters of a name that are shown.
_NAME = 60


def say(text: str, stream: TextIO | None = None) -> None:
    """Writes a line to standard error. A run goes on if nobody can read it, be it that the disk of a log is full."""
    stream = sys.stderr if stream is None else stream
    with contextlib.suppress(OSError):
        stream.write(text + "\n")
        stream.flush()


def show(text: str) -> None:
    """Writes what a command was asked for to standard output. A reader that has gone wants no more of it.

    :raises LLMConfigError: it cannot be written
    """
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except OSError as error:
        # What is left in its buffer would be written, and fail, once more at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            reason = (error.strerror or str(error)).lower()
            raise LLMConfigError(
                f"the report cannot be written to standard output ({reason}); make room there"
            ) from None


def name(text: str) -> str:
    """A name from outside as one short word: without line ends, control characters and the middle of a long one."""
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= _NAME else f"{shown[: _NAME - 20]}...{shown[-17:]}"


def command(arguments: Sequence[str]) -> str:
    """A command line to be typed again, with *** for the passwords in its URLs."""
    return re.sub(r"(://[^:/@\s]*):\S+@", r"\1:***@", shlex.join(arguments))


def compact(count: int) -> str:
    """A count in about four characters: 999, 12.3k, 4.56M."""
    if count < 1000:
        return str(count)
    value = float(count)
    for unit in ("k", "M"):
        value /= 1000
        if value < 999.5:
            return f"{value:.3g}{unit}"
    return f"{value / 1000:,.3g}G" if value < 999_500 else f"{value / 1000:,.0f}G"


def dollars(nano_usd: int) -> str:
    """An amount, to the cent from a dollar up and to three digits below: $12.34, $0.0123, $0.000000045."""
    sign, nano = ("-", -nano_usd) if nano_usd < 0 else ("", nano_usd)
    if nano >= 1_000_000_000:
        cents = (nano + 5_000_000) // 10_000_000
        return f"{sign}${cents // 100:,}.{cents % 100:02d}"
    if nano == 0:
        return "$0"
    digits = max(2, 12 - len(str(nano)))
    return f"{sign}${nano / 1e9:.{digits}f}"


def clock(duration: float) -> str:
    """A duration in seconds as 0:07, 12:34 or 1:02:03."""
    total = max(0, round(duration))
    hours, rest = divmod(total, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def seconds(duration: float) -> str:
    """A duration in seconds in words: 340 ms, 12.3 s, 4 min 05 s, 2 h 03 min."""
    if duration < 1:
        return f"{duration * 1e3:.0f} ms"
    if duration < 60:
        return f"{duration:.1f} s"
    total = round(duration)
    if total < 3600:
        return f"{total // 60} min {total % 60:02d} s"
    return f"{total // 3600:,} h {total % 3600 // 60:02d} min"


def milliseconds(duration: float) -> str:
    """A latency in milliseconds: 0.42 ms, 37 ms, 1.20 s."""
    if duration >= 1000:
        return f"{duration / 1e3:,.2f} s"
    return f"{duration:.2f} ms" if duration < 10 else f"{duration:.0f} ms"
