"""What many calls came to: how they ended, what they used, cost and saved, and how long they took.

:class:`ReportBuilder` adds up calls as they finish; :func:`llmcore.ledger.stats.report` asks the database. Both give
    the same :class:`Report`.
"""

import threading
from collections import Counter
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from llmcore._core import LatencySketch
from llmcore.ledger.rows import error_code, source_name
from llmcore.types import CallRecord, Money, Source

__all__ = ["MOST_PARTS", "NO_CALL_TYPE", "OTHERS", "Latency", "Report", "ReportBuilder", "Section", "Sums"]

#: stands for calls that have no call type
NO_CALL_TYPE = "(none)"

#: Pairs of call type and model that are told apart; stands for the names of those that came later.
MOST_PARTS = 1000
OTHERS = "(others)"

_ENDING = {
    "success": "ok",
    "cached": "cached",
    "fallback": "fallback",
    "error": "failed",
    "timeout": "failed",
    "rate_limited": "failed",
    "lost": "failed",
    "refused": "refused",
    "cancelled": "cancelled",
    "pending": "pending",
}


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the call to its answer, of calls that a provider answered: those from the cache would hide it.

    The quantiles are within 1 % of the true value.
    """

    count: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Section:
    """Some calls added up. Every call is in exactly one of ok, cached, joined, fallback, failed, refused, cancelled,
    pending.

    :ivar ok: answered by the provider that was asked
    :ivar cached: answered from the response cache
    :ivar joined: answered with the answer of an identical call that was in flight
    :ivar fallback: answered by another provider of the chain
    :ivar failed: no answer: error, timeout, rate limit, or the process ended before it came
    :ivar refused: not sent at all: queue full, waited too long for limits, or no budget left
    :ivar attempts: requests sent
    :ivar input_tokens: all of the prompts, cached or not
    :ivar cached_tokens: the part of the input that the provider had cached
    :ivar output_tokens: all that was generated, reasoning included
    :ivar reasoning_tokens: the part of the output that the user does not see
    :ivar cost_nano_usd: of the calls whose cost is known
    :ivar unknown_cost_calls: calls that used something at an unknown price and are not in cost_nano_usd
    :ivar saved_nano_usd: what the cache and joining saved
    :ivar queue_ms: time that calls waited for limits, slots and backoff, added up
    :ivar queue_ms_max: the longest that one call waited
    :ivar errors: how many calls ended with each error code
    """

    calls: int
    ok: int
    cached: int
    joined: int
    fallback: int
    failed: int
    refused: int
    cancelled: int
    pending: int
    attempts: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    total_tokens: int
    cost_nano_usd: int
    unknown_cost_calls: int
    saved_nano_usd: int
    queue_ms: float
    queue_ms_max: float
    latency: Latency
    errors: dict[str, int]

    @property
    def cost(self) -> Money:
        """What the calls whose cost is known cost."""
        return Money(self.cost_nano_usd)

    @property
    def saved(self) -> Money:
        """What the cache and joining saved."""
        return Money(self.saved_nano_usd)

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON; amounts also as text in US dollars, exact."""
        found: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        found["cost_usd"] = f"{self.cost.dollars:f}"
        found["saved_usd"] = f"{self.saved.dollars:f}"
        found["latency"] = {each.name: getattr(self.latency, each.name) for each in fields(self.latency)}
        found["errors"] = dict(self.errors)
        return found


