"""A value that fits a JSON schema, made up: the same for the same seed, inside the process. Pure.

It fits as far as a value can be found without searching: a schema may ask for what contradicts itself, and patterns
with look-around are filled as if it were not there. Whoever asked checks the value, as with any model's answer.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from llmcore._core import sha256

__all__ = ["fill"]

#: How deep optional parts are filled; how deep any are. A schema may contain itself.
_DEEP, _DEEPEST = 4, 12
_USUAL: Final = 2  # items of a list
_LONGEST: Final = 1000  # items, or characters
_MOST: Final = 10_000  # values in all: what contains itself often enough has no end otherwise
_FORMATS: Final[dict[str, Callable[[int], str]]] = {
    "date": lambda n: f"2026-{n % 12 + 1:02}-{n % 28 + 1:02}",
    "time": lambda n: f"{n % 24:02}:{n % 60:02}:00Z",
    "date-time": lambda n: f"2026-{n % 12 + 1:02}-{n % 28 + 1:02}T{n % 24:02}:{n % 60:02}:00Z",
    "duration": lambda n: f"PT{n % 59 + 1}M",
    "email": lambda n: f"name{n % 1000}@example.com",
    "hostname": lambda n: f"host{n % 1000}.example.com",
    "ipv4": lambda n: f"192.0.2.{n % 256}",
    "ipv6": lambda n: f"2001:db8::{n % 65536:x}",
    "uri": lambda n: f"https://example.com/{n % 1000}",
    "uuid": lambda n: f"{n % (1 << 32):08x}-0000-4000-8000-{n % (1 << 48):012x}",
    "json-string": lambda n: str(n % 1000),
    "binary": lambda n: f"bytes {n % 1000}",
    "base64": lambda n: "b2ZmbGluZQ==",
    "base64url": lambda n: "b2ZmbGluZQ==",
    "regex": lambda n: "[a-z]+",
}


def fill(schema: dict[str, Any], seed: bytes, sentence: Callable[[int], str]) -> Any:
    """A value for a schema, of JSON's types.

    :param seed: decides every choice
    :param sentence: makes a text of a number
    :raises ValueError, TypeError, ...: it is no schema, or none that a value of a sensible size fits
    """
    return _Filler(schema, seed, sentence).value(schema, 0)


class _Filler:
    def __init__(self, root: dict[str, Any], seed: bytes, sentence: Callable[[int], str]) -> None:
        self._root = root
        self._seed = seed
        self._sentence = sentence
        self._drawn = 0
        self._made = 0

    def _draw(self) -> int:
        self._drawn += 1
        return int.from_bytes(sha256(self._seed + self._drawn.to_bytes(4))[:6])

    def value(self, schema: Any, depth: int) -> Any:
        self._made += 1
        if self._made > _MOST:
            raise ValueError("the value grows without end")
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return None if depth > _DEEPEST else self._sentence(self._draw())
        if isinstance(at := schema.get("$ref"), str):
            return self.value(self._definition(at), depth + 1)
        for part in schema.get("allOf", ()):
            schema = {**schema, **part}
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][self._draw() % len(schema["enum"])]
        for name in ("anyOf", "oneOf"):
            if schema.get(name):
                return self.value(self._one_of(schema[name], depth), depth + 1)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        if kind == "object" or (kind is None and "properties" in schema):
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind in ("integer", "number"):
            return self._number(schema, kind == "integer")
        if kind == "boolean":
            return self._draw() % 2 == 0
        return None if kind == "null" else self._string(schema)

    def _definition(self, reference: str) -> Any:
        found: Any = self._root
        for step in reference.removeprefix("#").split("/"):
            if step:
                found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found

    def _one_of(self, options: list[Any], depth: int) -> Any:
        nothing = [each for each in options if isinstance(each, dict) and each.get("type") == "null"]
        if depth >= _DEEP and nothing:
            return nothing[0]
        some = [each for each in options if each not in nothing] or options
        numbers = [each for each in some if isinstance(each, dict) and each.get("type") in ("integer", "number")]
        some = numbers or some  # beside a number, a string has to be one: a Decimal
        if depth >= _DEEP:  # one without parts, if there is one: it ends
            some = [each for each in some if not isinstance(each, dict) or "$ref" not in each] or some
        return some[self._draw() % len(some)]

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        required = schema.get("required", ())
        made = {
            name: self.value(part, depth + 1)
            for name, part in schema.get("properties", {}).items()
            if name in required or depth < _DEEP
        }
        more = schema.get("additionalProperties")
        while len(made) < min(schema.get("minProperties", 0), _LONGEST):
            made[f"key{len(made) + 1}"] = self.value(more, depth + 1)
        return made

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        made = [self.value(part, depth + 1) for part in schema.get("prefixItems", ())]
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", _LONGEST), _LONGEST)
        count = min(max(least, 0 if depth >= _DEEP or "prefixItems" in schema else _USUAL), most)
        for _ in range(count * 4):
            if len(made) >= count:
                break
            item = self.value(schema.get("items", True), depth + 1)
            if not schema.get("uniqueItems") or item not in made:
                made.append(item)
        return made

    def _number(self, schema: dict[str, Any], whole: bool) -> int | float:
        low, high = schema.get("minimum"), schema.get("maximum")
        above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        step = schema.get("multipleOf") or 1
        if low is None:
            low = (above + step if whole else above) if above is not None else None
        if high is None:
            high = (below - step if whole else below) if below is not None else None
        if low is None:
            low = high - 100 * step if high is not None else 0
        if high is None:
            high = low + 100 * step
        if whole or "multipleOf" in schema:
            first = -(-low // step)
            count = max(int(high // step - first), 0) + 1
            found = (first + self._draw() % count) * step
            return int(found) if whole else float(found)
        return float(low + (high - low) * (self._draw() % 98 + 1) / 100)  # between them, so that neither bound matters

    def _string(self, schema: dict[str, Any]) -> str:
        made = _FORMATS.get(schema.get("format", ""))
        if made is not None:
            return made(self._draw())
        if isinstance(pattern := schema.get("pattern"), str):
            return _Pattern(self._draw).text(pattern)
        text = self._sentence(self._draw())
        least = min(schema.get("minLength", 0), _LONGEST)
        while len(text) < least:
            text = f"{text} {self._sentence(self._draw())}"
        return text[: schema["maxLength"]] if "maxLength" in schema else text


class _Pattern:
    """Texts that a regular expression matches, by the parser of `re` itself."""

    def __init__(self, draw: Callable[[], int]) -> None:
        self._draw = draw
        self._groups: dict[int, str] = {}

    def text(self, pattern: str) -> str:
        from re import _parser as parser  # type: ignore[attr-defined]

        try:
            return self._of(parser.parse(pattern))
        except (re.error, RecursionError, OverflowError):
            return pattern

    def _of(self, parsed: Any) -> str:
        return "".join(self._piece(str(name), value) for name, value in parsed)

    def _piece(self, name: str, value: Any) -> str:
        if name == "LITERAL":
            return chr(value)
        if name == "NOT_LITERAL":
            return "a" if value != ord("a") else "b"
        if name == "ANY":
            return "a"
        if name == "IN":
            return self._character(value)
        if name == "BRANCH":
            return self._of(value[1][self._draw() % len(value[1])])
        if name == "SUBPATTERN":
            group, _, _, inner = value
            made = self._of(inner)
            if group is not None:
                self._groups[group] = made
            return made
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            least, most, inner = value
            count = min(max(least, min(int(most), least + self._draw() % 3)), _LONGEST)
            return "".join(self._of(inner) for _ in range(count))
        if name == "ATOMIC_GROUP":
            return self._of(value)
        return self._groups.get(value, "") if name == "GROUPREF" else ""  # anchors and look-around take no room

    def _character(self, options: Any) -> str:
        if str(options[0][0]) == "NEGATE":
            unwanted = [(str(name), value) for name, value in options[1:]]
            return next((each for each in "aA0 _-.~" if not any(_is_in(each, *one) for one in unwanted)), "\u00e4")
        name, value = options[self._draw() % len(options)]
        if str(name) == "RANGE":
            low, high = value
            return chr(low + self._draw() % (high - low + 1))
        return chr(value) if str(name) == "LITERAL" else _SAMPLES.get(str(value), "a")


_SAMPLES: Final = {
    "CATEGORY_DIGIT": "7",
    "CATEGORY_SPACE": " ",
    "CATEGORY_WORD": "w",
    "CATEGORY_NOT_DIGIT": "x",
    "CATEGORY_NOT_SPACE": "x",
    "CATEGORY_NOT_WORD": "-",
}
_CLASSES: Final[dict[str, Callable[[str], bool]]] = {
    "CATEGORY_DIGIT": str.isdigit,
    "CATEGORY_SPACE": str.isspace,
    "CATEGORY_WORD": lambda letter: letter.isalnum() or letter == "_",
}


def _is_in(letter: str, name: str, value: Any) -> bool:
    if name == "LITERAL":
        return bool(ord(letter) == value)
    if name == "RANGE":
        return bool(value[0] <= ord(letter) <= value[1])
    known = _CLASSES.get(str(value).replace("NOT_", ""))
    return known is not None and known(letter) != ("NOT_" in str(value))
