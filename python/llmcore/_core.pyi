"""The compiled core. Times are integer nanoseconds, money integer nano-US-dollars. Everything that does something is
thread-safe; Usage and the configurations are plain values.

Where a method takes ``now`` (monotonic) or ``wall`` (since the Unix epoch), None reads the system's clock. See the
C++ headers for the laws and complexities.

Everywhere: a number that is negative where it counts something raises ValueError, one that does not fit 64 bits and
anything of another type TypeError. Attributes that are lists are copies: assign a whole list to change one.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from os import PathLike
from typing import (
    Any,
    ClassVar,
    Literal,
    NotRequired,
    Self,
    SupportsFloat,
    SupportsIndex,
    TypedDict,
    TypeGuard,
    final,
    type_check_only,
)

import numpy as np

__version__: str

class Priority(IntEnum):
    HIGH = 0
    MEDIUM = 1
    LOW = 2

class Outcome(IntEnum):
    OK = 0
    TIMEOUT = 1
    CONNECTION = 2
    RATE_LIMITED = 3
    QUOTA_EXHAUSTED = 4
    OVERLOADED = 5
    SERVER_ERROR = 6
    AUTH = 7
    BAD_REQUEST = 8
    CONTEXT_LENGTH = 9
    CONTENT_FILTER = 10
    NOT_FOUND = 11
    QUEUE_FULL = 12
    QUEUE_TIMEOUT = 13
    OVER_BUDGET = 14
    CANCELLED = 15
    EXHAUSTED = 16

class Source(IntEnum):
    NONE = 0
    PROVIDER = 1
    CACHE = 2
    JOINED = 3

class Jitter(IntEnum):
    NONE = 0
    PROPORTIONAL = 1
    FULL = 2

class Period(IntEnum):
    HOUR = 0
    DAY = 1
    MONTH = 2
    TOTAL = 3

class Verdict(IntEnum):
    RETRY = 0
    FAIL_OVER = 1
    STOP = 2

class Health(IntEnum):
    HEALTHY = 0
    DEGRADED = 1
    PROBING = 2

class Usage:
    """What a call consumed, in disjoint buckets of tokens (``images``: pictures).

    :raises ValueError: a count, given, assigned or of a sum, is negative or above 2^53
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]  # it can be changed
    input_uncached: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    output_text: int
    reasoning: int
    audio_input: int
    audio_cache_read: int
    audio_output: int
    image_input: int
    image_output: int
    images: int
    web_searches: int
    estimated: bool
    def __init__(
        self,
        input_uncached: SupportsIndex = 0,
        cache_read: SupportsIndex = 0,
        cache_write_5m: SupportsIndex = 0,
        cache_write_1h: SupportsIndex = 0,
        output_text: SupportsIndex = 0,
        reasoning: SupportsIndex = 0,
        audio_input: SupportsIndex = 0,
        audio_cache_read: SupportsIndex = 0,
        audio_output: SupportsIndex = 0,
        image_input: SupportsIndex = 0,
        image_output: SupportsIndex = 0,
        images: SupportsIndex = 0,
        web_searches: SupportsIndex = 0,
        estimated: bool = False,
    ) -> None: ...
    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def cache_write_tokens(self) -> int: ...
    @property
    def reasoning_tokens(self) -> int: ...
    @property
    def total_tokens(self) -> int: ...
    def __add__(self, other: Usage) -> Usage: ...
    def __copy__(self) -> Usage: ...
    def __deepcopy__(self, memo: dict[Any, Any]) -> Usage: ...
    def __getstate__(self) -> tuple[int, ...]:
        """Every bucket in the order of the constructor, then ``estimated``."""
    def __setstate__(self, state: tuple[int, ...]) -> None: ...

class Rates:
    """Nano-USD per million tokens for each bucket; per piece for the last three."""

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __init__(
        self,
        input: SupportsIndex = 0,
        cache_read: SupportsIndex = 0,
        cache_write_5m: SupportsIndex = 0,
        cache_write_1h: SupportsIndex = 0,
        output: SupportsIndex = 0,
        reasoning: SupportsIndex = 0,
        audio_input: SupportsIndex = 0,
        audio_cache_read: SupportsIndex = 0,
        audio_output: SupportsIndex = 0,
        image_input: SupportsIndex = 0,
        image_output: SupportsIndex = 0,
        per_image: SupportsIndex = 0,
        per_request: SupportsIndex = 0,
        per_search: SupportsIndex = 0,
    ) -> None: ...
    @property
    def input(self) -> int: ...
    @property
    def cache_read(self) -> int: ...
    @property
    def cache_write_5m(self) -> int: ...
    @property
    def cache_write_1h(self) -> int: ...
    @property
    def output(self) -> int: ...
    @property
    def reasoning(self) -> int: ...
    @property
    def audio_input(self) -> int: ...
    @property
    def audio_cache_read(self) -> int: ...
    @property
    def audio_output(self) -> int: ...
    @property
    def image_input(self) -> int: ...
    @property
    def image_output(self) -> int: ...
    @property
    def per_image(self) -> int: ...
    @property
    def per_request(self) -> int: ...
    @property
    def per_search(self) -> int: ...

