"""Finished calls at the prices that are known today: what would change, and the change itself.

A cost is frozen when a call is recorded, as what was billed then was. It is worth another look when the price was
unknown or wrong. The old figure stays in the call's metadata, under "repriced".
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, select

from llmcore._core import PriceCard, Usage
from llmcore.ledger.database import Database
from llmcore.ledger.models import llm_attempts, llm_calls
from llmcore.ledger.revisions import begin_writing
from llmcore.ledger.rollups import rebuild

__all__ = ["Change", "Repricing", "reprice"]

#: the price card of (provider, model, Unix second), or None if nobody knows it
Catalogue = Callable[[str, str, int], PriceCard | None]

_BUCKETS: Final = (
    *("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output_text", "reasoning"),
    *("audio_input", "audio_cache_read", "audio_output", "image_input", "image_output", "images", "web_searches"),
)


@dataclass(frozen=True, slots=True)
class Change:
    """One call whose cost is another at today's knowledge."""

    id: str
    provider: str
    model: str
    before: int | None
    after: int
    source: str
    source_before: str | None
    created_at: datetime


@dataclass(slots=True)
class Repricing:
    """What repricing comes to. ``unknown``: calls whose price nobody knows still."""

    looked_at: int = 0
    unknown: int = 0
    changes: list[Change] = field(default_factory=list)

    @property
    def before(self) -> int:
        """Nano-USD of the calls that change, where it was known."""
        return sum(change.before or 0 for change in self.changes)

    @property
    def after(self) -> int:
        """Nano-USD of the calls that change."""
        return sum(change.after for change in self.changes)


def reprice(
    url_or_engine: str | Engine | None, since: datetime, catalogue: Catalogue, *, apply: bool = False
) -> Repricing:
    """Looks at every call that a provider answered since then, and writes what changes if that is wanted: in one
    transaction, together with the sums.

    :param url_or_engine: as for :class:`~llmcore.ledger.tracker.UsageTracker`
    :param since: aware
    :param apply: False only looks
    :raises LedgerError: there is no ledger, or it cannot be written
    """
    database = Database(url_or_engine)
    found = Repricing()
    with closing(database.connect() if apply else database.connect_reading()) as connection:
        if apply:
            begin_writing(connection)
        try:
            for call, usages in _calls(connection, since):
                found.looked_at += 1
                _look(found, call, usages, catalogue)
            if apply and found.changes:
                for change in found.changes:
                    _write(connection, change)
                days = sorted(change.created_at.strftime("%Y-%m-%d") for change in found.changes)
                rebuild(connection, days[0], days[-1])
            if apply:
                connection.commit()
        except Exception as error:
            connection.rollback()
            raise database.explain(error) from error
    return found


def _calls(connection: Connection, since: datetime) -> Iterator[tuple[Any, list[Usage]]]:
    """The calls that used something, each with what its attempts used."""
    call, attempt = llm_calls.c, llm_attempts.c
    wanted = (call.id, call.provider, call.model, call.response_model, call.cost_nano_usd, call.price_source)
    query = (
        select(*wanted, call.created_at, *(attempt[name] for name in _BUCKETS))
        .join(llm_attempts, (attempt.call_id == call.id) & (attempt.created_at == call.created_at))
        .where(call.created_at >= since, call.source == "provider", call.total_tokens + call.image_count > 0)
        .order_by(call.created_at, call.id, attempt.number)
    )
    current: Any = None
    usages: list[Usage] = []
    for row in connection.execute(query):
        if current is not None and row.id != current.id:
            yield current, usages
            usages = []
        current = row
        usages.append(Usage(*(getattr(row, name) for name in _BUCKETS)))
    if current is not None:
        yield current, usages


def _look(found: Repricing, call: Any, usages: list[Usage], catalogue: Catalogue) -> None:
    at = int(call.created_at.timestamp())
    card = None
    for model in (call.response_model, call.model):
        card = card or (catalogue(call.provider, model, at) if model else None)
    if card is None:
        found.unknown += call.cost_nano_usd is None
        return
    nothing = Usage()
    after = sum(card.cost(usage) for usage in usages if usage != nothing)
    if after != call.cost_nano_usd:
        change = (call.cost_nano_usd, after, card.source, call.price_source, call.created_at)
        found.changes.append(Change(call.id, call.provider, call.model, *change))


def _write(connection: Connection, change: Change) -> None:
    this = (llm_calls.c.id == change.id) & (llm_calls.c.created_at == change.created_at)
    known = connection.execute(select(llm_calls.c["metadata"]).where(this)).scalar()
    kept = dict(known) if isinstance(known, dict) else {} if known is None else {"metadata": known}
    kept["repriced"] = {"cost_nano_usd": change.before, "price_source": change.source_before}
    values = {"cost_nano_usd": change.after, "price_source": change.source, "metadata": json.loads(json.dumps(kept))}
    connection.execute(llm_calls.update().where(this).values(values))
