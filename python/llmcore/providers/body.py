"""Request bodies: checked at the boundary, and the same bytes for the same request.

The body that goes out is also the request's identity in caches and recordings, so keys are sorted: those of the body,
and those of everything in its messages. Every other value keeps the order it was given in: a model fills a response
format, and reads a tool's parameters, in the order of their properties.
"""

from collections.abc import Collection
from math import isfinite
from typing import Any, NoReturn

import msgspec

from llmcore._core import Outcome, are_plain
from llmcore.errors import LLMValidationError
from llmcore.types import LLMRequest

__all__ = ["checked", "dump", "encode", "listed", "refuse", "refuse_params", "schema_of"]

_sorted = msgspec.json.Encoder(order="sorted")
_as_given = msgspec.json.Encoder()
_SCALARS = (str, int, bool, type(None))
_ENDLESS = "the request is nested too deeply, or contains itself"


def encode(request: LLMRequest, fields: dict[str, Any], params: dict[str, Any], messages: Any) -> bytes:
    """JSON of model, messages and `fields`, over which the request's own `params` win.

    :param params: the request's, and `messages` too, as the provider has them
    :raises LLMValidationError: something in it cannot be sent; the message names where it is, and never what it says
    """
    return dump({"model": request.model, **fields, **params}, "messages", checked(messages))


def checked(messages: Any) -> Any:
    """The messages, each of them something that JSON can say.

    :raises LLMValidationError: they are not; the message names where
    """
    if are_plain(messages):
        return messages  # nearly always
    try:
        return _checked(messages)
    except RecursionError:
        refuse(_ENDLESS)


def dump(body: dict[str, Any], name: str = "", value: Any = None) -> bytes:
    """JSON of a body that has a model. Changes `body`.

    :param name: of a further field, whose `value` is checked already, and whose keys are sorted at every level
    :raises LLMValidationError: something in it cannot be sent
    """
    if type(body["model"]) is not str or not body["model"]:
        refuse("model is a non-empty string")
    try:
        for field, given in body.items():
            if type(given) in _SCALARS:
                continue
            if not isinstance(given, dict | list | tuple):
                _check(given, field)
            elif field != name:
                _check(given, field)
                body[field] = msgspec.Raw(_as_given.encode(given))
        if name:
            body[name] = value
        return _sorted.encode(body)
    except UnicodeEncodeError:
        _refuse_half_character(body)
    except RecursionError:
        refuse(_ENDLESS)


def refuse_params(params: Collection[str], unknown: Collection[str], provider: str) -> None:
    """Says which params an API has no form for, if any: they would be dropped, or be refused by the provider.

    :raises LLMValidationError: there is one
    """
    named = sorted(name for name in params if name in unknown)
    if named:
        refuse(f"{provider} has no {' and no '.join(named)}: leave it out, or ask another provider")


def listed(value: Any, name: str) -> "list[Any] | tuple[Any, ...]":
    """The list that `name` has to be.

    :raises LLMValidationError: it is none
    """
    if not isinstance(value, list | tuple):
        refuse(f"{name} is a list, not {type(value).__name__}")
    return value


def schema_of(response_format: dict[str, Any]) -> dict[str, Any]:
    """The schema of a response format of the type json_schema.

    :raises LLMValidationError: it has none
    """
    inner = response_format.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) else None
    if not isinstance(schema, dict):
        refuse('response_format["json_schema"]["schema"] is missing or not a dict')
    return schema


def refuse(problem: str) -> NoReturn:
    """Says that a request cannot be sent as it is."""
    raise LLMValidationError(problem, outcome=Outcome.BAD_REQUEST)


def _checked(messages: Any) -> Any:
    if type(messages) is not list and not isinstance(messages, list | tuple):
        refuse(f"messages is a list, not {type(messages).__name__}")
    if not messages:
        refuse("messages is empty; the model needs at least one")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            refuse(f"messages[{index}] is a dict, not {type(message).__name__}")
        if type(message.get("role")) is not str:
            refuse(f'messages[{index}]["role"] is missing or not a string')
        content = message.get("content")
        if type(content) is str and len(message) == 2:
            continue
        if content is not None and not isinstance(content, str | list | tuple):
            refuse(f'messages[{index}]["content"] is a string or a list of parts, not {type(content).__name__}')
        _check(message, f"messages[{index}]")
    return messages


def _check(value: Any, path: str) -> None:
    """Whether JSON has a value for it, exactly: msgspec would send NaN as null and bytes as base64."""
    if isinstance(value, dict):
        for name, part in value.items():
            if not isinstance(name, str):
                refuse(f"{path} has a key that is not a string, but {type(name).__name__}")
            if type(part) not in _SCALARS:
                _check(part, f'{path}["{name}"]')
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            if type(part) not in _SCALARS:
                _check(part, f"{path}[{index}]")
    elif isinstance(value, float):
        if not isfinite(value):
            refuse(f"{path} is not a finite number")
    elif not isinstance(value, _SCALARS):
        refuse(f"{path} is {type(value).__name__}, which JSON has no form for")


def _refuse_half_character(value: Any, path: str = "") -> NoReturn:
    found = _half_character(value, path)
    refuse(f"{found or 'the request'} holds half of a surrogate pair, which is no character")


def _half_character(value: Any, path: str) -> str | None:
    if isinstance(value, str):
        return path if any("\ud800" <= letter <= "\udfff" for letter in value) else None
    if isinstance(value, dict):
        parts = [(f'{path}["{name}"]' if path else name, part) for name, part in value.items()]
        if any(_half_character(name, path) is not None for name in value):
            return f"a key of {path or 'the request'}"
    elif isinstance(value, list | tuple):
        parts = [(f"{path}[{index}]", part) for index, part in enumerate(value)]
    else:
        return None
    return next((found for where, part in parts if (found := _half_character(part, where)) is not None), None)
