"""Sums of calls, kept by the writer in the transaction that writes the calls: ``llm_sums``.

A call counts from the moment its last row says how it ended, in four places: its hour, its day, its user's day and its
company's day, each apart by tenant, call type, provider, model, status, source and error code. A row that takes the
place of another finished one with other figures (a call that was lost and is answered after all, a new price) does not
add: the sums it is in, and was in, are made anew from the rows, so that sums and rows are equal whatever happens.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from llmcore._core import LatencySketch, LedgerSums, column_arrays
from llmcore.ledger.rows import CALL_COLUMNS

__all__ = ["AMOUNTS", "KEY", "READ", "SCOPES", "Rollup", "rebuild"]

SCOPES: Final = ("hour", "day", "user", "company")
KEY: Final = (
    *("scope", "start", "name", "tenant", "call_type", "provider", "model", "status", "source", "error_code"),
)
#: what is added up; integers, held at the end of their range
AMOUNTS: Final = (
    *("calls", "attempts", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"),
    *("cost_nano_usd", "unpriced_calls", "saved_nano_usd", "queue_ns"),
)
_COLUMNS: Final = (*KEY, *AMOUNTS, "queue_ns_max", "latency")
#: columns of llm_calls that say all about what a call adds, in this order
READ: Final = (
    *("tenant", "call_type", "provider", "model", "status", "source", "error_code", "user_id", "company_id"),
    *("created_at", "attempts", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"),
    *("cost_nano_usd", "saved_nano_usd", "queue_ms", "latency_ms"),
)
_PLACES: Final = tuple(CALL_COLUMNS.index(name) for name in READ)
_ID: Final = CALL_COLUMNS.index("id")
_CREATED: Final = CALL_COLUMNS.index("created_at")
_STATUS: Final = CALL_COLUMNS.index("status")
_WIDTH: Final = len(CALL_COLUMNS)
_MADE: Final = READ.index("created_at")
_HOW: Final = READ.index("status")

#: characters of a name that is kept whole; an index of PostgreSQL holds 2,704 bytes
_NAME: Final = 200
#: bytes of appended sketches after which they are merged
_LONG_LATENCY: Final = 4096
_MOST: Final = 2**63 - 1
_CHUNK: Final = 500

Key = tuple[str, ...]
# The amounts, the longest wait, and the latencies.
Sums = list[Any]


def _nothing() -> Sums:
    return [*[0] * len(AMOUNTS), 0, []]


def _add(sums: Sums, amounts: tuple[int, ...], latency: int | None) -> None:
    for i, amount in enumerate(amounts):
        sums[i] += amount
    if amounts[-1] > sums[-2]:
        sums[-2] = amounts[-1]
    if latency is not None:
        sums[-1].append(latency)


def _sketch(latencies: Iterable[int]) -> bytes | None:
    sketch = LatencySketch()
    for latency in latencies:
        sketch.add(latency)
    return sketch.to_bytes() or None


def _merged(*sketches: bytes | None) -> bytes | None:
    merged = LatencySketch()
    for sketch in sketches:
        if sketch is not None:
            merged.merge_bytes(sketch)
    return merged.to_bytes() or None


class Rollup:
    """What the calls of one transaction add to the sums of the database behind a connection. Use it for one transaction
    after the other: :meth:`apply` forgets what it has written.
    """

    def __init__(self, connection: Connection) -> None:
        self._sqlite = connection.dialect.name == "sqlite"
        if self._sqlite:
            driver: Any = connection.connection.dbapi_connection
            driver.create_function("llmcore_merged", 2, _merged, deterministic=True)
        self._sums = LedgerSums()
        # What must be made anew from the rows.
        self._doubtful: set[Key] = set()

    def clear(self) -> None:
        """Forgets what a transaction that failed would have added."""
        self._sums.clear()
        self._doubtful.clear()

    def look_up(self, connection: Connection, values: Sequence[Any]) -> dict[Any, Sequence[Any]]:
        """The finished calls that rows for llm_calls, in a flat list, are about to replace."""
        ids = list(values[_ID::_WIDTH])
        if self._sqlite:
            return self.finished(connection, ids)
        # Rows of other times are others, even with the same id.
        created = values[_CREATED::_WIDTH]
        rows = (
            self._find(connection, ids, " AND created_at BETWEEN %s AND %s", min(created), max(created)) if ids else []
        )
        return {(row[0], row[1 + _MADE]): row[1:] for row in rows if row[1 + _HOW] != "pending"}

    def finished(self, connection: Connection, ids: list[str]) -> dict[Any, Sequence[Any]]:
        """The finished calls among those with these ids."""
        found = {}
        for start in range(0, len(ids), _CHUNK):
            for row in self._find(connection, ids[start : start + _CHUNK]):
                if row[1 + _HOW] != "pending":
                    found[row[0]] = row[1:]
        return found

    def _find(self, connection: Connection, ids: list[str], more: str = "", *values: str) -> Iterable[Sequence[Any]]:
        columns = ", ".join(READ)
        if self._sqlite:
            marks = ", ".join("?" * len(ids))
            query = f"SELECT id, {columns} FROM llm_calls WHERE id IN ({marks}) AND status <> 'pending'"
            return connection.exec_driver_sql(query, tuple(ids))
        # Locked, so that whoever ends the same call at the same time sees that it is over.
        query = f"SELECT id, {_as_text(columns)} FROM llm_calls WHERE id = ANY(%s){more} FOR UPDATE"
        return connection.exec_driver_sql(query, (ids, *values))

    def move(self, before: Mapping[Any, Sequence[Any]], after: Mapping[Any, Sequence[Any]]) -> None:
        """Takes note of finished calls that have been changed."""
        for name, old in before.items():
            self._replace(old, after[name])

    def add(self, values: list[Any], replaced: dict[Any, Sequence[Any]]) -> None:
        """Counts rows of llm_calls, in a flat list, as they are stored.

        :param replaced: what :meth:`look_up` found before they were written
        """
        if not replaced:
            self._sums.count_rows(values)
            return
        for start in range(0, len(values), _WIDTH):
            row = values[start : start + _WIDTH]
            old = replaced.get(row[_ID] if self._sqlite else (row[_ID], row[_CREATED]))
            if old:
                self._replace(old, [row[place] for place in _PLACES])
            elif row[_STATUS] != "pending":
                self.count([row[place] for place in _PLACES])

    def count(self, row: Sequence[Any]) -> None:
        """Counts one finished call.

        :param row: the columns READ, the time as text
        """
        self._sums.count(row)

    def count_lost(self, connection: Connection, condition: str, values: tuple[Any, ...]) -> None:
        """Counts the pending calls that meet a condition as lost, at what was reserved for them. They are to be made so
        next, in the same transaction.
        """
        told = {"status": "'lost'", "error_code": "'lost'", "cost_nano_usd": "reserved_nano_usd"}
        columns = ", ".join(told.get(name, name) for name in READ)
        if not self._sqlite:
            columns = _as_text(columns)
        lock = "" if self._sqlite else " FOR UPDATE"  # its end may be on its way
        for row in connection.exec_driver_sql(f"SELECT {columns} FROM llm_calls WHERE {condition}{lock}", values):
            self.count(row)

    def _replace(self, old: Sequence[Any], new: Sequence[Any]) -> None:
        before, *had = LedgerSums.parts(old)
        after, *has = LedgerSums.parts(new) if new[_HOW] != "pending" else ([], None, None)
        # What it adds where it was before is there already.
        self._doubtful |= set(before) ^ set(after) if had == has else {*before, *after}

    def apply(self, connection: Connection) -> None:
        """Adds everything to the table. Locks what it touches in one order, whoever else does so."""
        self._doubtful.update([LedgerSums.day_of(key) for key in self._doubtful if key[0] == "hour"])
        rows = self._sums.rows(list(self._doubtful))
        if rows:
            self._upsert(connection, rows)
        for scope in ("hour", "user", "company", "day"):  # days are made of their hours
            self._make_anew(connection, scope)
        self.clear()

    def _upsert(self, connection: Connection, rows: list[tuple[Any, ...]]) -> None:
        if self._sqlite:
            connection.exec_driver_sql(_UPSERT_SQLITE, rows)
            return
        arrays = column_arrays([value for row in rows for value in row], len(_COLUMNS))
        found = connection.exec_driver_sql(_UPSERT_POSTGRESQL, arrays)
        long = [row for row, (length,) in zip(rows, found, strict=True) if (length or 0) > _LONG_LATENCY]
        for row in long:
            self._merge_latency(connection, row[: len(KEY)])

    def _merge_latency(self, connection: Connection, key: Key) -> None:
        latency = connection.exec_driver_sql(f"SELECT latency FROM llm_sums WHERE {_is('%s')}", key).scalar()
        merged = _merged(latency)
        connection.exec_driver_sql(f"UPDATE llm_sums SET latency = %s WHERE {_is('%s')}", (merged, *key))

    def _make_anew(self, connection: Connection, scope: str) -> None:
        places: dict[Key, set[Key]] = {}
        for key in self._doubtful:
            if key[0] == scope:
                places.setdefault(key[:3], set()).add(key)
        mark = "?" if self._sqlite else "%s"
        for place, keys in sorted(places.items()):
            made = {key: _nothing() for key in keys}
            if scope == "day":
                self._add_hours(connection, place[1], made)
            else:
                self._add_calls(connection, place, made)
            for key, sums in sorted(made.items()):
                if sums[0] == 0:
                    connection.exec_driver_sql(f"DELETE FROM llm_sums WHERE {_is(mark)}", key)
                else:
                    latency = sums[-1] if isinstance(sums[-1], bytes | None) else _sketch(sums[-1])
                    told = ", ".join(f"{name} = {mark}" for name in _COLUMNS[len(KEY) :])
                    amounts = (min(amount, _MOST) for amount in sums[:-1])
                    connection.exec_driver_sql(
                        f"UPDATE llm_sums SET {told} WHERE {_is(mark)}", (*amounts, latency, *key)
                    )

    def _add_calls(self, connection: Connection, place: Key, made: dict[Key, Sums]) -> None:
        scope, start, name = place
        of_whom = {"user": "user_id", "company": "company_id"}.get(scope)
        # A name that was cut is known by its hash only.
        exact = of_whom is not None and len(name) < _NAME
        end = f"{start[:13]}:59:59.999999" if scope == "hour" else f"{start[:10]} 23:59:59.999999"
        for row in _rows(connection, start, end, (of_whom, name) if of_whom and exact else None):
            keys, amounts, latency = LedgerSums.parts(row)
            for key in keys:
                if key in made:
                    _add(made[key], amounts, latency)

    def _add_hours(self, connection: Connection, day: str, made: dict[Key, Sums]) -> None:
        mark = "?" if self._sqlite else "%s"
        names = ", ".join((*KEY[2:], *_COLUMNS[len(KEY) :]))
        query = f"SELECT {names} FROM llm_sums WHERE scope = 'hour' AND start BETWEEN {mark} AND {mark}"
        for sums in made.values():
            sums[-1] = None
        for row in connection.exec_driver_sql(query, (day, f"{day[:10]} 23:59:59.999999")):
            sums = made.get(("day", day, *row[: len(KEY) - 2]), [])
            if sums:
                for i in range(len(AMOUNTS)):
                    sums[i] += row[len(KEY) - 2 + i]
                sums[-2] = max(sums[-2], row[-2])
                sums[-1] = _merged(sums[-1], row[-1])


def rebuild(connection: Connection, first: str, last: str) -> None:
    """Makes the sums of whole days anew from their rows; to be called in the transaction that changed the rows.

    :param first: the first day, as "2026-03-01"
    :param last: the last one
    """
    rollup = Rollup(connection)
    sqlite = connection.dialect.name == "sqlite"
    mark = "?" if sqlite else "%s"
    if not sqlite:
        connection.exec_driver_sql("LOCK TABLE llm_sums IN EXCLUSIVE MODE")  # writers wait, readers do not
    span = (f"{first} 00:00:00.000000", f"{last} 23:59:59.999999")
    connection.exec_driver_sql(f"DELETE FROM llm_sums WHERE start BETWEEN {mark} AND {mark}", span)
    for row in _rows(connection, *span):
        rollup.count(row)
    rollup.apply(connection)


def _rows(
    connection: Connection, start: str, end: str, of_whom: tuple[str, str] | None = None
) -> Iterator[Sequence[Any]]:
    """The columns READ of the finished calls made from `start` to `end`."""
    sqlite = connection.dialect.name == "sqlite"
    mark = "?" if sqlite else "%s"
    columns = ", ".join(READ) if sqlite else _as_text(", ".join(READ))
    query = f"SELECT {columns} FROM llm_calls WHERE created_at BETWEEN {mark} AND {mark} AND status <> 'pending'"
    values: tuple[str, ...] = (start, end)
    if of_whom is not None:
        query += f" AND {of_whom[0]} = {mark}"
        values += of_whom[1:]
    yield from connection.exec_driver_sql(query, values)


def _as_text(columns: str) -> str:
    return columns.replace("created_at", "to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')")


def _is(mark: str) -> str:
    return " AND ".join(f"{name} = {mark}" for name in KEY)


def _upsert(values: str, latency: str) -> str:
    def plus(name: str) -> str:
        total = f"llm_sums.{name} + excluded.{name}"
        return f"CASE WHEN llm_sums.{name} > {_MOST} - excluded.{name} THEN {_MOST} ELSE {total} END"

    longest = (
        "CASE WHEN llm_sums.queue_ns_max > excluded.queue_ns_max THEN llm_sums.queue_ns_max "
        "ELSE excluded.queue_ns_max END"
    )
    told = [f"{name} = {plus(name)}" for name in AMOUNTS]
    told += [f"queue_ns_max = {longest}", f"latency = {latency}"]
    return (
        f"INSERT INTO llm_sums ({', '.join(_COLUMNS)}) {values} ON CONFLICT ({', '.join(KEY)}) "
        f"DO UPDATE SET {', '.join(told)}"
    )


_ARRAYS: Final = {"start": "timestamptz", **dict.fromkeys((*AMOUNTS, "queue_ns_max"), "bigint"), "latency": "bytea"}

_UPSERT_SQLITE: Final = _upsert(
    f"VALUES ({', '.join('?' * len(_COLUMNS))})", "llmcore_merged(llm_sums.latency, excluded.latency)"
)
# One statement with an array for each column: thousands of single rows would cost ten times that. Sketches are
# appended, which is as good as merged, and merged when they have become long.
_UPSERT_POSTGRESQL: Final = (
    _upsert(
        "SELECT * FROM unnest(" + ", ".join(f"%s::{_ARRAYS.get(name, 'text')}[]" for name in _COLUMNS) + ")",
        "CASE WHEN llm_sums.latency IS NULL THEN excluded.latency WHEN excluded.latency IS NULL THEN llm_sums.latency "
        "ELSE llm_sums.latency || excluded.latency END",
    )
    + " RETURNING octet_length(latency)"
)