class PriceCard:
    """What one model costs at one moment. Immutable.

    :param tiers: (threshold, rates): these rates hold for the whole request when its prompt has more tokens than that
    :param source: where the figures come from
    :raises ValueError: a rate is negative, or the thresholds do not ascend
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __init__(self, base: Rates, tiers: Sequence[tuple[int, Rates]] = ..., source: str = "") -> None: ...
    @property
    def base(self) -> Rates: ...
    @property
    def tiers(self) -> list[tuple[int, Rates]]: ...
    @property
    def source(self) -> str: ...
    def cost(self, usage: Usage, requests: SupportsIndex = 1) -> int:
        """Nano-USD, exact, rounded half-even once.

        :param requests: 1 for a request that was answered, 0 for one that was not billed
        :raises OverflowError: the cost does not fit in 64 bits
        """
    def worst_case(self, input_tokens: SupportsIndex, output_tokens: SupportsIndex, images: SupportsIndex = 0) -> int:
        """The most a text request of this size can cost, in nano-USD.

        :raises ValueError: a count is negative or the cost does not fit in 64 bits
        """

class BackoffConfig:
    """``base`` and ``cap`` in ns; ``jitter_permille`` is how far Jitter.PROPORTIONAL spreads, in thousandths."""

    base: int
    cap: int
    jitter: Jitter
    jitter_permille: int
    def __init__(
        self,
        base: SupportsIndex = ...,
        cap: SupportsIndex = ...,
        jitter: Jitter = ...,
        jitter_permille: SupportsIndex = 250,
    ) -> None: ...

@type_check_only
class _BackoffStats(TypedDict):
    delays: int
    total: int
    shortest: int
    longest: int
    last: int
    capped: int
    deepest: int

class Backoff:
    """delay = base x 2^attempt, jittered, capped last; random numbers from ``seed``."""

    def __init__(self, config: BackoffConfig = ..., seed: SupportsIndex = 0) -> None:
        """:raises ValueError: the configuration is not usable; this holds for every class that takes one"""
    def delay(self, attempt: SupportsIndex) -> int:
        """Nanoseconds to wait after attempt number `attempt`, counted from 0."""
    def stats(self) -> _BackoffStats:
        """Of the delays dealt out, in ns. ``capped``: as long as the cap; ``deepest``: the highest attempt."""

class RateLimiterConfig:
    """0 is no limit. ``minute_burst``: a whole minute's requests may go at once; without it no sliding minute ever
    admits more than the limit.
    """

    requests_per_minute: int
    tokens_per_minute: int
    max_in_flight: int
    minute_burst: bool
    def __init__(
        self,
        requests_per_minute: SupportsIndex = 60,
        tokens_per_minute: SupportsIndex = 0,
        max_in_flight: SupportsIndex = 0,
        minute_burst: bool = True,
    ) -> None: ...

class RateObservation:
    """What a provider's headers say is left, and of how much; the resets in ns from now, 0 if not said."""

    def __init__(
        self,
        remaining_requests: SupportsIndex | None = None,
        remaining_tokens: SupportsIndex | None = None,
        requests_reset: SupportsIndex = 0,
        tokens_reset: SupportsIndex = 0,
        requests_limit: SupportsIndex | None = None,
        tokens_limit: SupportsIndex | None = None,
    ) -> None: ...
    @property
    def remaining_requests(self) -> int | None: ...
    @property
    def remaining_tokens(self) -> int | None: ...
    @property
    def requests_reset(self) -> int: ...
    @property
    def tokens_reset(self) -> int: ...
    @property
    def requests_limit(self) -> int | None: ...
    @property
    def tokens_limit(self) -> int | None: ...

@final
class RateReservation:
    """What a call took from a RateLimiter. Ended exactly once, by settle() or refund()."""

    @property
    def requests(self) -> int: ...
    @property
    def tokens(self) -> int: ...

@type_check_only
class _RateLimiterStats(TypedDict):
    admitted: int
    denied: int
    in_flight: int
    reserved_tokens: int
    available_requests: int
    available_tokens: int
    pauses: int
    paused_until: int | None

class RateLimiter:
    """Requests per minute, tokens per minute and calls in flight, held together."""

    def __init__(self, config: RateLimiterConfig = ..., now: SupportsIndex | None = None) -> None: ...
    def try_acquire(self, n: SupportsIndex = 1, now: SupportsIndex | None = None) -> bool:
        """Takes `n` requests, or none."""
    def time_until(self, n: SupportsIndex = 1, now: SupportsIndex | None = None) -> int:
        """Nanoseconds until try_acquire(n) could succeed; 0 now."""
    def reserve(self, tokens: SupportsIndex = 0, now: SupportsIndex | None = None) -> RateReservation | None:
        """Takes one request, one slot in flight and `tokens`, the most that the call may use, or nothing (None)."""
    def settle(
        self, reservation: RateReservation, actual_tokens: SupportsIndex, now: SupportsIndex | None = None
    ) -> None:
        """The call is over and used so many tokens: gives its slot and the rest of its tokens back.

        :raises ValueError: the reservation has ended already, or is of another limiter; so does refund()
        """
    def refund(self, reservation: RateReservation, now: SupportsIndex | None = None) -> None:
        """The call was never sent: gives everything back."""
    def pause_until(self, until: SupportsIndex) -> None:
        """Admits nothing before `until` (monotonic). Never shortens a pause."""
    def observe(self, observation: RateObservation, now: SupportsIndex | None = None) -> None:
        """Takes the provider's word for what is left, when it is less."""
    def stats(self) -> _RateLimiterStats:
        """-1 is available where there is no limit; less than that is debt. ``paused_until`` is None without a pause."""

class RequestQueueConfig:
    """Lists are for HIGH, MEDIUM and LOW. A timeout (ns) of 0: as long as the caller's deadline allows. ``low_share``:
    one dispatch in so many goes to the oldest LOW; 0: strict order.
    """

    class_capacity: list[int]
    total_capacity: int
    class_timeout: list[int]
    low_share: int
    def __init__(self) -> None: ...
    @staticmethod
    def game() -> RequestQueueConfig: ...
    @staticmethod
    def server() -> RequestQueueConfig: ...

@type_check_only
class _RequestQueueStats(TypedDict):
    high: int
    medium: int
    low: int
    total: int
    accepted: int
    restored: int
    dispatched: int
    expired: int
    removed: int
    refused_class: int
    refused_total: int
    peak: int

