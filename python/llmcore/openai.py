"""The ``openai`` SDK's clients, whose calls go through llmcore. A program changes one import::

    from llmcore.openai import OpenAI          # was: from openai import OpenAI

    client = OpenAI()
    client.chat.completions.create(model="gpt-4o-mini", messages=[...])

``chat.completions.create``, ``responses.create``, ``embeddings.create`` and ``images.generate``, and what the SDK
builds upon them (``parse``, ``stream``, ``with_raw_response``, ``with_streaming_response``), are limited, cached,
retried, held to budgets and written down like any other call. Everything else is the SDK's own and passes through:
files, batches, what is got by id, pictures that are streamed.

What is returned and raised is of the SDK's types; the :class:`~llmcore.errors.LLMError` behind an exception is its
``__cause__``.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import openai
from openai._base_client import get_platform

from llmcore import aclient, client
from llmcore.errors import LLMError
from llmcore.hosts import HOSTS, Host, host_at
from llmcore.openai_errors import http_client_of, kept_headers, response_of, sdk_error
from llmcore.openai_plain import HOP, PlainCalls, plain_answer
from llmcore.openai_streams import body_classes, raw, untied
from llmcore.prepare import View
from llmcore.relay import KINDS, Relay, request_of
from llmcore.secret import Secret
from llmcore.stream import AsyncLLMStream, LLMStream
from llmcore.types import HttpRequest, LLMCallTypeEnum, LLMResponse, Priority

if TYPE_CHECKING:
    from collections.abc import Generator

    from openai._models import FinalRequestOptions
    from openai.resources.chat import AsyncChat, Chat
    from openai.resources.responses import AsyncResponses, Responses

    from llmcore.config import Settings
    from llmcore.flow import Step
    from llmcore.flow_stream import Result
    from llmcore.providers.base import LLMProvider
    from llmcore.runtime import Runtime
    from llmcore.types import Sink

__all__ = ["AsyncOpenAI", "OpenAI"]

_OPTIONS: Final = ("tenant", "provider_name", "priority", "cache", "call_type")
_NO_TIMEOUT: Final = 1e6  # seconds
_TYPES: Final = {"/embeddings": LLMCallTypeEnum.EMBEDDING, "/images/generations": LLMCallTypeEnum.IMAGE_GENERATION}


class _Built(NamedTuple):
    """What is to be sent, as the SDK's request or, of a plain call, without one; what its body says, and whether that
    asks for usage which the program did not.
    """

    request: Any
    plain: HttpRequest | None
    body: dict[str, Any]
    hide_usage: bool


class _Sent(NamedTuple):
    """A call on its way: how to get the SDK's request, whether that was not needed yet, who stands in for its provider,
    and its flow.
    """

    request: Callable[[], Any]
    plain: bool
    relay: Relay
    flow: "Generator[Step, Result, LLMResponse]"
    key: Secret | None


class _Calls:
    """What a client of llmcore is beside one of the SDK's.

    :param runtime: the runtime to share; None shares the process's default one
    :param settings: makes this client own a runtime of its own, which `close()` closes
    :param tracker: likewise: where finished calls go
    :param tenant: whose calls these are
    :param provider_name: whose limits and prices count; None: as the base_url tells, else "openai"
    :param priority: of its calls among those that wait
    :param cache: whether equal requests may be answered from the cache; None takes the settings' (no)
    :param call_type: what its calls are for; None: "chat", "embedding" or "image_generation"
    """

    def __init__(
        self,
        base_url: str,
        runtime: "Runtime | None",
        settings: "Settings | None",
        tracker: "Sink | None",
        tenant: str,
        provider_name: str | None,
        priority: Priority,
        cache: bool | None,
        call_type: str | None,
    ) -> None:
        host = host_at(base_url)
        self.view = View("offline", "", runtime=runtime, settings=settings, tracker=tracker, tenant=tenant)
        self.owned = settings is not None or tracker is not None
        self.host = host if provider_name is None else HOSTS.get(provider_name, host)
        self.name = provider_name or host.name
        self.options = dict(zip(_OPTIONS, (tenant, provider_name, priority, cache, call_type), strict=True))
        self.priority, self.cache, self.call_type = priority, cache, call_type
        self._readers: dict[tuple[bool, str | None], LLMProvider] = {}
        self._plain = PlainCalls()

    def kind(self, options: "FinalRequestOptions", stream: bool) -> str | None:
        """Which of our calls it is, by the end of its URL; None: it passes through."""
        if options.method.lower() != "post" or options.url not in KINDS or (stream and "image" in options.url):
            return None
        return options.url

    def build(self, sdk: Any, kind: str, options: "FinalRequestOptions", stream: bool) -> _Built:
        """The SDK's request. Changes `options`."""
        body = options.json_data if isinstance(options.json_data, dict) else {}
        if options.extra_json:
            body = {**body, **options.extra_json}
        hide_usage = False
        if stream and kind == "/chat/completions" and self.host.asks_for_usage:
            asked = body.get("stream_options")
            if not (isinstance(asked, dict) and "include_usage" in asked):
                # The ledger wants to know, and the program does not expect an event without choices.
                hide_usage = True
                body["stream_options"] = {**(asked if isinstance(asked, dict) else {}), "include_usage": True}
                options.json_data, options.extra_json = body, None
        plain = None if stream else self._plain.request(sdk, options, body)
        request = sdk._build_request(options, retries_taken=0) if plain is None else None
        return _Built(request, plain, body, hide_usage)

    def send(self, sdk: Any, kind: str, options: "FinalRequestOptions", stream: bool, built: _Built) -> _Sent:
        """Makes a call of a request."""
        request, plain, body, hide_usage = built
        sent = plain if plain is not None else _http_request(request)
        key = Secret(sdk.api_key) if isinstance(sdk.api_key, str) and sdk.api_key else None
        relay = Relay(self._reader(kind == "/responses", key), sent, hide_usage=hide_usage)
        timeout = sdk.timeout if isinstance(options.timeout, openai.NotGiven) else options.timeout
        flow = self.view.prepare_relayed(
            relay,
            request_of(kind, body, stream),
            sent,
            self.priority,
            _deadline(timeout),
            self.cache,
            self.call_type or _TYPES.get(kind, LLMCallTypeEnum.CHAT),
        )

        def made() -> Any:
            return request if plain is None else sdk._build_request(options, retries_taken=0)

        return _Sent(made, plain is not None, relay, flow, key)

    def _reader(self, responses: bool, key: str | None) -> "LLMProvider":
        reader = self._readers.get((responses, key))
        if reader is None:
            if len(self._readers) > 8:  # a key that changes
                self._readers.clear()
            reader = self._readers[responses, key] = _reader(responses, key, self.name, self.host)
        return reader


