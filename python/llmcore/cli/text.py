"""How numbers and commands read on a terminal."""

import re
import shlex
from collections.abc import Sequence

__all__ = ["clock", "command", "compact", "dollars", "milliseconds", "seconds"]


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