class RequestQueue:
    """Ids that wait for their turn: HIGH before MEDIUM before LOW, first in first out inside a class."""

    def __init__(self, config: RequestQueueConfig = ...) -> None: ...
    def push(
        self,
        id: SupportsIndex,
        priority: Priority = ...,
        deadline: SupportsIndex | None = None,
        now: SupportsIndex | None = None,
    ) -> Literal["accepted", "class_full", "total_full", "duplicate"]:
        """Adds a call that waits until `deadline` (monotonic) or its class's timeout, whichever is earlier.

        :param id: from 0
        """
    def pop(self) -> int | None:
        """Takes out the next call; call expire() first."""
    def peek(self) -> int | None: ...
    def remove(self, id: SupportsIndex) -> bool: ...
    def expire(self, now: SupportsIndex | None = None) -> list[int]:
        """Takes out the calls whose time is over."""
    def next_expiry(self) -> int | None: ...
    def __len__(self) -> int: ...
    def __contains__(self, id: SupportsIndex) -> bool: ...
    def stats(self) -> _RequestQueueStats: ...

class ResponseCacheConfig:
    """``max_entries`` or ``max_bytes`` 0: keeps nothing; ``ttl`` (ns) 0: entries do not age."""

    max_entries: int
    max_bytes: int
    ttl: int
    def __init__(
        self,
        max_entries: SupportsIndex = 10_000,
        max_bytes: SupportsIndex = ...,
        ttl: SupportsIndex = ...,
    ) -> None: ...

@type_check_only
class _ResponseCacheStats(TypedDict):
    hits: int
    misses: int
    hit_rate: float
    insertions: int
    evictions: int
    expirations: int
    rejected: int
    entries: int
    bytes: int
    ghosts: int

class ResponseCache:
    """32-byte key -> bytes, with a time to live and S3-FIFO eviction."""

    def __init__(self, config: ResponseCacheConfig = ...) -> None: ...
    def get(self, key: bytes, now: SupportsIndex | None = None) -> bytes | None:
        """:raises ValueError: `key` has not 32 bytes; so do put() and erase()"""
    def put(self, key: bytes, value: bytes, now: SupportsIndex | None = None) -> bool:
        """Keeps `value`; False if it is larger than the whole cache."""
    def erase(self, key: bytes) -> bool:
        """Forgets a key; False if it had no value."""
    def expire(self, now: SupportsIndex | None = None) -> int:
        """Drops every entry whose time is over; how many. They are also dropped when met."""
    def clear(self) -> None: ...
    def stats(self) -> _ResponseCacheStats: ...

class ErrorRecoveryConfig:
    """``retry_after_cap`` and ``cooldown`` in ns. Calls earn retries (``retry_percent`` of them), and so does time."""

    max_attempts: int
    retry_after_cap: int
    breaker_errors: int
    cooldown: int
    retry_percent: int
    retries_per_second: int
    def __init__(self) -> None: ...

@type_check_only
class _ErrorRecoveryStats(TypedDict):
    health: Literal["healthy", "degraded", "probing"]
    open_until: int | None
    consecutive_errors: int
    errors: int
    successes: int
    calls: int
    retries: int
    retries_refused: int
    breaker_opened: int

class ErrorRecovery:
    """One provider's recent past: a retry budget and a circuit breaker."""

    def __init__(self, config: ErrorRecoveryConfig = ..., now: SupportsIndex | None = None) -> None: ...
    def call_arrived(self) -> None:
        """Earns a call's share of retries. Once per call, not per attempt."""
    def ready_at(self, now: SupportsIndex | None = None) -> int | None:
        """When an attempt may be sent; None while the probe is out."""
    def sent(self, now: SupportsIndex | None = None) -> bool:
        """An attempt is sent; True if it is the probe. It ends with succeeded(), failed() or abandoned(), once."""
    def succeeded(self, probe: bool = False) -> None: ...
    def failed(self, probe: bool = False, now: SupportsIndex | None = None) -> None: ...
    def abandoned(self, probe: bool = False) -> None: ...
    def advise(
        self,
        outcome: Outcome,
        attempts: SupportsIndex,
        should_retry: bool | None = None,
        retry_after: SupportsIndex = 0,
        now: SupportsIndex | None = None,
    ) -> Verdict:
        """What to do after `attempts` attempts, the last of which ended in `outcome`. A retry is taken from the budget.

        :param should_retry: the provider's own word, where it sent one
        :param retry_after: the wait that the provider asked for, in ns
        """
    def health(self, now: SupportsIndex | None = None) -> Health: ...
    def stats(self) -> _ErrorRecoveryStats:
        """``health`` as the last event left it; ``open_until`` is the end of the cool-down, None while calls pass."""

class BudgetRule:
    """A limit in nano-USD.

    :param scope: "global", "key=value", or "key=*" for an account of its own for each value
    :param alert_percent: of the limit; an alert for each when spent reaches it, once per period
    """

    def __init__(
        self, scope: str = "global", period: Period = ..., limit: SupportsIndex = 0, alert_percent: Sequence[int] = ...
    ) -> None: ...
    @property
    def scope(self) -> str: ...
    @property
    def period(self) -> Period: ...
    @property
    def limit(self) -> int: ...
    @property
    def alert_percent(self) -> list[int]: ...
    def problem(self) -> str:
        """What makes it unusable, in words; empty when it is fine."""

@final
class AlertRecord:
    """A budget's threshold was reached."""

    @property
    def rule(self) -> int: ...
    @property
    def scope(self) -> str: ...
    @property
    def period(self) -> Period: ...
    @property
    def percent(self) -> int: ...
    @property
    def spent(self) -> int: ...
    @property
    def limit(self) -> int: ...

