"""Single calls of the ledger: a list of those that meet some filters, and the tree of a trace."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from llmcore.cli.output import as_csv, as_json, one_shape, table
from llmcore.cli.report import ledger_url, moment
from llmcore.cli.text import dollars, milliseconds, name, show
from llmcore.errors import LLMConfigError

if TYPE_CHECKING:
    from llmcore.ledger.repo import LLMCall

__all__ = ["Wanted", "run_calls", "run_trace"]

_NUMBERS: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What ``llmcore calls`` is asked for."""

    columns: dict[str, list[str]]
    where: Sequence[str] = ()
    tags: Sequence[str] = ()
    since: str | None = None
    until: str | None = None
    limit: int = 50
    after: str | None = None
    sort: str = "-created_at"


def run_calls(database: str | None, wanted: Wanted, *, json: bool, csv: bool) -> None:
    """Prints the calls that are wanted, a page of them.

    :raises LLMError: there is no ledger, it cannot be read, or a filter makes no sense
    """
    one_shape(json=json, csv=csv)
    from llmcore.ledger.repo import LLMCallRepository

    now = datetime.now(UTC)
    columns: dict[str, Any] = {column: values for column, values in wanted.columns.items() if values}
    for pair in wanted.where:
        column, separator, value = pair.partition("=")
        if not separator:
            raise LLMConfigError(f"--where {name(pair)!r} is no filter; write COLUMN=VALUE, as in session_id=s1")
        columns.setdefault(column, []).append(_typed(column, value))
    found = LLMCallRepository.list_by_filters_sync(
        ledger_url(database),
        start_date=None if wanted.since is None else moment(wanted.since, now, "--since"),
        end_date=None if wanted.until is None else moment(wanted.until, now, "--until"),
        tags=list(wanted.tags) or None,
        limit=wanted.limit,
        after=wanted.after,
        sort=wanted.sort,
        **columns,
    )
    _show([(0, call) for call in found], json=json, csv=csv)
    if not (json or csv) and len(found) == wanted.limit:
        show(f"... and perhaps more: --after {found[-1].id}")


def _typed(column: str, value: str) -> Any:
    """A value as the type of its column."""
    from sqlalchemy import BigInteger, Boolean, Double

    from llmcore.ledger.filters import FILTERS
    from llmcore.ledger.models import llm_calls

    kind = llm_calls.c[column].type if column in FILTERS else None
    try:
        if isinstance(kind, BigInteger):
            return int(value)
        if isinstance(kind, Double):
            return float(value)
        if isinstance(kind, Boolean):
            return _NUMBERS[value]
        if column in FILTERS and column.endswith("_at"):
            return moment(value, datetime.now(UTC), "--where")
    except (ValueError, KeyError):
        raise LLMConfigError(f"--where {column}={name(value)!r} is nothing that {column} holds") from None
    return value


def run_trace(database: str | None, trace: str, *, json: bool, csv: bool) -> None:
    """Prints the calls of a trace as a tree.

    :param trace: its id, or that of a call in it
    :raises LLMError: there is no ledger, it cannot be read, or it has no such trace
    """
    one_shape(json=json, csv=csv)
    from llmcore.ledger.repo import LLMCallRepository

    url = ledger_url(database)
    calls = LLMCallRepository.get_calls_by_trace_sync(url, trace)
    if not calls:
        call = LLMCallRepository.get_sync(url, trace)
        if call is not None:
            of_trace = LLMCallRepository.get_calls_by_trace_sync
            calls = of_trace(url, call.trace_id) if call.trace_id else LLMCallRepository.get_tree_sync(url, trace)
    if not calls:
        raise LLMConfigError(f"the ledger has no trace and no call {name(trace)!r}; llmcore calls lists what it has")
    tree = _tree(calls)
    if json or csv:
        _show(tree, json=json, csv=csv)
        return
    costs = [call.cost_nano_usd for call in calls if call.cost_nano_usd is not None]
    unknown = " + ?" if len(costs) < len(calls) else ""
    began = min(call.created_at for call in calls)
    ended = max(call.completed_at or call.created_at for call in calls)
    took = milliseconds((ended - began).total_seconds() * 1000)
    show(
        f"trace {name(trace)}: {len(calls):,} calls, {dollars(sum(costs))}{unknown}, {took} from the first to the last"
    )
    rows = [("call", "status", "model", "tokens", "cost", "latency", "error")]
    rows += [
        (
            "  " * min(depth, 20) + name(call.call_type or "(none)"),
            call.status.value,
            f"{call.provider}/{call.model}",
            f"{call.total_tokens:,}",
            _cost(call),
            _latency(call),
            name(call.error_code or ""),
        )
        for depth, call in tree
    ]
    show("\n".join(table(rows, left=3)))


def _tree(calls: "Sequence[LLMCall]") -> "list[tuple[int, LLMCall]]":
    """Calls and their depth, each behind the one it was made inside of. Whoever refers to whom, each is in it once."""
    known = {call.id for call in calls}
    children: dict[str | None, list[LLMCall]] = {}
    for call in calls:
        parent = call.parent_call_id if call.parent_call_id in known and call.parent_call_id != call.id else None
        children.setdefault(parent, []).append(call)
    tree: list[tuple[int, LLMCall]] = []
    done: set[str] = set()
    # Those in a circle have no root: each of them is one, unless it is reached before.
    for root in [*children.get(None, []), *calls]:
        waiting = [(0, root)]
        while waiting:
            depth, call = waiting.pop()
            if call.id not in done:
                done.add(call.id)
                tree.append((depth, call))
                waiting += [(depth + 1, child) for child in reversed(children.get(call.id, []))]
    return tree


def _show(calls: "Sequence[tuple[int, LLMCall]]", *, json: bool, csv: bool) -> None:
    told = [{"depth": depth, **call.to_dict()} for depth, call in calls]
    if json:
        show(as_json(told))
    elif csv:
        from llmcore.ledger.repo import CALL_FIELDS

        show(as_csv(told, ("depth", *CALL_FIELDS)))
    elif not told:
        show("no calls")
    else:
        rows = [("created (UTC)", "id", "status", "type", "model", "tokens", "cost", "latency", "error")]
        rows += [
            (
                f"{call.created_at:%Y-%m-%d %H:%M:%S}",
                call.id,
                call.status.value,
                call.call_type or "-",
                f"{call.provider}/{call.model}",
                f"{call.total_tokens:,}",
                _cost(call),
                _latency(call),
                call.error_code or "",
            )
            for _, call in calls
        ]
        show("\n".join(table(rows, left=5)))


def _cost(call: "LLMCall") -> str:
    return "?" if call.cost_nano_usd is None else dollars(call.cost_nano_usd)


def _latency(call: "LLMCall") -> str:
    return "-" if call.latency_ms is None else milliseconds(call.latency_ms)
