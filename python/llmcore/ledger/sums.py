"""Sums over any time, by anything that calls are told apart by: whole days and hours from ``llm_sums``, what is left of
them at the ends from the calls themselves.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, String, and_, cast, func, literal_column, select

from llmcore._core import ledger_name
from llmcore.errors import LLMValidationError
from llmcore.ledger.models import UtcDateTime, llm_calls, llm_sums
from llmcore.ledger.report import Sums

__all__ = ["GROUPS", "grouped", "presentable", "utc"]

#: what sums can be told apart by
GROUPS: Final = (
    *("call_type", "provider", "model", "tenant", "status", "source", "error_code"),
    *("user", "company", "day", "hour"),
)
_LONGEST: Final = {"model": 128, "user": 200, "company": 200}
_OTHER: Final = 64

_ENDING: Final = ("status", "source", "error_code")
_SMALL: Final = ("calls", "attempts", "unpriced_calls")
#: may grow beyond what a SQLite integer holds
_LARGE: Final = (
    *("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost_nano_usd", "saved_nano_usd"),
    "queue_ns",
)
_HALF: Final = 2**31
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)

Group = tuple[str, ...]
Span = tuple[str, datetime | None, datetime | None]


def utc(moment: Any) -> datetime | None:
    """A time in UTC; a naive one is in UTC already."""
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        raise LLMValidationError(f"a time is a datetime, not a {type(moment).__name__}")
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:  # the first and the last day that there are
        return moment.replace(tzinfo=UTC)


def presentable(text: str, *, sqlite: bool) -> str:
    """Text as the ledger keeps it: without half characters, and without NUL where the database has none."""
    text = text.encode("utf-8", "replace").decode()
    return text if sqlite else text.replace("\x00", "")


def grouped(
    connection: Connection,
    by: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    filters: Mapping[str, str] | None = None,
    *,
    pending: bool = False,
) -> dict[Group, Sums]:
    """The sums of the calls made in [since, until), in UTC, for each combination of what they are grouped by.

    Days are "2026-03-01", hours "2026-03-01T08"; "" stands for a call type or error code that there is none of. Calls
    without a user are in no group by user, nor those without a company in one by company.

    :param by: of GROUPS
    :param filters: what of GROUPS must be what
    :param pending: whether calls that are not over count too
    :raises LLMValidationError: something is told apart that cannot be
    """
    filters = filters or {}
    for name in (*by, *filters):
        if name not in GROUPS:
            raise LLMValidationError(f"calls are told apart by {', '.join(GROUPS)}, not by {str(name)[:60]!r}")
    found: dict[Group, Sums] = {}
    for scope, start, end in _spans(since, until, _scopes({*by, *filters})):
        asked = _Asked(connection, scope, tuple(by), start, end, filters, "<> 'pending'")
        asked.add_to(found)
    if pending:
        _Asked(connection, "rows", tuple(by), since, until, filters, "= 'pending'").add_to(found)
    return found


def _scopes(names: set[str]) -> tuple[str, ...]:
    whose = names & {"user", "company"}
    if len(whose) == 2 or (whose and "hour" in names):
        return ()
    if whose:
        return tuple(whose)
    return ("hour",) if "hour" in names else ("day", "hour")


def _spans(since: datetime | None, until: datetime | None, scopes: tuple[str, ...]) -> Iterator[Span]:
    """Splits a time into whole days or hours, the longest possible, and what is left at the ends: "rows"."""
    if since is not None and until is not None and since >= until:
        return
    if not scopes:
        yield ("rows", since, until)
        return
    unit = _HOUR if scopes[0] == "hour" else _DAY
    first = None if since is None else _floor(since + unit - timedelta(microseconds=1), unit)
    last = None if until is None else _floor(until, unit)
    if first is not None and last is not None and first >= last:
        yield from _spans(since, until, scopes[1:])
        return
    if since is not None:
        yield from _spans(since, first, scopes[1:])
    yield (scopes[0], first, last)
    if until is not None:
        yield from _spans(last, until, scopes[1:])


def _floor(moment: datetime, unit: timedelta) -> datetime:
    return moment - (moment - _FIRST) % unit


class _Asked:
    """One question to one table, for one span of time."""

    def __init__(
        self,
        connection: Connection,
        scope: str,
        by: tuple[str, ...],
        since: datetime | None,
        until: datetime | None,
        filters: Mapping[str, str],
        status: str,
    ) -> None:
        self._connection = connection
        self._sqlite = connection.dialect.name == "sqlite"
        self._by = by
        self._rows = scope == "rows"
        table: Any = llm_calls if self._rows else llm_sums
        self._column = table.c
        self._moment = table.c.created_at if self._rows else table.c.start
        if self._sqlite and status == "= 'pending'":
            # Not by the index of times: calls that are under way are few, and have one of their own.
            self._moment = literal_column("+llm_calls.created_at", UtcDateTime())
        conditions: list[ColumnElement[bool]] = []
        if self._rows:
            conditions.append(
                literal_column(f"llm_calls.status {status}")
            )  # spelled out, for the index of pending ones
            conditions += [self._name(name).is_not(None) for name in by if name in ("user", "company")]
        else:
            conditions.append(table.c.scope == scope)
        if since is not None:
            conditions.append(self._moment >= since)
        if until is not None:
            conditions.append(self._moment < until)
        for name, value in filters.items():
            conditions.append(self._expression(name) == (value if self._rows else _short(name, value)))
        self._condition = and_(*conditions)

    def _name(self, group: str) -> Any:
        if group in ("user", "company"):
            return self._column[f"{group}_id" if self._rows else "name"]
        return self._column[group]

    def _expression(self, group: str) -> Any:
        if group in ("day", "hour"):
            return self._text(10 if group == "day" else 13)
        name = self._name(group)
        return (
            func.coalesce(name, literal_column("''")) if self._rows and group in ("call_type", "error_code") else name
        )

    def _text(self, length: int) -> Any:
        if self._sqlite:
            return func.replace(func.substr(cast(self._moment, String), 1, length), " ", "T", type_=String)
        # Spelled out, so that it is the same expression wherever it stands in the statement.
        shape: Any = literal_column("'YYYY-MM-DD'" if length == 10 else "'YYYY-MM-DD\"T\"HH24'")
        return func.to_char(func.timezone(literal_column("'UTC'"), self._moment), shape, type_=String)

    def _amount(self, name: str) -> Any:
        if not self._rows:
            return self._column[name]
        if name == "queue_ns":
            return cast(func.round(self._column.queue_ms * 1_000_000.0), BigInteger)
        return func.coalesce(self._column[name], 0)

    def add_to(self, found: dict[Group, Sums]) -> None:
        """Adds the answer to sums that there are."""
        for row in self._connection.execute(self._sums()):
            values = iter(row)
            sums = self._of(found, [next(values) for _ in self._by])
            status, source, error_code = (next(values) for _ in _ENDING)
            small = {name: int(next(values) or 0) for name in _SMALL}
            sums.end(status, source, small["calls"])
            sums.attempts += small["attempts"]
            sums.unknown_cost_calls += small["unpriced_calls"]
            large = {}
            for name in _LARGE:
                large[name] = int(next(values) or 0) * (_HALF if self._sqlite else 1)
                if self._sqlite:
                    large[name] += int(next(values) or 0)
                setattr(sums, name, getattr(sums, name) + large[name])
            sums.total_tokens += large["input_tokens"] + large["output_tokens"]
            sums.queue_ns_max = max(sums.queue_ns_max, round(next(values) or 0))
            if error_code:
                sums.errors[error_code] += small["calls"]
        for *group, latency in self._connection.execute(self._latencies()):
            sketch = self._of(found, group).latency
            if self._rows:
                sketch.add(round(latency * 1_000_000))
            else:
                sketch.merge_bytes(latency)

    def _of(self, found: dict[Group, Sums], group: list[str]) -> Sums:
        if self._rows:
            group = [_short(name, value) for name, value in zip(self._by, group, strict=True)]
        key = tuple(group)
        sums = found.get(key)
        return found.setdefault(key, Sums()) if sums is None else sums

    def _sums(self) -> Select[Any]:
        parts = [self._expression(name) for name in self._by] + [self._expression(name) for name in _ENDING]
        if self._rows:
            cost = self._column.cost_nano_usd
            small = [func.count(), func.sum(self._column.attempts), func.count() - func.count(cost)]
            longest = func.max(self._column.queue_ms) * 1_000_000.0
        else:
            small = [func.sum(self._column[name]) for name in _SMALL]
            longest = func.max(self._column.queue_ns_max)
        large: list[Any] = []
        for amount in (self._amount(name) for name in _LARGE):
            if self._sqlite:  # its sum of integers fails beyond 64 bits
                large += [func.sum(amount.op("/")(_HALF)), func.sum(amount.op("%")(_HALF))]
            else:
                large.append(func.sum(amount))
        parts = [part.label(f"part_{i}") for i, part in enumerate(parts)]
        return select(*parts, *small, *large, longest).where(self._condition).group_by(*parts)

    def _latencies(self) -> Select[Any]:
        parts = [self._expression(name).label(f"part_{i}") for i, name in enumerate(self._by)]
        if not self._rows:
            latency = self._column.latency
            return select(*parts, latency).where(self._condition, latency.is_not(None))
        latency = self._column.latency_ms
        return select(*parts, latency).where(self._condition, self._column.source == "provider", latency.is_not(None))


def _short(group: str, value: str) -> str:
    if group in ("day", "hour"):
        return value
    return ledger_name(value, _LONGEST.get(group, _OTHER))