@final
class BudgetRefusal:
    """Why a call was over budget."""

    @property
    def rule(self) -> int: ...
    @property
    def scope(self) -> str: ...
    @property
    def period(self) -> Period: ...
    @property
    def limit(self) -> int: ...
    @property
    def spent(self) -> int: ...
    @property
    def reserved(self) -> int: ...
    @property
    def needed(self) -> int: ...
    @property
    def price_unknown(self) -> bool: ...

@final
class BudgetReservation:
    """Money set aside in a Budget. Ended exactly once, by settle() or release()."""

    @property
    def amount(self) -> int: ...

@type_check_only
class _BudgetAccount(TypedDict):
    scope: str
    period: Literal["hour", "day", "month", "total"]
    limit_nano_usd: int
    spent_nano_usd: int
    reserved_nano_usd: int

@type_check_only
class _BudgetStats(TypedDict):
    reserved: int
    settled: int
    released: int
    overdrawn: int
    refused: int
    price_unknown: int
    alerts: int
    accounts: int

class Budget:
    """Spending limits that concurrent calls cannot overshoot. A call's scopes are pairs like ("user", "ada")."""

    def __init__(self, rules: Sequence[BudgetRule]) -> None: ...
    def refusal(
        self, scopes: Sequence[tuple[str, str]], worst_case: SupportsIndex | None, wall: SupportsIndex | None = None
    ) -> BudgetRefusal | None:
        """What stands against a call that may cost `worst_case` (None: nobody knows, which every rule is against)."""
    def reserve(
        self, scopes: Sequence[tuple[str, str]], worst_case: SupportsIndex, wall: SupportsIndex | None = None
    ) -> BudgetReservation | None:
        """Sets money aside in every matching rule, or in none (None)."""
    def settle(
        self, reservation: BudgetReservation, actual: SupportsIndex, wall: SupportsIndex | None = None
    ) -> list[AlertRecord]:
        """The call is over and cost `actual`. Returns the thresholds that this reached.

        :raises ValueError: the reservation has ended already, or is of another budget; so does release()
        """
    def release(self, reservation: BudgetReservation) -> None:
        """The call was never sent."""
    def reserved(self) -> int: ...
    def stats(self) -> _BudgetStats: ...
    def accounts(self) -> list[_BudgetAccount]:
        """Every account with something in it, as of the newest time handed in."""

class LatencySketch:
    """Quantiles of durations within 1 %, mergeable."""

    def __init__(self) -> None: ...
    def add(self, ns: SupportsIndex) -> None:
        """A negative duration, of a clock that was set back, counts as 0."""
    def merge(self, other: LatencySketch) -> None: ...
    def merge_bytes(self, data: bytes) -> None:
        """Adds what another sketch was as bytes, or several, one after the other.

        :raises ValueError: they are no sketch; nothing was added
        """
    def to_bytes(self) -> bytes:
        """Nothing if it is empty, about 20 bytes for one value, then 2 or 3 for each bucket in use."""
    def quantile(self, p: SupportsFloat) -> int:
        """The duration at or below which `p` (0 to 1) of all lie; 0 when empty.

        :raises ValueError: `p` is not between 0 and 1
        """
    @property
    def count(self) -> int: ...
    @property
    def sum(self) -> int: ...
    @property
    def min(self) -> int: ...
    @property
    def max(self) -> int: ...

@type_check_only
class _Latency(TypedDict):
    p50_ns: int
    p95_ns: int
    p99_ns: int
    max_ns: int

@type_check_only
class _UsageTotals(TypedDict):
    calls: int
    errors: int
    cache_hits: int
    attempts: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    total_tokens: int
    images: int
    cost_nano_usd: int
    unpriced_calls: int
    saved_nano_usd: int
    latency: _Latency

@type_check_only
class _UsageRow(_UsageTotals):
    model: str
    call_type: str
    scope: NotRequired[str]

@type_check_only
class _UsageHour(_UsageRow):
    hour: int

@type_check_only
class _UsageDay(_UsageRow):
    day: int

@type_check_only
class _TrackerStats(TypedDict):
    keys: int
    rows: int
    retired: int
    other: int
    shortened: int
    unkept: int
    most_steps: int

class TokenTrackerConfig:
    """How much an engine's tracker keeps.

    :ivar hours_kept: hours (UTC) with rows of their own, the one of now included; days_kept likewise
    :ivar recent_kept: how many of the newest calls samples() has; 0: none
    :ivar max_keys: combinations of model, call type and scope with rows of their own; later ones share "(other)"
    :ivar max_rows: rows of all hours and days; beyond them the oldest hour is given up early
    """

    hours_kept: int
    days_kept: int
    recent_kept: int
    max_keys: int
    max_rows: int
    def __init__(
        self,
        hours_kept: SupportsIndex = 48,
        days_kept: SupportsIndex = 31,
        recent_kept: SupportsIndex = 1024,
        max_keys: SupportsIndex = 100_000,
        max_rows: SupportsIndex = 200_000,
    ) -> None: ...

