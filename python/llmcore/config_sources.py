"""Where settings come from (arguments, environment, file), and what to say about one that is wrong.

A source is read into a :class:`Layer`: values nested as the fields are, and the names they were given under. Nothing is
raised while reading: what cannot be parsed stands in the layer as :class:`Unreadable`, so that all problems of all
sources are told together.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, SecretStr, ValidationError

from llmcore.errors import LLMConfigError
from llmcore.hosts import provider_variables

__all__ = ["Layer", "explained", "read_arguments", "read_environment", "read_file"]

#: Settings with a name of their own beside the sections: lower case in arguments and files, upper case in variables.
SHORT_NAMES: dict[str, tuple[str, ...]] = {
    "openai_api_key": ("providers", "openai", "api_key"),
    "openai_base_url": ("providers", "openai", "base_url"),
    "anthropic_api_key": ("providers", "anthropic", "api_key"),
    "anthropic_base_url": ("providers", "anthropic", "base_url"),
    "llama_server_url": ("providers", "llama", "base_url"),
}
#: Variables without the common prefix. Those of providers have the names that the providers' own documentation uses.
VARIABLES: dict[str, tuple[str, ...]] = {
    "LLM_PROVIDER": ("provider",),
    "LLM_MODEL": ("model",),
    "LLMCORE_DATABASE_URL": ("ledger", "url"),
    "AZURE_OPENAI_API_VERSION": ("providers", "azure", "api_version"),
    **provider_variables(),
}
PREFIX = "LLMCORE_"
FILE_VARIABLE = "LLMCORE_CONFIG"
FILES = ("llmcore.toml", "llmcore.json")

Loc = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in the place of a value that could not be parsed."""

    reason: str


@dataclass(slots=True)
class Layer:
    """The values of one source. `prefix` says which where a value has no name of its own there."""

    prefix: str
    values: dict[str, Any]
    names: dict[tuple[str, ...], str] = field(default_factory=dict)

    def put(self, path: tuple[str, ...], value: object, name: str) -> None:
        """Sets one value; tables on the way are copied, never changed."""
        node = self.values
        for part in path[:-1]:
            node[part] = _table(node.get(part))
            node = node[part]
        node[path[-1]] = value
        self.names[path] = name

    def tidied(self) -> Self:
        """Short names in their place, names of providers and models in lower case, keys wrapped so that none shows."""
        for short, path in SHORT_NAMES.items():
            if short in self.values:
                self.put(path, self.values.pop(short), f"{self.prefix}{short}")
        if isinstance(self.values.get("limits"), Mapping):
            self.values["limits"] = _with_names(self.values["limits"], "providers", lambda name: name.replace("_", "-"))
        self.values = _with_names(self.values, "providers", lambda name: name.replace("_", "-"))
        self.values = _with_names(self.values, "prices", lambda name: name)
        providers = self.values.get("providers")
        if isinstance(providers, dict):
            for name, entry in providers.items():
                if isinstance(entry, Mapping) and isinstance(entry.get("api_key"), str):
                    providers[name] = {**entry, "api_key": SecretStr(entry["api_key"])}
        return self

    def reach(self, loc: Loc) -> int:
        """How many steps of `loc` lead to something here."""
        node: Any = self.values
        for steps, part in enumerate(loc):
            try:
                node = getattr(node, str(part)) if isinstance(node, BaseModel) else node[part]
            except (KeyError, IndexError, TypeError, AttributeError):
                return steps
        return len(loc)

    def name_of(self, loc: Loc) -> str:
        """What the user would call the value at `loc`."""
        for path, name in self.names.items():
            if path == loc[: len(path)]:
                return f"{name}: {_dotted(loc[len(path) :])}" if len(path) < len(loc) else name
        below = (name for path, name in self.names.items() if path[: len(loc)] == loc)
        return next(below, f"{self.prefix}{_dotted(loc)}")


def _table(value: object) -> dict[str, Any]:
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in value.model_fields_set}
    return dict(value) if isinstance(value, Mapping) else {}


def _with_names(values: Mapping[str, Any], section: str, spelt: Any) -> dict[str, Any]:
    entries = values.get(section)
    if not isinstance(entries, Mapping):
        return dict(values)
    return {**values, section: {spelt(str(name).strip().lower()): entry for name, entry in entries.items()}}


def read_arguments(values: Mapping[str, Any]) -> Layer:
    """What the constructor was given; None is as if left out."""
    return Layer("argument ", {name: value for name, value in values.items() if value is not None}).tidied()


def read_environment(fields: Iterable[str]) -> Layer:
    """What the environment says. `fields` are the names of the sections. An empty variable is as if unset."""
    layer = Layer("", {})
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in VARIABLES and name != FILE_VARIABLE:
            path = _path_of(name)
            # Without a section it may be someone else's: taken up only if it is a field, or looks like one misspelt.
            if len(path) > 1 or path[0] in fields or _nearest(path[0], fields):
                _put_variable(layer, path, name)
    for name, path in VARIABLES.items():
        _put_variable(layer, path, name)
    return layer.tidied()


def _path_of(variable: str) -> tuple[str, ...]:
    path = variable[len(PREFIX) :].lower().split("__")
    # A variable cannot spell the "-" in the name of a provider.
    names = 1 if path[0] == "providers" else 2 if path[:2] == ["limits", "providers"] else len(path)
    return tuple(part.replace("_", "-") if at == names else part for at, part in enumerate(path))


