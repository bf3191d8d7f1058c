"""Arguments of a call as users give them: what is refused, in a sentence that names it, and what they come to."""

import math
from collections.abc import Mapping
from typing import Any

from llmcore._core import are_plain
from llmcore.call_context import CONTEXT_FIELDS
from llmcore.errors import LLMValidationError
from llmcore.types import LLMRequest, Message

__all__ = [
    "checked_messages",
    "finite",
    "is_text",
    "most_output",
    "name_of",
    "positive",
    "seconds",
    "sorted_options",
]

_MOST_TOKENS = 1 << 40  # more than any model writes, and its price still fits into 64 bits
_MOST_SECONDS = 9e9  # of a deadline: what fits into 64 bits of nanoseconds


def sorted_options(rest: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what describes the call, what goes to the provider)"""
    described: dict[str, Any] = {}
    params: dict[str, Any] = {}
    for name, value in rest.items():
        (described if name in CONTEXT_FIELDS else params)[name] = value
    return described, params


def most_output(request: LLMRequest) -> int:
    """The most tokens the model may generate, as the request itself says: its limit is of each of its `n` answers."""
    if not request.params:
        return min(request.max_tokens or 0, _MOST_TOKENS)
    named = (_count(request.params.get(name)) for name in ("max_completion_tokens", "max_tokens", "max_output_tokens"))
    limit = next(filter(None, named), request.max_tokens or 0)
    return min(limit * (_count(request.params.get("n")) or 1), _MOST_TOKENS)


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def is_text(value: object) -> bool:
    """Whether it is a string that can be sent, without half a surrogate pair."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def name_of(model: object) -> str:
    """The name that an enumeration's member is, or another kind of string."""
    if not isinstance(model, str):
        raise LLMValidationError(f"model is a non-empty string, not {type(model).__name__}")
    return str.__str__(model)


def checked_messages(messages: object) -> list[Message]:
    if are_plain(messages):
        return messages  # nearly always
    if not isinstance(messages, list) or not messages:
        raise LLMValidationError('messages is a non-empty list of {"role": ..., "content": ...}')
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise LLMValidationError(f'messages[{index}] is no message: expected a dict with a string "role"')
    return messages


def positive(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 40:
        raise LLMValidationError(f"{name} is a whole number above 0, not {value!r}")
    return value


def finite(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise LLMValidationError(f"{name} is a finite number, not {value!r}")
    return value


def seconds(name: str, value: object) -> float:
    number = finite(name, value)
    if not 0 < number < _MOST_SECONDS:
        raise LLMValidationError(f"{name} is a number of seconds above 0, not {value!r}")
    return number
