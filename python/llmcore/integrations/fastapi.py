"""llmcore in a FastAPI application: one runtime for as long as the application lives, and the service as a dependency.

::

    app = FastAPI(lifespan=llm_lifespan())

    @app.post("/answer")
    async def answer(question: str, llm: Annotated[LLMServicesProvider, Depends(llm_services_provider)]) -> str:
        response, request_id = await llm.generate_response([LLMMessageDTO(role="user", content=question)])
        return response.content
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from llmcore._core import Outcome
from llmcore.aclient import AsyncLLMClient
from llmcore.errors import LLMError, LLMValidationError, UnknownModelError
from llmcore.runtime import Runtime
from llmcore.service.public import LLMServicesProvider
from llmcore.service.service import LLMService

try:
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse, StreamingResponse
    from starlette.types import Receive, Scope, Send
except ImportError as missing:
    raise ImportError("llmcore.integrations.fastapi needs FastAPI: pip install 'llmcore[fastapi]'") from missing

if TYPE_CHECKING:
    from llmcore.config import Settings
    from llmcore.stream import AsyncLLMStream
    from llmcore.types import Sink

__all__ = ["event_stream", "llm_error_handler", "llm_lifespan", "llm_services_provider"]

_STATE: Final = "llmcore_client"
_FLUSH_SECONDS: Final = 10.0
_LONGEST_WAIT: Final = 86_400.0
#: The status for each outcome; 502 for what is the provider's, or ours.
_STATUS: Final = {
    Outcome.BAD_REQUEST: 400,
    Outcome.CONTEXT_LENGTH: 413,
    Outcome.CONTENT_FILTER: 422,
    Outcome.OVER_BUDGET: 402,
    Outcome.RATE_LIMITED: 429,
    Outcome.QUEUE_FULL: 429,
    Outcome.QUEUE_TIMEOUT: 503,
    Outcome.OVERLOADED: 503,
    Outcome.EXHAUSTED: 503,
    Outcome.CANCELLED: 503,
    Outcome.TIMEOUT: 504,
}
_UNBUFFERED: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def llm_lifespan(
    provider: str | None = None,
    model: str | None = None,
    *,
    settings: "Settings | None" = None,
    tracker: "Sink | None" = None,
    runtime: Runtime | None = None,
    **options: Any,
) -> Lifespan:
    """A lifespan for an application, to be given to it or to be entered within one of its own (``async with
    llm_lifespan()(app): yield``).

    It opens a runtime before the first request, and closes it after the last: calls that still run then are cancelled,
    and every row is written. A runtime that was given is left open, and its rows are written.

    :param settings: None reads the environment and the configuration file
    :param tracker: where finished calls go; None: the ledger that the settings name
    :param runtime: one that others use too, instead of settings and tracker
    :param options: arguments of :class:`~llmcore.aclient.AsyncLLMClient`
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opened = Runtime(settings, tracker=tracker) if runtime is None else runtime
        try:
            client = AsyncLLMClient(provider, model, runtime=opened, **options)
            setattr(app.state, _STATE, client)
            yield
        finally:
            if runtime is None:
                await opened.aclose()
            if runtime is not None or tracker is not None:
                await asyncio.to_thread(opened.sink.flush, _FLUSH_SECONDS)

    return lifespan


async def llm_services_provider(request: Request) -> LLMServicesProvider:
    """The service, for ``Depends``: over the client of the application's `llm_lifespan`, or over the process's own
    runtime where it has none.
    """
    return LLMService(client=getattr(request.app.state, _STATE, None))


async def llm_error_handler(request: Request, error: Exception) -> JSONResponse:
    """Answers for an :class:`~llmcore.errors.LLMError`: ``app.add_exception_handler(LLMError, llm_error_handler)``. A
    status that fits, Retry-After where it is known, and a body that says which call it was and nothing of its content.
    """
    assert isinstance(error, LLMError)
    if isinstance(error, LLMValidationError | UnknownModelError) and error.call_id is None:
        status = 400  # an argument that makes no sense: nothing was asked
    else:
        status = 502 if error.outcome is None else _STATUS.get(error.outcome, 502)
    headers = (
        {} if error.retry_after is None else {"Retry-After": str(math.ceil(min(error.retry_after, _LONGEST_WAIT)))}
    )
    return JSONResponse({"error": type(error).__name__, "request_id": error.call_id}, status, headers)


def event_stream(stream: "AsyncLLMStream") -> StreamingResponse:
    """A stream as server-sent events: ``data: {"text": ...}`` for each piece, then ``event: done`` with the id of the
    request and what it used, or ``event: error`` with its kind. A reader that goes away ends the call.
    """
    return _EventStream(_events(stream), media_type="text/event-stream", headers=_UNBUFFERED)


class _EventStream(StreamingResponse):
    """Looks out for a reader that goes away also where a server's version promises that sending will fail: the next
    piece to be sent may be a minute off, and each costs money.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        looking_out = {**scope, "asgi": {**scope.get("asgi", {}), "spec_version": "2.3"}}
        await super().__call__(looking_out, receive, send)


async def _events(stream: "AsyncLLMStream") -> AsyncIterator[bytes]:
    try:
        async with stream:
            async for chunk in stream:
                if chunk.text:
                    yield _event({"text": chunk.text})
            response = stream.response
            yield _event(
                {
                    "request_id": response.call_id,
                    "finish_reason": response.finish_reason,
                    "tokens_used": response.total_tokens,
                    "cost_estimate": None if response.cost is None else float(response.cost.dollars),
                },
                "done",
            )
    except LLMError as error:
        yield _event({"error": type(error).__name__, "request_id": error.call_id}, "error")


def _event(told: dict[str, Any], name: str | None = None) -> bytes:
    return (b"" if name is None else b"event: %s\n" % name.encode()) + b"data: %s\n\n" % msgspec.json.encode(told)
