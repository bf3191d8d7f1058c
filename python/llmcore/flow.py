"""One call's way through the engine, as a generator that both clients run.

The generator decides nothing and does no I/O. It yields what has to happen outside and is sent the result:

- ``Park``: nothing to do until something lands in the call's mailbox. Sent back: None.
- ``Perform``: send this HTTP request. Sent back: the response, or the :class:`~llmcore.transport.TransportError` that
  came instead.
- for a stream, ``Open``, ``Read`` and ``Deliver`` of :mod:`llmcore.flow_stream`. Sent back: the exchange, its next
  bytes (or the error instead of either), None.

It returns the :class:`~llmcore.types.LLMResponse` or raises an :class:`~llmcore.errors.LLMError`. Closing it at any
point, also by an exception thrown into its runner, cancels the call and gives everything back.
"""

import logging
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Final, Protocol, cast

import msgspec

from llmcore._core import AttemptRecord, Finish, Send
from llmcore.call import Call
from llmcore.call_context import inside
from llmcore.errors import LLMError, error_for
from llmcore.estimate import fill_in
from llmcore.explain import explain
from llmcore.flow_stream import (
    Deliver,
    Open,
    Read,
    Result,
    Streamed,
    decoded_again,
    fault_of,
    price_of,
    streamed_attempt,
)
from llmcore.kinds import EmbeddingResponse, ImageResponse, checked, encode, fill_in_pictures, response_class
from llmcore.transport import TransportError
from llmcore.types import (
    CallRecord,
    EmbeddingRequest,
    Failure,
    HttpRequest,
    HttpResponse,
    ImageReply,
    ImageRequest,
    LLMCallStatusEnum,
    LLMRequest,
    LLMResponse,
    Money,
    Outcome,
    Reply,
    Sink,
    Source,
    Texts,
)

if TYPE_CHECKING:
    from llmcore._core import PriceCard, RateObservation, Usage
    from llmcore.clock import Clock
    from llmcore.estimate import TokenEstimator
    from llmcore.providers.base import LLMProvider
    from llmcore.recording import ReplayLogger

__all__ = ["Host", "Park", "Perform", "Step", "call_flow", "tell"]

_log = logging.getLogger("llmcore")
_NO_HEADERS: Final[dict[str, str]] = {}
_NO_MONEY: Final = Money(0)
# Attributes of an enum class are looked up through its metaclass: once is enough.
_CACHED, _FALLBACK, _SUCCESS = LLMCallStatusEnum.CACHED, LLMCallStatusEnum.FALLBACK, LLMCallStatusEnum.SUCCESS
_PENDING, _OK = LLMCallStatusEnum.PENDING, Outcome.OK
_NONE, _PROVIDER, _CACHE, _JOINED = Source.NONE, Source.PROVIDER, Source.CACHE, Source.JOINED


class Host(Protocol):
    """What a flow needs of the runtime it runs in: inputs for the engine, and what calls are made of."""

    clock: "Clock"
    estimator: "TokenEstimator"
    sink: Sink
    recorder: "ReplayLogger | None"

    def provider(self, name: str) -> "LLMProvider":
        """The provider of that name."""

    def price(self, provider: "LLMProvider", model: str, at: int | None = None) -> "PriceCard | None":
        """The price card of a model, at Unix second `at` or now."""

    def image_price(
        self, provider: "LLMProvider", model: str, size: str, quality: str, at: int | None = None
    ) -> "PriceCard | None":
        """The price card of a picture, at Unix second `at` or now."""

    def replied(
        self,
        call: Call,
        send: Send,
        usage: "Usage",
        price: "PriceCard | None",
        payload: bytes | None,
        observation: "RateObservation | None",
    ) -> None:
        """The attempt was answered."""

    def streaming(self, call: Call, send: Send, stream: Streamed, observation: "RateObservation | None") -> None:
        """The first chunk of the answer is about to reach the user."""

    def failed(
        self,
        call: Call,
        send: Send,
        failure: Failure,
        observation: "RateObservation | None",
        usage: "Usage | None" = None,
        price: "PriceCard | None" = None,
    ) -> None:
        """The attempt failed; `usage` was billed all the same."""

    def cancel(self, call: Call) -> None:
        """Gives up a call, wherever it stands."""


class Park(msgspec.Struct):
    """Wait for the call's mailbox."""

    call: Call


class Perform(msgspec.Struct):
    """Send `request` and give up after `timeout` seconds."""

    request: HttpRequest
    timeout: float


Step = Park | Perform | Open | Read | Deliver