def _http_request(request: Any) -> HttpRequest:
    headers = dict(request.headers.items())
    for name in HOP:
        headers.pop(name, None)
    return HttpRequest(str(request.url), headers, request.content)


def _reader(responses: bool, key: str | None, name: str, host: Host) -> "LLMProvider":
    if responses:
        from llmcore.providers.responses import OpenAIResponsesProvider

        return OpenAIResponsesProvider(key, name=name)
    from llmcore.providers.openai import OpenAIProvider

    return OpenAIProvider(key, HOSTS["openai"].base_url, name=name, host=host)


def _deadline(timeout: Any) -> float | None:
    """Seconds for everything. The SDK's default, which nobody chose, is the settings' deadline."""
    if timeout == openai.DEFAULT_TIMEOUT:
        return None
    if timeout is None:
        return _NO_TIMEOUT
    if isinstance(timeout, int | float):
        return timeout
    parts = (timeout.connect, timeout.read, timeout.write, timeout.pool)
    return _NO_TIMEOUT if None in parts[:2] else max(part for part in parts if part is not None)


def _answered(sent: _Sent, answer: LLMResponse, body: Any) -> Any:
    """The SDK's response: the answer of the provider, or of the cache."""
    headers = kept_headers(sent.relay.headers) if sent.relay.headers else [("content-type", "application/json")]
    headers += [("x-llmcore-call-id", answer.call_id), ("x-llmcore-status", answer.status.value)]
    response = response_of(sent.request(), 200, headers, body)
    response.elapsed = timedelta(milliseconds=answer.latency_ms)
    return response


