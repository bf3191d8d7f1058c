"""The compiled core. Times are integer nanoseconds, money integer nano-US-dollars; every class is thread-safe.

Where a method takes ``now`` (monotonic) or ``wall`` (since the Unix epoch), None reads the system's clock. See the
C++ headers for the laws and complexities.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, SupportsFloat, SupportsIndex, final

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
    """What a call consumed, in disjoint buckets of tokens (``images``: pictures)."""

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
    @property
    def valid(self) -> bool: ...
    def __add__(self, other: Usage) -> Usage: ...
    def __copy__(self) -> Usage: ...
    def __deepcopy__(self, memo: dict[Any, Any]) -> Usage: ...

class Rates:
    """Nano-USD per million tokens for each bucket; per piece for the last two."""

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

class PriceCard:
    """What one model costs at one moment. Immutable."""

    def __init__(self, base: Rates, tiers: Sequence[tuple[int, Rates]] = ..., source: str = "") -> None: ...
    @property
    def base(self) -> Rates: ...
    @property
    def tiers(self) -> list[tuple[int, Rates]]: ...
    @property
    def source(self) -> str: ...
    def cost(self, usage: Usage, requests: SupportsIndex = 1) -> int:
        """Nano-USD, exact, rounded half-even once.

        :raises ValueError: a count is negative
        :raises OverflowError: the cost does not fit in 64 bits
        """
    def worst_case(self, input_tokens: SupportsIndex, output_tokens: SupportsIndex, images: SupportsIndex = 0) -> int:
        """The most a text request of this size can cost, in nano-USD.

        :raises ValueError: a count is negative or the cost does not fit in 64 bits
        """

class BackoffConfig:
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

class Backoff:
    """delay = base x 2^attempt, jittered, capped last; random numbers from ``seed``."""

    def __init__(self, config: BackoffConfig = ..., seed: SupportsIndex = 0) -> None: ...
    def delay(self, attempt: SupportsIndex) -> int: ...

class RateLimiterConfig:
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
    def __init__(
        self,
        remaining_requests: SupportsIndex | None = None,
        remaining_tokens: SupportsIndex | None = None,
        requests_reset: SupportsIndex = 0,
        tokens_reset: SupportsIndex = 0,
    ) -> None: ...
    @property
    def remaining_requests(self) -> int | None: ...
    @property
    def remaining_tokens(self) -> int | None: ...
    @property
    def requests_reset(self) -> int: ...
    @property
    def tokens_reset(self) -> int: ...

@final
class RateReservation:
    @property
    def requests(self) -> int: ...
    @property
    def tokens(self) -> int: ...

class RateLimiter:
    """Requests per minute, tokens per minute and calls in flight, held together."""

    def __init__(self, config: RateLimiterConfig = ..., now: SupportsIndex | None = None) -> None: ...
    def try_acquire(self, n: SupportsIndex = 1, now: SupportsIndex | None = None) -> bool: ...
    def time_until(self, n: SupportsIndex = 1, now: SupportsIndex | None = None) -> int: ...
    def reserve(self, tokens: SupportsIndex = 0, now: SupportsIndex | None = None) -> RateReservation | None: ...
    def settle(
        self, reservation: RateReservation, actual_tokens: SupportsIndex, now: SupportsIndex | None = None
    ) -> None: ...
    def refund(self, reservation: RateReservation, now: SupportsIndex | None = None) -> None: ...
    def pause_until(self, until: SupportsIndex) -> None: ...
    def observe(self, observation: RateObservation, now: SupportsIndex | None = None) -> None: ...
    def stats(self) -> dict[str, int]: ...

class RequestQueueConfig:
    class_capacity: list[int]
    total_capacity: int
    class_timeout: list[int]
    low_share: int
    def __init__(self) -> None: ...
    @staticmethod
    def game() -> RequestQueueConfig: ...
    @staticmethod
    def server() -> RequestQueueConfig: ...

class RequestQueue:
    """Ids that wait for their turn: HIGH before MEDIUM before LOW, first in first out inside a class."""

    def __init__(self, config: RequestQueueConfig = ...) -> None: ...
    def push(
        self,
        id: SupportsIndex,
        priority: Priority = ...,
        deadline: SupportsIndex | None = None,
        now: SupportsIndex | None = None,
    ) -> str:
        """'accepted', 'class_full', 'total_full' or 'duplicate'"""
    def pop(self) -> int | None: ...
    def peek(self) -> int | None: ...
    def remove(self, id: SupportsIndex) -> bool: ...
    def expire(self, now: SupportsIndex | None = None) -> list[int]: ...
    def next_expiry(self) -> int | None: ...
    def __len__(self) -> int: ...
    def __contains__(self, id: SupportsIndex) -> bool: ...
    def stats(self) -> dict[str, int]: ...

class ResponseCacheConfig:
    max_entries: int
    max_bytes: int
    ttl: int
    def __init__(
        self,
        max_entries: SupportsIndex = 10_000,
        max_bytes: SupportsIndex = ...,
        ttl: SupportsIndex = ...,
    ) -> None: ...

class ResponseCache:
    """32-byte key -> bytes, with a time to live and S3-FIFO eviction."""

    def __init__(self, config: ResponseCacheConfig = ...) -> None: ...
    def get(self, key: bytes, now: SupportsIndex | None = None) -> bytes | None: ...
    def put(self, key: bytes, value: bytes, now: SupportsIndex | None = None) -> None: ...
    def erase(self, key: bytes) -> bool: ...
    def clear(self) -> None: ...
    def stats(self) -> dict[str, Any]: ...

class ErrorRecoveryConfig:
    max_attempts: int
    retry_after_cap: int
    breaker_errors: int
    cooldown: int
    retry_percent: int
    retries_per_second: int
    def __init__(self) -> None: ...

class ErrorRecovery:
    """One provider's recent past: a retry budget and a circuit breaker."""

    def __init__(self, config: ErrorRecoveryConfig = ..., now: SupportsIndex | None = None) -> None: ...
    def call_arrived(self) -> None: ...
    def ready_at(self, now: SupportsIndex | None = None) -> int | None: ...
    def sent(self, now: SupportsIndex | None = None) -> bool: ...
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
    ) -> Verdict: ...
    def health(self, now: SupportsIndex | None = None) -> Health: ...
    def stats(self) -> dict[str, int]: ...