def call_flow(runtime: Host, call: Call, submit: Callable[[], None]) -> Generator[Step, Result, LLMResponse]:
    """Runs `call` from its submission (`submit` hands it to the engine) to its end."""
    finished = False
    try:
        submit()
        mailbox = call.mailbox
        park = None
        while True:
            if not mailbox:
                park = park or Park(call)
                yield park
                continue
            action = mailbox.popleft()
            if type(action) is Send:
                call.reserved = action.worst_case
                if not call.begun and not call.providers[action.target].local:
                    _begin(runtime, call, action)
                yield from (streamed_attempt if call.stream else _attempt)(runtime, call, action)
            elif type(action) is AttemptRecord:
                call.attempts.append(action)
            elif type(action) is Finish:
                finished = True
                answer = _conclude(runtime, call, action)
                if call.rest:
                    yield Deliver(call.rest, answer)
                return answer
            # Abort needs nothing: whoever performs gives up at the attempt's own deadline.
    finally:
        if not finished:
            runtime.cancel(call)
            _record_unfinished(runtime, call)


def _begin(runtime: Host, call: Call, send: Send) -> None:
    """Writes a call down before anything of it leaves the process.

    :raises LedgerError: the ledger was asked to let no call go that it cannot write down
    """
    request = call.requests[send.target]
    record = CallRecord(
        call.id,
        call.call_type,
        _PENDING,
        _OK,
        _NONE,
        call.providers[send.target].name,
        request.model,
        call.context,
        temperature=request.temperature,
        max_tokens=request.max_tokens,
        created_at=call.created_at,
        tenant=call.tenant,
        reserved=call.reserved,
    )
    runtime.sink.begin(record)
    call.begun = True


def _attempt(runtime: Host, call: Call, send: Send) -> Generator[Step, Result, None]:
    provider = call.providers[send.target]
    request = call.requests[send.target]
    recorder, exchange = runtime.recorder, None
    try:
        if provider.local:
            with inside(call.context, call.id):
                if type(request) is LLMRequest:
                    body = provider.answer(request, call.call_type)
                else:
                    assert isinstance(request, EmbeddingRequest | ImageRequest)
                    body = provider.answer_other(request)
            response: HttpResponse | TransportError | None = HttpResponse(200, _NO_HEADERS, body)
        else:
            encoded = call.first if send.target == 0 and call.first is not None else encode(provider, request)
            timeout = (send.not_after - runtime.clock.now()[0]) / 1e9
            if recorder is not None:
                exchange = recorder.exchange(call.number, send.attempt, provider.name, encoded)
            response = cast("HttpResponse | TransportError", (yield Perform(encoded, max(timeout, 0.001))))
            if exchange is not None:
                response = exchange.came(response)
        if isinstance(response, HttpResponse):
            observation = None if provider.local else provider.observe(response.headers)
            decoded = checked(request, provider.decode(response.status, response.headers, response.body))
        else:
            assert isinstance(response, TransportError)
            observation = None
            decoded = Failure(response.outcome, str(response))
    except Exception as error:
        decoded, observation, response = fault_of(provider, error), None, None
    if exchange is not None:
        exchange.end()
    if isinstance(decoded, Failure):
        call.failure = decoded
        runtime.failed(call, send, decoded, observation)
        return
    assert isinstance(response, HttpResponse)
    if decoded.usage.estimated:
        size = len(call.first.body) if call.first is not None else 0
        fill_in(runtime.estimator, decoded, request, size)
    elif call.estimate is not None:
        runtime.estimator.learn(request.model, call.estimate, decoded.usage)
    call.reply, call.failure, call.body = decoded, None, response.body
    price = price_of(runtime, provider, request, decoded)
    if isinstance(decoded, ImageReply):
        fill_in_pictures(runtime.estimator, decoded, request, price)
    call.price_source = price.source if price is not None else None
    payload = response.body if call.keep else None
    runtime.replied(call, send, decoded.usage, price, payload, observation)


def _conclude(runtime: Host, call: Call, finish: Finish) -> LLMResponse:
    if finish.outcome is _OK:
        reply, body = call.reply, call.body
        shared = finish.source is not _PROVIDER
        if shared or reply is None:
            body = finish.payload or b""
            decoded = _decoded_again(call, _provider_of(runtime, call, finish), body) if body else None
            if not isinstance(decoded, Reply):  # only where a provider's decode() is not a function of its bytes
                told = f"{finish.provider}: its stored answer cannot be decoded again"
                raise _fail(runtime, call, finish, Outcome.SERVER_ERROR, told)
            reply = decoded
        fallback = finish.fallback
        status = _CACHED if shared else _FALLBACK if fallback else _SUCCESS
        cost = finish.cost
        answer = response_class(reply)(
            reply.content,
            reply.model or finish.model,
            finish.provider,
            reply.usage,
            None if cost is None else Money(cost),
            call.id,
            reply.finish_reason,
            reply.tool_calls,
            reply.reasoning,
            finish.latency / 1e6,
            finish.attempts,
            status,
            shared,
            fallback,
            Money(finish.saved) if shared else _NO_MONEY,
            reply.request_id,
            b"" if call.stream else body,
            reply.refusal,
            reply.citations,
        )
        if type(answer) is not LLMResponse:
            assert isinstance(answer, EmbeddingResponse | ImageResponse)
            answer.take(reply)
        _record(runtime, call, finish, status, reply, None)
        return answer
    failure = call.failure
    if failure is not None and failure.outcome is not finish.outcome:
        failure = None  # of an earlier attempt: not what the call ends with
    hint = finish.retry_hint / 1e9 if finish.retry_hint else None
    raise _fail(runtime, call, finish, finish.outcome, explain(finish, failure), failure, hint)


