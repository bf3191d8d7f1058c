"""What changed between two requests, in lines that a person can read. Pure."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

__all__ = ["Asked", "describe", "likeness"]

_LONGEST_VALUE = 300
_MOST_CHANGES = 20


class Asked(msgspec.Struct, frozen=True):
    """A request as it is compared: method, place (host, path and query), body."""

    method: str
    place: str
    body: bytes

    def leaves(self) -> dict[str, str]:
        """Every value in it by its path: "messages[1].content"."""
        found = {"method": self.method, "place": self.place}
        try:
            found.update(_leaves("", msgspec.json.decode(self.body)))
        except (ValueError, RecursionError):
            found["body"] = self.body.decode("utf-8", "backslashreplace")
        return found


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(f"{path}.{name}" if path else name, inner)
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _leaves(f"{path}[{index}]", inner)
    else:
        yield path or "body", value if isinstance(value, str) else msgspec.json.encode(value).decode()


def likeness(one: Mapping[str, str], other: Mapping[str, str]) -> float:
    """How much two requests have in common, by their leaves: 1 for equal ones."""
    score = 0.0
    for path, value in one.items():
        against = other.get(path)
        if against == value:
            score += 1
        elif against is not None:
            start = difflib.SequenceMatcher(None, value[:_LONGEST_VALUE], against[:_LONGEST_VALUE], autojunk=False)
            score += 0.1 + 0.8 * start.quick_ratio()
    return score / max(len(one), len(other), 1)


def describe(recorded: Mapping[str, str], asked: Mapping[str, str]) -> str:
    """The values that differ, each with what was recorded and what is asked now."""
    lines: list[str] = []
    changed = [path for path in {**recorded, **asked} if recorded.get(path) != asked.get(path)]
    for path in changed[:_MOST_CHANGES]:
        before, now = recorded.get(path), asked.get(path)
        lines.append(f"  {path}")
        if before is not None and now is not None and ("\n" in before or "\n" in now):
            lines += [f"    {line}" for line in _text_difference(before, now)]
            continue
        at = _first_difference(before or "", now or "")
        lines.append(f"    recorded: {_shown(before, at)}")
        lines.append(f"    now:      {_shown(now, at)}")
    if len(changed) > _MOST_CHANGES:
        lines.append(f"  and {len(changed) - _MOST_CHANGES} more")
    return "\n".join(lines)


def _text_difference(before: str, now: str) -> list[str]:
    lines = list(difflib.unified_diff(before.splitlines(), now.splitlines(), "recorded", "now", lineterm="", n=1))
    shown = [line if len(line) <= _LONGEST_VALUE else line[:_LONGEST_VALUE] + "..." for line in lines[2:]]
    return shown if len(shown) <= _MOST_CHANGES else [*shown[:_MOST_CHANGES], f"and {len(shown) - _MOST_CHANGES} more"]


def _first_difference(one: str, other: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _shown(value: str | None, at: int) -> str:
    if value is None:
        return "(absent)"
    start = max(at - 60, 0) if len(value) > _LONGEST_VALUE else 0
    piece = value[start : start + _LONGEST_VALUE]
    return f"{'...' if start else ''}{piece!r}{'...' if start + _LONGEST_VALUE < len(value) else ''}"
