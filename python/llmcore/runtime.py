"""One engine and everything it is driven with: clock, transport, providers, prices, ledger.

Limits, budgets and the cache belong to a runtime. Clients are cheap views of one: made per request they cost nothing
and multiply nothing, and sync and async clients
share it.

Threads and loops: every input to the engine happens under one lock, together with the delivery of the actions it
brought about into the mailboxes of
the calls they belong to. Nothing else is done under it. Whoever has something in his mailbox is woken, and nobody
else; among the parked threads one
holds the timer for all (:mod:`llmcore.parking`).
"""

import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from llmcore._core import AlertRecord, Engine, Finish, PriceCard, RateObservation, Send, uuid7
from llmcore.call import Call
from llmcore.clock import Clock, SystemClock
from llmcore.errors import LLMConfigError
from llmcore.estimate import TokenEstimator
from llmcore.flow import tell
from llmcore.flow_stream import Streamed
from llmcore.parking import Parking
from llmcore.transport import Transport, create_transport
from llmcore.types import CallRecord, Failure, Outcome, Sink, Texts, Usage

if TYPE_CHECKING:
    from llmcore.config import Settings
    from llmcore.ledger.tracker import UsageTracker
    from llmcore.pricing import Catalogue
    from llmcore.providers.base import LLMProvider
    from llmcore.recording import ReplayLogger

__all__ = ["NoLedger", "Observer", "Runtime", "ledger_of", "surroundings"]

_NO_USAGE = Usage()
_FAR = 1 << 62
#: How often, and after how many seconds each, close() looks whether the threads and tasks of cancelled calls have
#: written them down. One that does not run any more never will.
_MOST_LOOKS = 1000
_BETWEEN_LOOKS = 0.001


class NoLedger:
    """A sink that remembers nothing."""

    def begin(self, call: CallRecord) -> None:
        """Forgets `call`."""

    def record(self, call: CallRecord, texts: Texts | None = None) -> None:
        """Forgets `call` and what was said in it."""

    def flush(self, timeout: float | None = None) -> bool:
        """There is nothing to wait for."""
        return True

    def close(self) -> None:
        """There is nothing to close."""


#: Sees every action of the engine in order, under the lock: it must be quick and must not call back.
Observer = Callable[[object], None]


def surroundings() -> "tuple[Transport, ReplayLogger | None]":
    """The transport and the recorder of a runtime that was given neither; a test's recording puts others in place."""
    return create_transport(), None