def _provider_of(runtime: Host, call: Call, finish: Finish) -> "LLMProvider":
    for provider in call.providers:
        if provider.name == finish.provider:
            return provider
    return runtime.provider(finish.provider)


def _decoded_again(call: Call, provider: "LLMProvider", body: bytes) -> Reply | Failure:
    if call.stream:
        return decoded_again(call, provider, body)
    return checked(call.requests[0], provider.decode(200, _NO_HEADERS, body))


def _fail(
    runtime: Host,
    call: Call,
    finish: Finish,
    outcome: Outcome,
    message: str,
    failure: Failure | None = None,
    retry_after: float | None = None,
) -> LLMError:
    """The exception of a call that has no answer, after it was recorded and told."""
    error = error_for(
        outcome,
        message,
        call_id=call.id,
        provider=finish.provider,
        model=finish.model,
        attempts=finish.attempts,
        failure=failure,
        retry_after=retry_after,
    )
    error.partial = call.partial
    _record(runtime, call, finish, _STATUS.get(outcome, LLMCallStatusEnum.ERROR), None, error)
    if call.observers.on_error is not None:
        tell(call.observers.on_error, error)
    return error


_STATUS: Final = {
    Outcome.TIMEOUT: LLMCallStatusEnum.TIMEOUT,
    Outcome.RATE_LIMITED: LLMCallStatusEnum.RATE_LIMITED,
    Outcome.QUOTA_EXHAUSTED: LLMCallStatusEnum.RATE_LIMITED,
    Outcome.QUEUE_FULL: LLMCallStatusEnum.REFUSED,
    Outcome.QUEUE_TIMEOUT: LLMCallStatusEnum.REFUSED,
    Outcome.OVER_BUDGET: LLMCallStatusEnum.REFUSED,
    Outcome.CANCELLED: LLMCallStatusEnum.CANCELLED,
}


def _record(
    runtime: Host,
    call: Call,
    finish: Finish,
    status: LLMCallStatusEnum,
    reply: Reply | None,
    error: LLMError | None,
) -> None:
    request = call.requests[0]
    source = finish.source
    record = CallRecord(
        call.id,
        call.call_type,
        status,
        finish.outcome,
        source,
        finish.provider or call.providers[0].name,
        finish.model or request.model,
        call.context,
        None if reply is None else reply.model,
        finish.usage,
        finish.cost,
        finish.saved,
        call.price_source,
        finish.latency,
        finish.queued,
        finish.first_token,
        call.attempts,
        None if reply is None else reply.finish_reason,
        None if error is None else (error.code or (error.outcome or finish.outcome).name.lower()),
        None if error is None else error.message,
        finish.fallback,
        source is _CACHE or source is _JOINED,
        request.temperature,
        request.max_tokens,
        len(reply.images) if type(reply) is ImageReply else 0,
        request.size if type(request) is ImageRequest else None,
        call.created_at,
        call.attempts[0].started if call.attempts else 0,
        call.created_at + finish.latency,
        reply.request_id if reply is not None else (error.request_id if error is not None else None),
        call.tenant,
        call.reserved,
        None if reply is None else reply.reported_cost,
    )
    came = reply if reply is not None else call.partial
    said = Texts(request.messages) if came is None else Texts(request.messages, came.content, came.tool_calls)
    runtime.sink.record(record, said)
    call.recorded = True
    if call.observers.on_record is not None:
        tell(call.observers.on_record, record)


def _record_unfinished(runtime: Host, call: Call) -> None:
    """The ledger's row of a call that its caller gave up: cancelled before the engine could finish it."""
    while call.mailbox:
        action = call.mailbox.popleft()
        if isinstance(action, AttemptRecord):
            call.attempts.append(action)
        elif isinstance(action, Finish):
            # The engine may have finished it otherwise, just before: its caller has not seen that.
            cancelled = error_for(
                Outcome.CANCELLED,
                f"{action.provider}/{action.model}: cancelled",
                call_id=call.id,
                provider=action.provider,
                model=action.model,
                attempts=action.attempts,
            )
            _record(runtime, call, action, LLMCallStatusEnum.CANCELLED, None, cancelled)


def tell(observer: Callable[..., None], event: object) -> None:
    try:
        observer(event)
    except Exception:
        _log.exception("an observer of llmcore raised; the call it was told of is unaffected")