class BudgetRule:
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
    def problem(self) -> str: ...

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
    @property
    def amount(self) -> int: ...

class Budget:
    """Spending limits that concurrent calls cannot overshoot."""

    def __init__(self, rules: Sequence[BudgetRule]) -> None: ...
    def refusal(
        self, scopes: Sequence[tuple[str, str]], worst_case: SupportsIndex | None, wall: SupportsIndex | None = None
    ) -> BudgetRefusal | None: ...
    def reserve(
        self, scopes: Sequence[tuple[str, str]], worst_case: SupportsIndex, wall: SupportsIndex | None = None
    ) -> BudgetReservation | None:
        """Sets money aside in every matching rule, or in none (None)."""
    def settle(
        self, reservation: BudgetReservation, actual: SupportsIndex, wall: SupportsIndex | None = None
    ) -> list[AlertRecord]: ...
    def release(self, reservation: BudgetReservation) -> None: ...
    def reserved(self) -> int: ...
    def accounts(self) -> list[dict[str, Any]]: ...

class LatencySketch:
    """Quantiles of durations within 1 %, mergeable."""

    def __init__(self) -> None: ...
    def add(self, ns: SupportsIndex) -> None: ...
    def merge(self, other: LatencySketch) -> None: ...
    def quantile(self, p: SupportsFloat) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def sum(self) -> int: ...
    @property
    def min(self) -> int: ...
    @property
    def max(self) -> int: ...

class TokenTracker:
    """Usage and cost per model x call type x hour, and in all."""

    def __init__(self, hours_kept: SupportsIndex = 48) -> None: ...
    def record(
        self,
        model: str,
        call_type: str,
        usage: Usage,
        cost: SupportsIndex | None = None,
        latency: SupportsIndex = 0,
        outcome: Outcome = ...,
        cache_hit: bool = False,
        attempts: SupportsIndex = 1,
        saved: SupportsIndex = 0,
        wall: SupportsIndex | None = None,
    ) -> None: ...
    def totals(self) -> dict[str, Any]: ...
    def by_model_and_type(self) -> list[dict[str, Any]]: ...
    def by_hour(self) -> list[dict[str, Any]]: ...

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
    ) -> str: ...

class Config:
    """Everything that can be set about an engine."""

    seed: int
    limits: RateLimiterConfig
    queue: RequestQueueConfig
    cache: ResponseCacheConfig
    backoff: BackoffConfig
    recovery: ErrorRecoveryConfig
    budgets: list[BudgetRule]
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
    """One provider that may answer a call, and the worst it can cost there."""

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

class Engine:
    """Every decision about every call. The host hands in inputs with the time, then drains the actions."""

    def __init__(self, config: Config) -> None:
        """:raises ValueError: the configuration has problems; all are named"""
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
    ) -> int: ...
    def streaming(self, attempt: SupportsIndex, mono: SupportsIndex, wall: SupportsIndex) -> None: ...
    def replied(
        self,
        attempt: SupportsIndex,
        usage: Usage,
        price: PriceCard | None,
        payload: bytes | None,
        mono: SupportsIndex,
        wall: SupportsIndex,
    ) -> None: ...
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
    ) -> None: ...
    def observed(
        self, tenant: str, provider: str, limits: RateObservation, mono: SupportsIndex, wall: SupportsIndex
    ) -> None: ...
    def cancel(self, call: SupportsIndex, mono: SupportsIndex, wall: SupportsIndex) -> None: ...
    def tick(self, mono: SupportsIndex, wall: SupportsIndex) -> None: ...
    def drain(self) -> list[Send | Abort | Finish | AttemptRecord | AlertRecord]: ...
    def next_deadline(self) -> int | None: ...
    def stats(self) -> dict[str, Any]: ...
    def tracker(self) -> TokenTracker: ...
    def state_hash(self) -> int: ...
    def check(self) -> str: ...

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