class Runtime:
    """Owns one engine, its transport and its tracker.

    :param settings: everything that can be set; None reads the environment and the configuration file
    :param tracker: where finished calls go; None opens the ledger that the settings name and closes it with the runtime
    :param transport: what speaks HTTP: "sdk", the HTTP client of the openai SDK, or an object; None creates the native
        one
    :param clock: where the time comes from; tests inject a :class:`~llmcore.clock.ManualClock`
    :param recorder: records everything that the runtime does: the engine's inputs, and what goes out and comes in
    :param observer: sees every action of the engine
    :raises LLMConfigError: the settings are unusable
    """

    _default: ClassVar["Runtime | None"] = None
    _default_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(
        self,
        settings: "Settings | None" = None,
        *,
        tracker: Sink | None = None,
        transport: Transport | Literal["native", "sdk"] | None = None,
        clock: Clock | None = None,
        recorder: "ReplayLogger | None" = None,
        observer: Observer | None = None,
    ) -> None:
        from llmcore.config import Settings

        if settings is not None and not isinstance(settings, Settings):
            raise LLMConfigError(f"settings= is a Settings object, not {type(settings).__name__}; say Settings(...)")
        if tracker is not None and not callable(getattr(tracker, "record", None)):
            given = type(tracker).__name__
            raise LLMConfigError(f"tracker= is a UsageTracker or another Sink, not {given}; say UsageTracker(url)")
        if isinstance(transport, str) and transport not in ("native", "sdk"):
            raise LLMConfigError(f'transport= is "native", "sdk" or a Transport, not {transport!r}')
        self.settings = settings if settings is not None else Settings()
        self.clock: Clock = clock if clock is not None else SystemClock()
        if transport is None and recorder is None:
            transport, recorder = surroundings()
        self.transport = create_transport(transport) if isinstance(transport, str) else transport or create_transport()
        self.recorder = recorder
        self.estimator = TokenEstimator()
        self._config = self.settings.engine_config()
        self._owns_sink = tracker is None
        self.sink: Sink = tracker if tracker is not None else ledger_of(self.settings) or NoLedger()
        self._alert_observers: weakref.WeakKeyDictionary[object, Callable[[AlertRecord], None]]
        self._alert_observers = weakref.WeakKeyDictionary()
        self._observer = observer
        self._providers: dict[str, LLMProvider] = {}
        self._catalogue: Catalogue | None = None
        self._closed = False
        self._begin()
        _live.add(self)

    def _begin(self) -> None:
        """What a process has of its own: an engine with its randomness, its lock, and who waits."""
        if self.settings.seed is None:
            self._config.seed = int.from_bytes(os.urandom(8), "little")
        self._engine = Engine(self._config, self.recorder)
        self._lock = threading.Lock()
        self._calls: dict[int, Call] = {}
        self._streams: dict[int, Streamed] = {}  # those that their users have seen a part of, by call
        self._streams_due = _FAR  # no later than the first of their deadlines
        self._alerts: list[AlertRecord] = []
        self.parking = Parking(self)

    @classmethod
    def default(cls) -> "Runtime":
        """The process's own runtime, made at the first use. Its tracker is ``UsageTracker.default()``."""
        with cls._default_lock:
            if cls._default is None or cls._default._closed:
                from llmcore.config import Settings

                settings = Settings()
                cls._default = cls(settings, tracker=ledger_of(settings, shared=True) or NoLedger())
            return cls._default

    # --- what calls are made of
    # -------------------------------------------------------------------------------------------

    def provider(self, name: str) -> "LLMProvider":
        """The provider of that name, created at its first use.

        :raises LLMConfigError: there is none, or it is not configured
        """
        found = self._providers.get(name)
        if found is None:
            from llmcore.providers.registry import create_provider

            made = create_provider(name, self.settings)
            found = self._providers[name] = self._providers.setdefault(made.name, made)
        return found

    def adopt(self, provider: "LLMProvider") -> None:
        """Makes a provider object known under its name.

        :raises LLMConfigError: another object has that name in this runtime
        """
        from llmcore.providers.base import LLMProvider

        if not isinstance(provider, LLMProvider):
            raise LLMConfigError(f"provider is a name or an LLMProvider, not {type(provider).__name__}")
        if self._providers.setdefault(provider.name, provider) is not provider:
            raise LLMConfigError(
                f"this runtime has another provider named '{provider.name}' already; give one of them another name"
            )

    def price(self, provider: "LLMProvider", model: str, at: int | None = None) -> PriceCard | None:
        """The price card of a model, at Unix second `at` or now; None if its price is unknown."""
        if self._catalogue is None:
            from llmcore.pricing import Catalogue

            self._catalogue = Catalogue(self.settings, clock=lambda: self.clock.now()[1] / 1e9)
        return self._catalogue.card(provider.name, model, at, free=provider.free)

    def image_price(
        self, provider: "LLMProvider", model: str, size: str, quality: str, at: int | None = None
    ) -> PriceCard | None:
        """The price card of a picture, at Unix second `at` or now; None if its price is unknown."""
        self.price(provider, model, at)  # makes the catalogue
        assert self._catalogue is not None
        return self._catalogue.image_card(provider.name, model, size, quality, at, free=provider.free)

    # --- inputs
    # -----------------------------------------------------------------------------------------------------------

    def submit(
        self,
        call: Call,
        priority: Any,
        deadline: int,
        key: bytes | None,
        targets: list[Any],
        scopes: list[tuple[str, str]],
    ) -> None:
        """Hands a call to the engine. Its first action may be in its mailbox when this returns."""
        with self._lock:
            if self._closed:
                raise LLMConfigError("this client is closed; make a new one")
            mono, wall = self._now()
            call.created_at = wall
            call.id = uuid7(wall)
            call.number = number = self._engine.submit(
                call.tenant, call.call_type or "", priority, deadline, key, targets, scopes, mono, wall
            )
            self._calls[number] = call
            self._deliver()
        self._tell_alerts()

    def replied(
        self,
        call: Call,
        send: Send,
        usage: Usage,
        price: PriceCard | None,
        payload: bytes | None,
        observation: RateObservation | None,
    ) -> None:
        """The attempt was answered."""
        with self._lock:
            mono, wall = self._now(but=call)
            if observation is not None:
                self._engine.observed(call.tenant, call.providers[send.target].name, observation, mono, wall)
            self._engine.replied(send.attempt, usage, price, payload, mono, wall)
            self._deliver()
        self._tell_alerts()

    def streaming(self, call: Call, send: Send, stream: Streamed, observation: RateObservation | None) -> None:
        """The first chunk of the answer is about to reach the user."""
        with self._lock:
            mono, wall = self._now()
            if observation is not None:
                self._engine.observed(call.tenant, call.providers[send.target].name, observation, mono, wall)
            if call.number in self._calls and not call.mailbox:
                self._engine.streaming(send.attempt, mono, wall)
                stream.began = True
                self._streams[call.number] = stream
                self._streams_due = min(self._streams_due, stream.not_after)
            self._deliver()
        self._tell_alerts()

    def failed(
        self,
        call: Call,
        send: Send,
        failure: Failure,
        observation: RateObservation | None,
        usage: Usage | None = None,
        price: PriceCard | None = None,
    ) -> None:
        """The attempt failed; `usage` was billed all the same."""
        asked = failure.retry_after or 0.0
        # NaN compares false: a provider's nonsense is no wait. A century is as good as for ever.
        retry_after = round(min(asked, 3e9) * 1e9) if asked > 0 else 0
        with self._lock:
            mono, wall = self._now(but=call)
            if observation is not None:
                self._engine.observed(call.tenant, call.providers[send.target].name, observation, mono, wall)
            self._engine.failed(
                send.attempt,
                failure.outcome,
                failure.should_retry,
                retry_after,
                _NO_USAGE if usage is None else usage,
                price,
                mono,
                wall,
            )
            self._deliver()
        self._tell_alerts()

    def cancel(self, call: Call) -> None:
        """Gives up a call, wherever it stands. Without effect on one that is over."""
        if call.number not in self._calls:
            return
        with self._lock:
            if call.number in self._calls:
                self._end(call, *self._now())
                self._deliver()
        self._tell_alerts()

    def tick(self, not_before: int = 0) -> None:
        """Lets the engine see the time.

        :param not_before: monotonic nanoseconds that have passed for sure: a timer set for then has just fired
        """
        with self._lock:
            mono, wall = self._now(not_before)
            self._engine.tick(mono, wall)
            self._deliver()
        self._tell_alerts()

    def next_deadline(self) -> int | None:
        """When a tick is due, in monotonic nanoseconds."""
        return self._engine.next_deadline()

    def _now(self, not_before: int = 0, but: Call | None = None) -> tuple[int, int]:
        """The time of the next input. Streams whose time is over by then are ended first, each with what it delivered:
        the engine, which knows of no chunk, would end them with nothing. Under the lock.

        :param but: the call that the input is about: an answer that arrives together with its deadline still counts
        """
        mono, wall = self.clock.now()
        if mono < not_before:
            mono = not_before
        if but is not None:
            self._streams.pop(but.number, None)
        if mono >= self._streams_due:
            for number, stream in list(self._streams.items()):
                if mono >= stream.not_after:
                    del self._streams[number]
                    self._end_stream(stream, Outcome.TIMEOUT, mono, wall)
            self._streams_due = min((stream.not_after for stream in self._streams.values()), default=_FAR)
        return mono, wall

    def _end(self, call: Call, mono: int, wall: int) -> None:
        """Cancels a call. Under the lock."""
        stream = self._streams.pop(call.number, None)
        if stream is not None:
            self._end_stream(stream, Outcome.CANCELLED, mono, wall)
        else:
            self._engine.cancel(call.number, mono, wall)

    def _end_stream(self, stream: Streamed, outcome: Outcome, mono: int, wall: int) -> None:
        usage, price = stream.billed()
        self._engine.failed(stream.attempt, outcome, None, 0, usage, price, mono, wall)

    # --- outputs
    # ----------------------------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        """Puts the engine's actions into the mailboxes they belong to and wakes whoever waits for one. Under the
        lock.
        """
        for action in self._engine.drain():
            if self._observer is not None:
                self._observer(action)
            if isinstance(action, AlertRecord):
                self._alerts.append(action)
                continue
            call = self._calls.get(action.call)
            if call is None:
                continue
            call.mailbox.append(action)
            if type(action) is Finish:
                del self._calls[action.call]
            if call.wake is not None:
                wake, call.wake = call.wake, None
                wake()
        if self.parking.occupied:
            self.parking.deadline_is(self._engine.next_deadline())

    def _tell_alerts(self) -> None:
        if not self._alerts:
            return
        with self._lock:
            alerts, self._alerts = self._alerts, []
            observers = list(self._alert_observers.values())
        for alert in alerts:
            for observer in observers:
                tell(observer, alert)

    def watch_alerts(self, owner: object, observer: Callable[[AlertRecord], None]) -> None:
        """Tells `observer` of every alert for as long as `owner` lives. One observer per owner."""
        with self._lock:
            self._alert_observers[owner] = observer

    @property
    def lock(self) -> threading.Lock:
        """Held during every input and delivery; :mod:`llmcore.parking` shares it."""
        return self._lock

    # --- looking and ending
    # -----------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """Counters of the engine as a nested dict; at rest, in_flight, queued and everything reserved are 0."""
        found: dict[str, Any] = self._engine.stats()
        ledger = getattr(self.sink, "stats", None)
        if ledger is not None:
            found["ledger"] = asdict(ledger())
        return found

    def check(self) -> str:
        """The first invariant of the engine that does not hold, in words; empty when all do."""
        return self._engine.check()

    def close(self) -> None:
        """Cancels what runs, writes what is recorded, closes connections. Calling it again does nothing."""
        cancelled = self._stop()
        if cancelled is None:
            return
        self.transport.close()
        if self._owns_sink:
            self._close_sink(cancelled)

    async def aclose(self) -> None:
        """The same without blocking the event loop."""
        import asyncio

        cancelled = self._stop()
        if cancelled is None:
            return
        await self.transport.aclose()
        if self._owns_sink:
            await asyncio.to_thread(self._close_sink, cancelled)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    def _close_sink(self, cancelled: list[Call]) -> None:
        for _ in range(_MOST_LOOKS):
            if all(call.recorded for call in cancelled):
                break
            time.sleep(_BETWEEN_LOOKS)
        self.sink.close()

    def _stop(self) -> list[Call] | None:
        """Cancels every call that runs. None: that was done before."""
        with self._lock:
            if self._closed:
                return None
            self._closed = True
            cancelled = list(self._calls.values())
            for call in cancelled:
                self._end(call, *self.clock.now())
            self._deliver()
        return cancelled


def ledger_of(settings: "Settings", *, shared: bool = False) -> "UsageTracker | None":
    """The ledger that settings want; None if they want none. It is not opened yet.

    :param shared: the process's own
    """
    ledger = settings.ledger
    if ledger.url == "none":
        return None
    from llmcore.ledger.tracker import UsageTracker

    options: dict[str, Any] = {
        "spool_dir": ledger.spool_dir,
        "ack": ledger.ack,
        "on_full": ledger.on_full,
        "content": settings.content.policy,
    }
    return UsageTracker.default(ledger.url, **options) if shared else UsageTracker(ledger.url, **options)


_live: "weakref.WeakSet[Runtime]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """A forked child has the parent's memory but not its threads: it starts with an engine of its own. Limits are per
    process.
    """
    Runtime._default_lock = threading.Lock()
    for runtime in list(_live):
        runtime.recorder = None  # the recording is the parent's
        runtime._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
