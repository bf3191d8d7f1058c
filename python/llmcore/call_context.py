"""Whose call it is: context that every call inside a block inherits.

::

    with llmcore.context(game_id="g7", trace_id=trace):
        client.complete(...)                      # recorded with both

The context is a :mod:`contextvars` variable: it follows asyncio tasks and is seen by no other thread.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from msgspec.structs import replace

from llmcore.errors import LLMValidationError
from llmcore.types import CallContext

__all__ = ["CONTEXT_FIELDS", "context", "current_context", "inside", "resolve"]

#: Keyword arguments of a call that describe it instead of going to the provider.
CONTEXT_FIELDS = frozenset(CallContext.__struct_fields__)

_TEXT_FIELDS = CONTEXT_FIELDS - {"tags", "metadata", "hand_number"}
_EMPTY = CallContext()
_current: ContextVar[CallContext] = ContextVar("llmcore_context", default=_EMPTY)


def current_context() -> CallContext:
    """The context that a call made here would inherit."""
    return _current.get()


@contextmanager
def context(**values: Any) -> Iterator[CallContext]:
    """Adds to the context of every call inside the block; the inner value of a field wins, tags add up.

    :param values: fields of :class:`~llmcore.types.CallContext`
    :raises LLMValidationError: a name is no field, or a value has the wrong type
    """
    token = _current.set(resolve(values))
    try:
        yield _current.get()
    finally:
        _current.reset(token)


@contextmanager
def inside(parent: CallContext, call_id: str) -> Iterator[None]:
    """Makes the calls inside the block children of the call `call_id`, whose context is `parent`."""
    token = _current.set(replace(parent, parent_call_id=call_id))
    try:
        yield
    finally:
        _current.reset(token)


def resolve(values: Mapping[str, Any]) -> CallContext:
    """The inherited context with `values` over it."""
    inherited = _current.get()
    if not values:
        return inherited
    checked = {name: _checked(name, value) for name, value in values.items()}
    if inherited is _EMPTY:
        return CallContext(**checked)
    if "tags" in checked and inherited.tags:
        checked["tags"] = inherited.tags + tuple(tag for tag in checked["tags"] if tag not in inherited.tags)
    if "metadata" in checked and inherited.metadata and checked["metadata"] is not None:
        checked["metadata"] = {**inherited.metadata, **checked["metadata"]}
    return replace(inherited, **checked)


def _checked(name: str, value: Any) -> Any:
    if name in _TEXT_FIELDS and type(value) is str:
        return value
    if name not in CONTEXT_FIELDS:
        known = ", ".join(sorted(CONTEXT_FIELDS))
        raise LLMValidationError(
            f"'{name}' is no context field; the known ones are {known} (anything else belongs into metadata)"
        )
    if name == "tags":
        tags = () if value is None else value
        if not isinstance(tags, Iterable) or isinstance(tags, str):
            raise LLMValidationError("tags is a sequence of strings")
        tags = tuple(tags)
        if not all(isinstance(tag, str) for tag in tags):
            raise LLMValidationError("tags is a sequence of strings")
        return tags
    if value is None:
        return None
    if name == "metadata":
        if not isinstance(value, Mapping):
            raise LLMValidationError("metadata is a mapping with string keys")
        return value
    if name == "hand_number":
        if isinstance(value, bool) or not isinstance(value, int):
            raise LLMValidationError("hand_number is a whole number")
        return value
    # Ids are often UUID objects or integers; the ledger's columns are text.
    return value if isinstance(value, str) else str(value)