class TokenTracker:
    """Usage, cost and latency per model x call type x scope: over all time, by hour and by day (UTC), and in all."""

    def __init__(
        self,
        hours_kept: SupportsIndex = 48,
        days_kept: SupportsIndex = 31,
        recent_kept: SupportsIndex = 1024,
        max_keys: SupportsIndex = 100_000,
        max_rows: SupportsIndex = 200_000,
    ) -> None:
        """As in TokenTrackerConfig.

        :raises ValueError: it would keep nothing, or have no room
        """
    def record(
        self,
        model: str,
        call_type: str,
        usage: Usage,
        cost: SupportsIndex | None = None,
        latency: SupportsIndex = 0,
        outcome: Outcome | None = None,
        cache_hit: bool = False,
        attempts: SupportsIndex = 1,
        saved: SupportsIndex = 0,
        wall: SupportsIndex | None = None,
        scopes: Sequence[str] | None = None,
    ) -> None:
        """Counts a finished call.

        :param cost: nano-USD; None: unknown
        :param latency: ns
        :param outcome: None: OK
        :param saved: nano-USD that a cache saved
        :param scopes: whose call it was: ("user=ada", "company=acme"), at most 16
        """
    def merge(self, other: TokenTracker) -> None:
        """Adds what another tracker counted; of windows and samples the newest of both are kept."""
    def totals(self) -> _UsageTotals: ...
    def by_model_and_type(self) -> list[_UsageRow]: ...
    def by_scope(self) -> list[_UsageRow]:
        """Of the calls that named a scope, apart by scope."""
    def by_hour(self, scoped: bool = False) -> list[_UsageHour]:
        """The hours kept; ``hour`` counts from the Unix epoch."""
    def by_day(self, scoped: bool = False) -> list[_UsageDay]:
        """The days kept; ``day`` counts from the Unix epoch."""
    def samples(self) -> np.ndarray[tuple[int], np.dtype[np.void]]:
        """The newest calls, oldest first, as a structured array of one's own. ``model`` and ``call_type`` are indices
        into names(), ``outcome`` is a value of Outcome, ``cost`` is -1 where it is unknown.

        :raises ImportError: NumPy is not installed
        """
    def names(self) -> list[str]:
        """Every model, call type and scope met so far, by id; ids never change."""
    def stats(self) -> _TrackerStats: ...
    def report_json(self, budget: Budget | None = None) -> str:
        """Everything, as one JSON object of schema llmcore.usage.v1; with the accounts of a budget if one is given."""
    def report_text(self, budget: Budget | None = None, rows: SupportsIndex = 20) -> str:
        """Tables for people; each has at most so many rows."""

@type_check_only
class _OfflineStats(TypedDict):
    generated: int
    json: int
    by_problem: dict[str, int]

class OfflineGenerator:
    """Text without a model: deterministic and template-based."""

    def __init__(self) -> None: ...
    def generate(
        self,
        problem: str = "general",
        severity: SupportsIndex = 500,
        seed: SupportsIndex = 0,
        placeholders: Mapping[str, str] = ...,
        json: bool = False,
    ) -> str:
        """The same arguments give the same text, in C++ as well.

        :param problem: general, dialogue, decision, analysis, summary, conflict, shortage or danger
        :param severity: 0 (trifle) to 1000 (catastrophe)
        :param placeholders: what stands for name, other, topic, place, goal and resource
        :param json: answer a JSON object with text, problem and severity
        :raises ValueError: there is no such problem
        """
    def stats(self) -> _OfflineStats: ...

class Config:
    """Everything that can be set about an engine."""

    seed: int
    limits: RateLimiterConfig
    queue: RequestQueueConfig
    cache: ResponseCacheConfig
    backoff: BackoffConfig
    recovery: ErrorRecoveryConfig
    budgets: list[BudgetRule]
    tracker: TokenTrackerConfig
    usage_scopes: list[str]
    deadline: int
    attempt_timeout: int
    max_lanes: int
    def __init__(self) -> None: ...
    @staticmethod
    def game() -> Config: ...
    @staticmethod
    def server() -> Config: ...
    def set_provider_limits(self, provider: str, limits: RateLimiterConfig) -> None: ...
    def problems(self) -> list[str]: ...