def _put_variable(layer: Layer, path: tuple[str, ...], name: str) -> None:
    text = os.environ.get(name, "").strip()
    if not text:
        return
    value: object = text
    if text[0] in "{[" and path[-1] != "api_key":
        try:
            value = json.loads(text, parse_float=Decimal)
        except (ValueError, RecursionError) as error:
            value = Unreadable(f"{name} is not valid JSON ({_place(error)})")
    layer.put(path, value, name)


def read_file(named: str | os.PathLike[str] | None) -> Layer:
    """What the file says: `named`, else the one that the environment names, else a default one that is there."""
    by = FILE_VARIABLE if named is None else "config_file"
    chosen = named or os.environ.get(FILE_VARIABLE, "").strip()
    found = [Path(chosen).expanduser()] if chosen else [path for path in map(Path, FILES) if path.is_file()]
    if not found:
        return Layer("", {})
    path = found[0]
    if len(found) > 1:
        problem = f"{FILES[0]} and {FILES[1]} are both here: remove one, or name one in {FILE_VARIABLE}"
    elif path.suffix not in (".toml", ".json"):
        problem = f"{by} names {path}, which is neither .toml nor .json"
    else:
        try:
            text = path.read_text("utf-8-sig")
            loads = tomllib.loads if path.suffix == ".toml" else json.loads
            values = loads(text, parse_float=Decimal)
            if isinstance(values, dict):
                return Layer(f"{path}: ", values).tidied()
            problem = f"{path} must hold one JSON object"
        except OSError as error:
            problem = f"{by} names {path}, which" if chosen else f"{path}"
            problem = f"{problem} cannot be read: {error.strerror}"
        except (ValueError, RecursionError) as error:
            problem = f"{path} is not valid {path.suffix[1:].upper()} ({_place(error)})"
    return Layer("", {"config_file": Unreadable(problem)})


def _place(error: Exception) -> str:
    """Where parsing failed, without the text there: it may be a key."""
    match error:
        case json.JSONDecodeError():
            return f"line {error.lineno}, column {error.colno}"
        case tomllib.TOMLDecodeError():
            found = re.search(r"\(at ([^)]+)\)$", str(error))
            return found.group(1) if found else "somewhere"
        case UnicodeDecodeError():
            return f"byte {error.start} is not UTF-8"
        case _:
            return "a number is too long" if isinstance(error, ValueError) else "nested too deeply"


def explained(error: ValidationError, layers: Sequence[Layer], settings: type[BaseModel]) -> LLMConfigError:
    """All that is wrong, a sentence each: where it came from, the value unless it may be a secret, what is allowed."""
    details = error.errors(include_url=False)
    problems = list(dict.fromkeys(_sentence(dict(detail), layers, settings) for detail in details))
    if len(problems) == 1:
        return LLMConfigError(problems[0])
    return LLMConfigError("\n- ".join([f"{len(problems)} settings are wrong:", *problems]))


def _sentence(detail: dict[str, Any], layers: Sequence[Layer], settings: type[BaseModel]) -> str:
    given = detail["input"]
    if isinstance(given, Unreadable):
        return given.reason
    loc = tuple(part for part in detail["loc"] if part != "[key]")
    layer = max(layers, key=lambda candidate: candidate.reach(loc))  # the first of equals: the one that counted
    where = layer.name_of(loc)
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        known = [*_fields_at(loc[:-1], settings), *(SHORT_NAMES if len(loc) == 1 else ())]
        near = _nearest(str(loc[-1]), known)
        return f"{where}: no such setting; " + (f"did you mean {near}?" if near else f"there are {', '.join(known)}")
    if kind == "missing":
        return f"{where}: must be given"
    if kind in ("model_type", "model_attributes_type"):
        allowed = f"must be a table with {', '.join(_fields_at(loc, settings))}"
    else:
        allowed = {
            "value_error": str(context.get("error")),
            "literal_error": f"must be {context.get('expected')}",
            "bool_parsing": "must be true or false",
            "bool_type": "must be true or false",
            "tuple_type": "must be a list",
            "dict_type": "must be a table",
        }.get(kind, detail["msg"])
    return f"{where}{_shown(loc, given)}: {allowed}"


def _shown(loc: Loc, given: object) -> str:
    """`` is 'value'``, unless it may be a secret or is more than one value."""
    if not isinstance(given, str | int | float | Decimal | None) or loc[0] == "ledger":
        return ""
    try:
        text = str(given) if isinstance(given, int | float | Decimal) else repr(given)
    except ValueError:
        return " is too long a number"
    key_like = re.search(r"(?i)\b(sk|pk|gsk|xai|pplx|hf)[-_]\w|@|[\w-]{32}", text)
    if key_like or (loc[0] == "providers" and "://" not in text):
        return " (not shown, it may be a secret)"
    return f" is {text if len(text) <= 80 else text[:77] + '...'}"


def _fields_at(loc: Loc, settings: type[BaseModel]) -> list[str]:
    """The names that are allowed at a place."""
    kind: Any = settings
    for part in loc:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(part)].annotation
        else:  # dict[str, X] or tuple[X, ...]
            kind = next(arg for arg in get_args(kind) if isinstance(arg, type) and issubclass(arg, BaseModel))
    return list(kind.model_fields)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(name, list(known), 1, 0.8)), None)


def _dotted(loc: Loc) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")
