"""Usage as other programs tell it: whatever a client library, a log or a person calls the counts."""

from collections.abc import Mapping
from typing import Any

from llmcore._core import Usage
from llmcore.errors import LLMValidationError

__all__ = ["usage_of"]

_MOST = 1 << 53
_INPUT = ("prompt_tokens", "input_tokens")
_OUTPUT = ("completion_tokens", "output_tokens")
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")


def usage_of(told: Any) -> Usage:
    """The usage that somebody else's object, mapping or plain total tells. What OpenAI counts as cached is part of the
    prompt; what Anthropic reads from or writes to its cache stands beside it.

    A total without its parts counts as input, and the usage as estimated.

    :param told: None, a Usage, a mapping or an object with ``prompt_tokens``/``input_tokens``,
        ``completion_tokens``/``output_tokens``, ``cached_tokens`` and so on, or a number: the total
    :raises LLMValidationError: a count is none
    """
    if told is None:
        return Usage()
    if isinstance(told, Usage):
        return told
    if isinstance(told, int) and not isinstance(told, bool):
        return Usage(input_uncached=_count("tokens", told), estimated=True)
    given = _count_of(told, *_INPUT)
    written = _count_of(told, *_OUTPUT)
    total = _count_of(told, "total_tokens")
    if given is None and written is None:
        return Usage(input_uncached=total or 0, estimated=True)
    if total is not None and given is None:
        given = max(total - (written or 0), 0)
    given, written = given or 0, written or 0
    details, output_details = _part(told, *_INPUT_DETAILS), _part(told, *_OUTPUT_DETAILS)
    beside = _count_of(told, "cache_read_input_tokens")
    made = _count_of(told, "cache_creation_input_tokens") or 0
    if beside is not None or made:
        return Usage(given, cache_read=beside or 0, cache_write_5m=made, output_text=written)
    cached = _count_of(told, "cached_tokens") or _count_of(details, "cached_tokens") or 0
    reasoning = _count_of(told, "reasoning_tokens") or _count_of(output_details, "reasoning_tokens") or 0
    cached, reasoning = min(cached, given), min(reasoning, written)
    return Usage(given - cached, cache_read=cached, output_text=written - reasoning, reasoning=reasoning)


def _part(told: Any, *names: str) -> Any:
    for name in names:
        found = told.get(name) if isinstance(told, Mapping) else getattr(told, name, None)
        if found is not None:
            return found
    return None


def _count_of(told: Any, *names: str) -> int | None:
    found = None if told is None else _part(told, *names)
    return None if found is None else _count(names[0], found)


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST:
        raise LLMValidationError(f"{name} is a number of tokens, from 0 to 2^53, not {value!r:.60}")
    return value