class Target:
    """One provider that may answer a call, and the worst it can cost there.

    :param always_answers: the last resort of a chain: no limits, no queue, costs nothing
    """

    def __init__(
        self,
        provider: str,
        model: str,
        input_tokens: SupportsIndex = 0,
        output_tokens: SupportsIndex = 0,
        images: SupportsIndex = 0,
        price: PriceCard | None = None,
        always_answers: bool = False,
    ) -> None: ...
    @property
    def provider(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def images(self) -> int: ...
    @property
    def always_answers(self) -> bool: ...

@final
class Send:
    """Perform this attempt now and report replied() or failed()."""

    @property
    def call(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def number(self) -> int: ...
    @property
    def target(self) -> int: ...
    @property
    def not_after(self) -> int: ...
    @property
    def worst_case(self) -> int | None:
        """Nano-USD that it can cost at the most; None: its price is unknown."""

@final
class Abort:
    """Stop performing this attempt."""

    @property
    def call(self) -> int: ...
    @property
    def attempt(self) -> int: ...

@final
class AttemptRecord:
    """One attempt, for the ledger."""

    @property
    def call(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def number(self) -> int: ...
    @property
    def target(self) -> int: ...
    @property
    def provider(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def outcome(self) -> Outcome: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def cost(self) -> int | None: ...
    @property
    def started(self) -> int: ...
    @property
    def latency(self) -> int: ...
    @property
    def retry_after(self) -> int: ...
    def __getstate__(self) -> tuple[Any, ...]:
        """Every field in order: call, attempt, number, target, provider, model, outcome, usage, cost, started, latency,
        retry_after."""
    def __setstate__(self, state: tuple[Any, ...]) -> None: ...

@final
class Finish:
    """The call is over."""

    @property
    def call(self) -> int: ...
    @property
    def outcome(self) -> Outcome: ...
    @property
    def source(self) -> Source: ...
    @property
    def target(self) -> int: ...
    @property
    def provider(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def attempts(self) -> int: ...
    @property
    def fallback(self) -> bool: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def cost(self) -> int | None: ...
    @property
    def saved(self) -> int: ...
    @property
    def latency(self) -> int: ...
    @property
    def queued(self) -> int: ...
    @property
    def first_token(self) -> int: ...
    @property
    def payload(self) -> bytes | None: ...
    @property
    def retry_hint(self) -> int: ...
    @property
    def refusal(self) -> BudgetRefusal | None: ...

class Divergence:
    """Where two runs part. str() is one sentence."""

    @property
    def tick(self) -> int:
        """Of the frame it happened in; 0 before the first."""
    @property
    def event(self) -> int:
        """Number of the event in the expected recording, from 1."""
    @property
    def field(self) -> str:
        """As a path: "input.submit.targets[0].model"; "state" where the engine went another way."""
    @property
    def expected(self) -> str: ...
    @property
    def got(self) -> str: ...

class ReplayLogger:
    """Writes a recording. Thread-safe; a forked child records nothing. See :class:`llmcore.recording.ReplayLogger`.

    Methods that record give whether they did: not after the recording was given up, for the reason in `problem`.
    """

    def __init__(self, directory: str, ack: str = "os", engine: bool = True) -> None:
        """
        :param ack: "memory", "os" or "disk"
        :param engine: False leaves the engine's inputs out
        :raises OSError: the directory holds a recording already, or cannot be written
        """
    def request(
        self,
        call: SupportsIndex,
        attempt: SupportsIndex,
        fingerprint: bytes,
        provider: str,
        method: str,
        url: str,
        body: bytes,
    ) -> int:
        """A request goes out. Gives how many equal ones went before."""
    def response(
        self,
        call: SupportsIndex,
        attempt: SupportsIndex,
        fingerprint: bytes,
        ordinal: SupportsIndex,
        status: SupportsIndex,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        error: Outcome | None = None,
        message: str = "",
    ) -> None:
        """What came of it; a status of 0 with an error: no answer."""
    def frame(self, tick: SupportsIndex) -> bool:
        """A frame of the program begins."""
    def rng(self, name: str, value: SupportsIndex, bound: SupportsIndex = 0) -> bool:
        """The program drew `value` from [0, bound), or from all of 64 bits with a bound of 0.

        :raises ValueError: it is not below its bound, or has no name
        """
    def snapshot(self, tick: SupportsIndex, name: str, state: bytes, keep: bool = False) -> bool:
        """The state of a part of the program's world: as a hash, and with `keep` as it is.

        :raises ValueError: it has no name
        """
    def append(self, event: dict[str, Any]) -> bool:
        """An event as RecordingReader gave it.

        :raises ValueError: it is none
        """
    def close(self) -> bool:
        """Writes the end; whether the recording is whole."""
    def abandon(self) -> bool:
        """Ends without one, as if the program had been killed."""
    @property
    def records_engine(self) -> bool: ...
    @property
    def problem(self) -> str | None:
        """Why nothing more is recorded; None while all is well."""
    def stats(self) -> dict[str, Any]:
        """Events recorded by kind, their bytes, and how many events were refused."""

class RecordingReader:
    """Reads a recording, event by event. See :class:`llmcore.recording.Recording`."""

    def __init__(self, directory: str) -> None:
        """:raises OSError: the directory cannot be read"""
    def next(self) -> dict[str, Any] | None:
        """The next event, or None at the end and after the first problem."""
    @property
    def number(self) -> int: ...
    @property
    def tick(self) -> int: ...
    @property
    def complete(self) -> bool: ...
    @property
    def problem(self) -> str | None: ...

class ReplayReport:
    """What came of running a recording again."""

    @property
    def events(self) -> int: ...
    @property
    def engines(self) -> int: ...
    @property
    def inputs(self) -> int: ...
    @property
    def divergence(self) -> Divergence | None:
        """The first; nothing after it was run."""
    @property
    def problem(self) -> str | None:
        """What is wrong with the recording itself."""
    @property
    def complete(self) -> bool: ...
    @property
    def ok(self) -> bool: ...

def replay(directory: str) -> ReplayReport:
    """Runs fresh engines over the inputs of a recording and compares each state hash."""

class ComparisonReport:
    @property
    def compared(self) -> int: ...
    @property
    def divergence(self) -> Divergence | None: ...
    @property
    def problem(self) -> str | None: ...

def compare_recordings(expected: str, got: str, kinds: Sequence[str] = ()) -> ComparisonReport:
    """Reads two recordings side by side as far as they are equal.

    :param kinds: of events to compare; none: all
    """

class ReplayRng:
    """Named random draws, recorded or given again. See :class:`llmcore.recording.ReplayRng`."""

    def __init__(self, seed: SupportsIndex, logger: ReplayLogger | None = None) -> None: ...
    @staticmethod
    def of(directory: str) -> ReplayRng:
        """Gives the draws of a recording again."""
    def next(self, name: str) -> int: ...
    def below(self, name: str, bound: SupportsIndex) -> int: ...
    def between(self, name: str, low: SupportsIndex, high: SupportsIndex) -> int: ...
    @property
    def replaying(self) -> bool: ...
    @property
    def draws(self) -> int: ...
    @property
    def divergence(self) -> Divergence | None: ...
    @property
    def problem(self) -> str | None: ...

class Engine:
    """Every decision about every call. The host hands in inputs with the time, then drains the actions.

    ``mono`` is monotonic and never negative. What comes too late, about a call or an attempt that is over, is counted
    and ignored.
    """

    def __init__(self, config: Config, recorder: ReplayLogger | None = None) -> None:
        """
        :param recorder: records the configuration and every input, with the state after it
        :raises ValueError: the configuration has problems; all are named
        """
    def submit(
        self,
        tenant: str,
        call_type: str,
        priority: Priority,
        deadline: SupportsIndex,
        key: bytes | None,
        targets: Sequence[Target],
        scopes: Sequence[tuple[str, str]],
        mono: SupportsIndex,
        wall: SupportsIndex,
    ) -> int:
        """Takes a call on and returns its number. What is refused, for whatever reason, comes out as Finish too.

        :param deadline: ns from now; 0: the configuration's
        :param key: 32 bytes: may be answered from the cache and joined with its like in flight
        :param targets: the failover chain, in order
        :param scopes: what budgets may charge
        """
    def streaming(self, attempt: SupportsIndex, mono: SupportsIndex, wall: SupportsIndex) -> None:
        """The first byte of an answer reached the user."""
    def replied(
        self,
        attempt: SupportsIndex,
        usage: Usage,
        price: PriceCard | None,
        payload: bytes | None,
        mono: SupportsIndex,
        wall: SupportsIndex,
    ) -> None:
        """The attempt was answered.

        :param price: of the model that answered; None: the target's
        :param payload: the answer, for the cache and those who joined; None: not to be shared
        """
    def failed(
        self,
        attempt: SupportsIndex,
        outcome: Outcome,
        should_retry: bool | None,
        retry_after: SupportsIndex,
        usage: Usage,
        price: PriceCard | None,
        mono: SupportsIndex,
        wall: SupportsIndex,
    ) -> None:
        """The attempt failed.

        :param should_retry: the provider's own word, where it sent one
        :param retry_after: the wait that the provider asked for, in ns; 0: it did not
        :param usage: what was billed all the same
        """
    def observed(
        self, tenant: str, provider: str, limits: RateObservation, mono: SupportsIndex, wall: SupportsIndex
    ) -> None:
        """A response had rate-limit headers."""
    def cancel(self, call: SupportsIndex, mono: SupportsIndex, wall: SupportsIndex) -> None: ...
    def tick(self, mono: SupportsIndex, wall: SupportsIndex) -> None:
        """Nothing happened but time."""
    def drain(self) -> list[Send | Abort | Finish | AttemptRecord | AlertRecord]:
        """The actions to perform, in order. After every input."""
    def next_deadline(self) -> int | None:
        """When a tick is due at the latest; None while nothing waits for time."""
    def stats(self) -> dict[str, Any]:
        """Counters; at rest, in_flight, queued and everything reserved are 0."""
    def tracker(self) -> TokenTracker:
        """A copy of its tracker as it stands."""
    def report_json(self) -> str:
        """What its tracker counted and how its budgets stand: see TokenTracker.report_json()."""
    def report_text(self, rows: SupportsIndex = 20) -> str: ...
    def state_hash(self) -> int:
        """Everything that decides, in 64 bits."""
    def check(self) -> str:
        """The first invariant that does not hold, in words; empty when all do. Takes time for each call."""

class RecordKind(IntEnum):
    """What a record of a journal is. Kinds that are not named here are read as they are; those from 32768 on are a
    program's own.
    """

    OPEN = 1
    CLOSE = 2
    CHECKPOINT = 3
    NOTE = 4
    CONFIG = 64
    INPUT = 65
    REQUEST_BODY = 66
    RESPONSE_BODY = 67
    FRAME = 68
    RNG = 69
    SNAPSHOT = 70
    RECORDING_BEGIN = 71
    RECORDING_END = 72

class JournalError(OSError):
    """``errno`` and ``filename`` are set where the system refused something. ``code`` is one of: system (trying again
    may help), full (it goes on by itself when there is room), failed (an earlier write or sync failed: ``recover()``),
    too_long, locked, closed, forked, newer_version.
    """

    code: str

class _JournalStats(TypedDict):
    appended: int
    appended_bytes: int
    dropped: int
    refused: int
    last_seq: int
    written_seq: int
    durable_seq: int
    buffered_bytes: int
    writes: int
    syncs: int
    segments: int
    bytes: int
    segments_dropped: int
    records_dropped: int
    torn_bytes: int
    failures: int
    failed: bool

class JournalWriter:
    """Appends records to the segments in a directory, of which it is the only writer.

    What an append that returned survives: ``ack="memory"`` nothing, the newest ``window_bytes`` are lost with the
    process; "os" the end of the process, kill -9 included; "disk" a power cut, with one wait for the disk shared by all
    threads that append meanwhile. A disk without room: ``on_full="fail"`` raises, "drop" counts and returns 0.
    ``total_bytes``, unless 0, keeps all segments together within it by dropping whole old ones. A forked child cannot
    use its parent's writer.
    """

    def __init__(
        self,
        directory: str | PathLike[str],
        *,
        ack: str = "os",
        on_full: str = "fail",
        segment_bytes: SupportsIndex = 16777216,
        total_bytes: SupportsIndex = 0,
        max_record_bytes: SupportsIndex = 67108864,
        window_bytes: SupportsIndex = 262144,
    ) -> None:
        """:raises JournalError: another writer has the directory, or the system refused"""
    def append(self, kind: SupportsIndex, payload: bytes) -> int:
        """The record's sequence number, ascending by 1 but for failures, once it is acknowledged; 0 if it was dropped.

        :raises JournalError: it is not acknowledged, and will not be written later
        """
    def flush(self) -> None:
        """Hands everything appended so far to the system."""
    def sync(self) -> None:
        """Brings everything appended so far to the disk."""
    def recover(self) -> None:
        """After an error of code "failed": goes on in a new segment."""
    def release(self, before_seq: SupportsIndex) -> int:
        """Removes whole segments that hold nothing from ``before_seq`` on, never the newest. Gives how many."""
    def close(self) -> None:
        """Writes what is buffered, to the disk with ack="disk", and lets go of the directory."""
    def stats(self) -> _JournalStats: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *args: object) -> None: ...

@final
class JournalProblem:
    """Something in a journal that is not as it was written. ``what``: header_copy, header, newer_version,
    foreign_segment, record, payload, record_too_long, missing_records, missing_segments or unreadable_file; ``seq`` and
    ``count``: of the records lost, 0 where nobody knows.
    """

    @property
    def what(self) -> str: ...
    @property
    def segment(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def seq(self) -> int: ...
    @property
    def count(self) -> int: ...

class JournalReader:
    """Iterates over ``(seq, kind, payload)`` of a journal's records, in order, a piece of a file at a time.

    With ``follow`` the iteration may be taken up again after it ended, for what was written since. What is damaged is
    skipped and told by ``problems``.
    """

    def __init__(
        self,
        directory: str | PathLike[str],
        from_seq: SupportsIndex = 0,
        *,
        follow: bool = False,
        max_record_bytes: SupportsIndex = 67108864,
    ) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[int, int, bytes]: ...
    @property
    def problems(self) -> list[JournalProblem]:
        """In the order they were met; the first 1,000 of ``problem_count``."""
    @property
    def problem_count(self) -> int: ...
    @property
    def journal_id(self) -> bytes | None:
        """16 bytes, the same in all segments; None before a segment was read."""

class LedgerBatch:
    """Entries of a ledger's spool on their way into a database, and the rows that they come to.

    A call's end has the last word; texts that only its beginning has stay with it, and a note that comes with its call
    becomes a part of it. Rows are flat lists of values, one row after the other, in the order of the columns of
    :mod:`llmcore.ledger.rows`. For one thread at a time.
    """

    def __init__(self) -> None: ...
    def add(self, number: SupportsIndex, kind: SupportsIndex, entry: bytes) -> bool:
        """Takes an entry; False: it is none as this version writes it, and is not taken."""
    def fill(
        self, reader: JournalReader, after: SupportsIndex, most: SupportsIndex, most_bytes: SupportsIndex
    ) -> tuple[int, list[tuple[int, int, bytes]]]:
        """Takes what the reader gives next, behind the number `after`, until it holds `most` entries or `most_bytes`.

        Returns the number through which it has read, and the records that are no entries as this version writes them:
        (number, kind, bytes).
        """
    def __len__(self) -> int: ...
    @property
    def ends(self) -> int:
        """How many of the entries are ends of calls."""
    def choose(self, position: SupportsIndex) -> None:
        """Chooses what the entries behind `position` come to; before the rest is asked for."""
    @property
    def calls(self) -> int:
        """How many calls were chosen."""
    @property
    def notes(self) -> list[tuple[str | None, ...]]:
        """Notes on calls that are not in the batch: (trackable_type, trackable_id, user_id, call_type, id)."""
    def rows(self, spool: str) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
        """The rows of calls that were begun, of calls that are over, of attempts, and of texts.

        :param spool: who will write the ends of those that were begun
        """
    def rows_of(self, spool: str, call: SupportsIndex) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
        """The same for one of the calls.

        :raises IndexError: there are not so many
        """

class LedgerSums:
    """What calls add to the sums of a ledger: see :mod:`llmcore.ledger.rollups`, whose KEY, AMOUNTS and READ it has.

    For one thread at a time.
    """

    def __init__(self) -> None: ...
    def count(self, row: Sequence[Any]) -> None:
        """Counts one finished call, told by the columns READ."""
    def count_rows(self, values: list[Any]) -> None:
        """Counts the finished ones of calls, told by whole rows, one after the other."""
    def clear(self) -> None: ...
    def rows(self, also: Sequence[tuple[str, ...]]) -> list[tuple[Any, ...]]:
        """(KEY, AMOUNTS, longest time in queues, latency sketch) of everything that was counted, days included, in
        one order; and rows of nothing for the other keys that are named.
        """
    @staticmethod
    def parts(row: Sequence[Any]) -> tuple[list[tuple[str, ...]], tuple[int, ...], int | None]:
        """The keys that a finished call counts under, days left out; what it adds; its latency, if that counts."""
    @staticmethod
    def day_of(hour: tuple[str, ...]) -> tuple[str, ...]:
        """The key of the day that an hour's key is a part of."""

def text_weight(text: str) -> int:
    """What text comes to in thousandths of a token, before anybody has counted them.

    :raises UnicodeEncodeError: it holds half of a surrogate pair
    """

def are_plain(messages: object, /) -> TypeGuard[list[dict[str, Any]]]:
    """Whether it is a list of dicts that hold a role and a content each, both text, and nothing else."""

def plain_weight(messages: object, /) -> int:
    """The text weight of such messages together; -1: they are not plain."""

def column_arrays(values: list[Any], width: SupportsIndex) -> tuple[str, ...]:
    """The columns of rows in a flat list, each as one array in the form that PostgreSQL reads."""

def filled_columns(
    values: list[Any], width: SupportsIndex, *, flags_are_numbers: bool
) -> tuple[tuple[int, ...], list[Any]]:
    """Of rows in a flat list: the columns in which anything but None stands, and the values of these alone.

    :param flags_are_numbers: makes bools 0 and 1
    """

def ledger_name(text: str | None, most: SupportsIndex = 200) -> str:
    """A name of at most `most` characters: one that is longer is cut, and told apart by a hash. None is empty."""

def ledger_time(wall_ns: SupportsIndex) -> str:
    """A time in nanoseconds since the Unix epoch as the ledger writes it, cut to microseconds."""

def outcome_of_status(http_status: SupportsIndex) -> Outcome: ...
def verdict_of(outcome: Outcome, should_retry: bool | None = None) -> Verdict: ...
def counts_against_health(outcome: Outcome) -> bool: ...
def sha256(data: bytes | str) -> bytes: ...
def fingerprint(tenant: str, provider: str, model: str, canonical_request: bytes | str) -> bytes: ...
def to_micro_usd(nano_usd: SupportsIndex) -> int: ...
def offline_problem(call_type: str) -> str: ...
def now() -> tuple[int, int]:
    """(monotonic, wall) nanoseconds"""

def uuid7(wall_ns: SupportsIndex | None = None) -> str: ...
def uuid7_milliseconds(text: str) -> int: ...