def _begun(sent: _Sent, body: Any) -> Any:
    """The SDK's response that a stream is read from."""
    headers = kept_headers(sent.relay.headers) if sent.relay.headers else [("content-type", "text/event-stream")]
    return response_of(sent.request(), 200, headers, body)


class OpenAI(openai.OpenAI):
    """:class:`openai.OpenAI`, with limits, cache, retries, budgets and a ledger. Thread-safe.

    Takes what the SDK's client takes, and by keyword beside it `runtime`, `settings`, `tracker`, `tenant`,
    `provider_name`, `priority`, `cache` and `call_type`; those from `tenant` on are options of `copy()` and
    `with_options()` too. Context comes from :func:`llmcore.context`.

    `timeout` is the call's deadline, waiting and retries included; the SDK's default of ten minutes counts as none, and
    the settings' deadline holds. `max_retries` and `http_client` concern what passes through: calls are retried by the
    engine and sent by the runtime's transport.
    """

    def __init__(
        self,
        *,
        runtime: "Runtime | None" = None,
        settings: "Settings | None" = None,
        tracker: "Sink | None" = None,
        tenant: str = "default",
        provider_name: str | None = None,
        priority: Priority = Priority.MEDIUM,
        cache: bool | None = None,
        call_type: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        at = str(self.base_url)
        self._calls = _Calls(at, runtime, settings, tracker, tenant, provider_name, priority, cache, call_type)

    @property
    def runtime(self) -> "Runtime":
        """The runtime that its calls go through."""
        return self._calls.view.runtime

    @cached_property
    def chat(self) -> "Chat":
        """Chat completions."""
        from llmcore.openai_create import PlainChat

        return PlainChat(self)

    @cached_property
    def responses(self) -> "Responses":
        """Responses."""
        from llmcore.openai_create import PlainResponses

        return PlainResponses(self)

    def copy(self, **options: Any) -> "OpenAI":
        """A client like this one except for `options`. It shares the runtime."""
        return super().copy(**_copied(self._calls, options))

    with_options = copy

    def request(
        self, cast_to: Any, options: "FinalRequestOptions", *, stream: bool = False, stream_cls: Any = None
    ) -> Any:
        """Where every method of the SDK's comes through."""
        kind = self._calls.kind(options, stream)
        if kind is None:
            return super().request(cast_to, options, stream=stream, stream_cls=stream_cls)
        cast_to = self._maybe_override_cast_to(cast_to, options)
        options = self._prepare_options(options.model_copy())
        built = self._calls.build(self, kind, options, stream)
        if built.plain is None:
            self._prepare_request(built.request)
        sent = self._calls.send(self, kind, options, stream, built)
        try:
            if stream:
                opened = LLMStream(self.runtime, sent.flow)
                first = raw(next(opened, None))
                body = body_classes(http_client_of(sent.request()))[0]
                response = _begun(sent, body(first, opened, lambda error: self._raised(sent, error, True)))
            else:
                answer = client.run(self.runtime, sent.flow)
                if sent.plain:
                    plain = plain_answer(self, kind, cast_to, options, sent.relay.headers, answer.body)
                    if plain is not None:
                        return plain
                response = _answered(sent, answer, answer.body)
        except LLMError as error:
            raise self._raised(sent, error, False) from error
        made = self._process_response(
            cast_to=cast_to, options=options, response=response, stream=stream, stream_cls=stream_cls
        )
        return untied(made) if stream else made

    def _raised(self, sent: _Sent, error: LLMError, begun: bool) -> Exception:
        return sdk_error(self, error, sent.request(), sent.relay.refused, sent.key, begun)

    def close(self) -> None:
        """Closes the SDK's HTTP client, and the runtime if this client owns one."""
        super().close()
        if self._calls.owned:
            self.runtime.close()


class AsyncOpenAI(openai.AsyncOpenAI):
    """:class:`openai.AsyncOpenAI` in the same way: see :class:`OpenAI`. Cancelling a task cancels its call."""

    def __init__(
        self,
        *,
        runtime: "Runtime | None" = None,
        settings: "Settings | None" = None,
        tracker: "Sink | None" = None,
        tenant: str = "default",
        provider_name: str | None = None,
        priority: Priority = Priority.MEDIUM,
        cache: bool | None = None,
        call_type: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        at = str(self.base_url)
        self._calls = _Calls(at, runtime, settings, tracker, tenant, provider_name, priority, cache, call_type)

    @property
    def runtime(self) -> "Runtime":
        """The runtime that its calls go through."""
        return self._calls.view.runtime

    @cached_property
    def chat(self) -> "AsyncChat":
        """Chat completions."""
        from llmcore.openai_create import PlainAsyncChat

        return PlainAsyncChat(self)

    @cached_property
    def responses(self) -> "AsyncResponses":
        """Responses."""
        from llmcore.openai_create import PlainAsyncResponses

        return PlainAsyncResponses(self)

    def copy(self, **options: Any) -> "AsyncOpenAI":
        """A client like this one except for `options`. It shares the runtime."""
        return super().copy(**_copied(self._calls, options))

    with_options = copy

    async def request(
        self, cast_to: Any, options: "FinalRequestOptions", *, stream: bool = False, stream_cls: Any = None
    ) -> Any:
        """Where every method of the SDK's comes through."""
        kind = self._calls.kind(options, stream)
        if kind is None:
            return await super().request(cast_to, options, stream=stream, stream_cls=stream_cls)
        if self._platform is None:  # the SDK tells it to the provider; finding it out may block
            self._platform = await asyncio.to_thread(get_platform)
        cast_to = self._maybe_override_cast_to(cast_to, options)
        options = await self._prepare_options(options.model_copy())
        built = self._calls.build(self, kind, options, stream)
        if built.plain is None:
            await self._prepare_request(built.request)
        sent = self._calls.send(self, kind, options, stream, built)
        try:
            if stream:
                opened = AsyncLLMStream(self.runtime, sent.flow)
                first = raw(await anext(opened, None))
                body = body_classes(http_client_of(sent.request()))[1]
                response = _begun(sent, body(first, opened, lambda error: self._raised(sent, error, True)))
            else:
                answer = await aclient.run(self.runtime, sent.flow)
                if sent.plain:
                    plain = plain_answer(self, kind, cast_to, options, sent.relay.headers, answer.body)
                    if plain is not None:
                        return plain
                response = _answered(sent, answer, answer.body)
        except LLMError as error:
            raise self._raised(sent, error, False) from error
        made = await self._process_response(
            cast_to=cast_to, options=options, response=response, stream=stream, stream_cls=stream_cls
        )
        return untied(made) if stream else made

    def _raised(self, sent: _Sent, error: LLMError, begun: bool) -> Exception:
        return sdk_error(self, error, sent.request(), sent.relay.refused, sent.key, begun)

    async def close(self) -> None:
        """Closes the SDK's HTTP client, and the runtime if this client owns one."""
        await super().close()
        if self._calls.owned:
            await self.runtime.aclose()


def _copied(calls: _Calls, options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the SDK's copy()."""
    ours = {name: options.pop(name, calls.options[name]) for name in _OPTIONS}
    extra = options.pop("_extra_kwargs", {})
    return {**options, "_extra_kwargs": {**extra, "runtime": calls.view.runtime, **ours}}
