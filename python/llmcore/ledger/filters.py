"""From what somebody asks for to a condition on ``llm_calls``. Whatever text comes, it is a value and never SQL; what a
column cannot hold matches nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, ColumnElement, Double, cast, exists, false, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB

from llmcore.errors import LLMValidationError
from llmcore.ledger.entries import json_text
from llmcore.ledger.models import UtcDateTime, llm_calls
from llmcore.ledger.rows import TEXT_MAX
from llmcore.ledger.sums import presentable, utc
from llmcore.types import LLMCallStatusEnum, Source

__all__ = ["FILTERS", "condition_for", "order_for"]

_JSON: Final = ("tags", "metadata")
#: columns that calls can be found by
FILTERS: Final = tuple(column.name for column in llm_calls.c if column.name not in _JSON)
_SORTS: Final = (
    *("created_at", "started_at", "completed_at", "latency_ms", "queue_ms", "first_token_ms", "cost_nano_usd"),
    *(
        "saved_nano_usd",
        "input_tokens",
        "output_tokens",
        "cached_tokens",
        "reasoning_tokens",
        "total_tokens",
        "attempts",
    ),
)
_KNOWN: Final = {
    "status": frozenset(status.value for status in LLMCallStatusEnum),
    "source": frozenset(source.name.lower() for source in Source),
}
_MOST_VALUES: Final = 500


def condition_for(
    filters: Mapping[str, Any],
    tags: str | Sequence[str] | None,
    start: datetime | None,
    end: datetime | None,
    *,
    sqlite: bool,
) -> list[ColumnElement[bool]]:
    """What must be true of a call: every filter, every tag, and made in [start, end).

    :param filters: column to value, or to several of which it may be any; None: no filter
    :raises LLMValidationError: there is no such column, or it holds nothing of that type
    """
    conditions: list[ColumnElement[bool]] = []
    for name, wanted in filters.items():
        if wanted is None:
            continue
        if name not in FILTERS:
            raise LLMValidationError(f"calls have no {_shown(name)} to be found by: {', '.join(FILTERS)}")
        several = isinstance(wanted, list | tuple | set | frozenset)
        values = list(wanted) if several else [wanted]
        if len(values) > _MOST_VALUES:
            raise LLMValidationError(f"{name} can be any of {_MOST_VALUES} values at the most, not {len(values)}")
        matching = [
            value for value in (_value(name, value, sqlite=sqlite) for value in values) if value is not _NOTHING
        ]
        # What an index could not hold was cut when it was stored.
        matching += [value[:TEXT_MAX] for value in matching if isinstance(value, str) and len(value) > TEXT_MAX]
        if not matching:
            conditions.append(false())
        else:
            column = llm_calls.c[name]
            conditions.append(column.in_(matching) if len(matching) > 1 else column == matching[0])
    if tags is not None:
        conditions += [_tagged(tag, sqlite=sqlite) for tag in ([tags] if isinstance(tags, str) else tags)]
    start, end = utc(start), utc(end)
    if start is not None:
        conditions.append(llm_calls.c.created_at >= start)
    if end is not None:
        conditions.append(llm_calls.c.created_at < end)
    return conditions


def order_for(sort: Any) -> tuple[Any, bool]:
    """The column to sort by, and whether the largest comes first ("-cost_nano_usd").

    :raises LLMValidationError: calls cannot be sorted by that
    """
    name = sort.removeprefix("-") if isinstance(sort, str) else sort
    if name not in _SORTS:
        raise LLMValidationError(f"calls are sorted by {', '.join(_SORTS)}, not by {_shown(name)}")
    column = llm_calls.c[name]
    return (column if not column.nullable else func.coalesce(column, _least(column))), sort.startswith("-")


def _least(column: Any) -> Any:
    # No comparison with NULL is true, and each page goes on from the last call of the one before.
    return datetime(1970, 1, 1, tzinfo=UTC) if isinstance(column.type, UtcDateTime) else -1


_NOTHING: Final = object()


def _value(name: str, wanted: Any, *, sqlite: bool) -> Any:
    """A value as the column compares it; _NOTHING: no call has it."""
    kind = llm_calls.c[name].type
    if isinstance(wanted, Enum):
        wanted = wanted.name.lower() if isinstance(wanted, Source) else wanted.value
    if isinstance(kind, BigInteger):
        if isinstance(wanted, bool) or not isinstance(wanted, int):
            raise _wrong(name, "a whole number", wanted)
        return wanted if abs(wanted) < 2**63 else _NOTHING
    if isinstance(kind, Boolean):
        if not isinstance(wanted, bool):
            raise _wrong(name, "true or false", wanted)
        return wanted
    if isinstance(kind, Double):
        if isinstance(wanted, bool) or not isinstance(wanted, int | float):
            raise _wrong(name, "a number", wanted)
        return float(wanted) if abs(wanted) < 1e300 else _NOTHING
    if name.endswith("_at"):
        return utc(wanted)
    if not isinstance(wanted, str):
        raise _wrong(name, "text", wanted)
    known = _KNOWN.get(name)
    if known is not None and wanted not in known:
        raise LLMValidationError(f"{name} is one of {', '.join(sorted(known))}, not {_shown(wanted)}")
    return presentable(wanted, sqlite=sqlite)


def _tagged(tag: Any, *, sqlite: bool) -> ColumnElement[bool]:
    if not isinstance(tag, str):
        raise _wrong("a tag", "text", tag)
    tag = presentable(tag, sqlite=sqlite)
    if sqlite:
        each = func.json_each(llm_calls.c.tags).table_valued("value", name="tag")
        return exists(select(literal(1)).select_from(each).where(each.c.value == tag))
    return cast(llm_calls.c.tags, JSONB).contains(cast(literal(json_text([tag])), JSONB))


def _wrong(name: str, expected: str, given: Any) -> LLMValidationError:
    return LLMValidationError(f"{name} is {expected}, not {type(given).__name__}")


def _shown(value: Any) -> str:
    """What somebody gave us, in a message: short, and in one line."""
    return ascii(value) if len(ascii(value)) <= 60 else f"{ascii(value)[:57]}..."