@dataclass(frozen=True, slots=True)
class Report:
    """All calls of a time, and the same by call type and by model ("provider/model"), the most calls first.

    :ivar since: the first moment that counts; None: no limit
    :ivar until: the first moment that does not count any more; None: no limit
    """

    total: Section
    by_call_type: dict[str, Section]
    by_model: dict[str, Section]
    since: datetime | None = None
    until: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON; times as ISO 8601 text."""
        return {
            "since": self.since.isoformat() if self.since is not None else None,
            "until": self.until.isoformat() if self.until is not None else None,
            "total": self.total.to_dict(),
            "by_call_type": {name: section.to_dict() for name, section in self.by_call_type.items()},
            "by_model": {name: section.to_dict() for name, section in self.by_model.items()},
        }


@dataclass(slots=True)
class Sums:
    """A section in the making. Times in nanoseconds; what the fields mean is told in :class:`Section`."""

    ok: int = 0
    cached: int = 0
    joined: int = 0
    fallback: int = 0
    failed: int = 0
    refused: int = 0
    cancelled: int = 0
    pending: int = 0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    total_tokens: int = 0
    cost_nano_usd: int = 0
    unknown_cost_calls: int = 0
    saved_nano_usd: int = 0
    queue_ns: int = 0
    queue_ns_max: int = 0
    latency: LatencySketch = field(default_factory=LatencySketch)
    errors: Counter[str] = field(default_factory=Counter)

    def end(self, status: str, source: str, calls: int = 1) -> None:
        """Counts calls that ended this way."""
        ending = "joined" if status == "cached" and source == "joined" else _ENDING[status]
        setattr(self, ending, getattr(self, ending) + calls)

    def merge(self, other: "Sums") -> None:
        """Adds what another one has."""
        for name in _ADDED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.queue_ns_max = max(self.queue_ns_max, other.queue_ns_max)
        self.latency.merge(other.latency)
        self.errors.update(other.errors)

    def section(self) -> Section:
        """The finished section."""
        latency = self.latency
        return Section(
            calls=sum(getattr(self, ending) for ending in _ENDINGS),
            **{name: getattr(self, name) for name in _ADDED if name != "queue_ns"},
            queue_ms=self.queue_ns / 1_000_000,
            queue_ms_max=self.queue_ns_max / 1_000_000,
            latency=Latency(
                count=latency.count,
                mean_ms=latency.sum / latency.count / 1_000_000 if latency.count else 0.0,
                p50_ms=latency.quantile(0.50) / 1_000_000,
                p95_ms=latency.quantile(0.95) / 1_000_000,
                p99_ms=latency.quantile(0.99) / 1_000_000,
                max_ms=latency.max / 1_000_000,
            ),
            errors=dict(self.errors.most_common()),
        )


_ENDINGS = ("ok", "cached", "joined", "fallback", "failed", "refused", "cancelled", "pending")
_ADDED = tuple(each.name for each in fields(Sums) if each.name not in ("queue_ns_max", "latency", "errors"))


class ReportBuilder:
    """Adds up calls one by one, by call type, provider and model. Thread-safe; memory has a bound, whatever names come:
    the first MOST_PARTS are told apart, and what comes then is one more, so that totals stay exact.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: dict[tuple[str, str, str], Sums] = {}

    def add(self, call: CallRecord) -> None:
        """Adds a finished call."""
        usage = call.usage
        source = source_name(call.source)
        with self._lock:
            sums = self.part(call.call_type, call.provider, call.model)
            sums.end(call.status.value, source)
            sums.attempts += len(call.attempts)
            if usage is not None:
                sums.input_tokens += usage.input_tokens
                sums.output_tokens += usage.output_tokens
                sums.cached_tokens += usage.cached_tokens
                sums.reasoning_tokens += usage.reasoning_tokens
                sums.total_tokens += usage.total_tokens
            if call.cost is None:
                sums.unknown_cost_calls += 1
            else:
                sums.cost_nano_usd += call.cost
            sums.saved_nano_usd += call.saved
            sums.queue_ns += call.queued
            sums.queue_ns_max = max(sums.queue_ns_max, call.queued)
            if call.source is Source.PROVIDER:
                sums.latency.add(call.latency)
            code = error_code(call)
            if code is not None:
                sums.errors[code] += 1

    def part(self, call_type: str | None, provider: str, model: str) -> Sums:
        """The sums of one call type at one model, to be added to; of all others once there are MOST_PARTS."""
        key = (call_type or NO_CALL_TYPE, provider, model)
        sums = self._parts.get(key)
        if sums is None:
            if len(self._parts) >= MOST_PARTS:
                key = (OTHERS, provider, OTHERS)
            sums = self._parts.setdefault(key, Sums())
        return sums

    def build(self, since: datetime | None = None, until: datetime | None = None) -> Report:
        """The report of what was added until now; the times are only noted in it."""
        total = Sums()
        by_call_type: dict[str, Sums] = {}
        by_model: dict[str, Sums] = {}
        with self._lock:
            for (call_type, provider, model), sums in self._parts.items():
                total.merge(sums)
                by_call_type.setdefault(call_type, Sums()).merge(sums)
                by_model.setdefault(f"{provider}/{model}", Sums()).merge(sums)
        return Report(total.section(), _ordered(by_call_type), _ordered(by_model), since, until)


def _ordered(parts: dict[str, Sums]) -> dict[str, Section]:
    sections = {name: sums.section() for name, sums in parts.items()}
    return dict(sorted(sections.items(), key=lambda item: (-item[1].calls, item[0])))
