"""From the arguments of a call to a :class:`~llmcore.flow.Call` that the engine can take on. Shared by the sync and
the async client.
"""

import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from llmcore._core import AlertRecord, Target
from llmcore.arguments import checked_messages, finite, is_text, most_output, name_of, positive, seconds, sorted_options
from llmcore.call import Call, Observers
from llmcore.call_context import resolve
from llmcore.errors import LLMConfigError, LLMError, LLMValidationError
from llmcore.fingerprint import fingerprint
from llmcore.flow import Step, call_flow
from llmcore.flow_stream import Result
from llmcore.kinds import encode, price, worst
from llmcore.runtime import Runtime
from llmcore.types import (
    BUDGET_KEYS,
    CallContext,
    CallRecord,
    EmbeddingRequest,
    HttpRequest,
    ImageRequest,
    LLMRequest,
    LLMResponse,
    Message,
    Money,
    Priority,
    Request,
    Sink,
)

if TYPE_CHECKING:
    from llmcore.config import Settings
    from llmcore.providers.base import LLMProvider

__all__ = ["CostEstimate", "Deadline", "View"]


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a call would use and cost, before it is made. Costs are None when the model's price is unknown."""

    provider: str
    model: str
    input_tokens: int
    max_output_tokens: int
    expected: Money | None
    worst_case: Money | None
    price_source: str | None


class Deadline:
    """One deadline for calls that are made one after the other.

    :param given: seconds from now; None takes the settings'
    :ivar seconds: how many it is
    :raises LLMValidationError: it is no number of seconds
    """

    def __init__(self, runtime: Runtime, given: float | None) -> None:
        self.seconds = runtime.settings.defaults.deadline if given is None else seconds("deadline", given)
        self._now = runtime.clock.now
        self._began = self._now()[0]

    def left(self) -> float:
        """Seconds; none or less when it is over."""
        return self.seconds - (self._now()[0] - self._began) / 1e9


class View:
    """What both clients are: a provider chain, defaults and observers over a runtime."""

    def __init__(
        self,
        provider: "str | LLMProvider | None" = None,
        model: str | None = None,
        *,
        tracker: Sink | None = None,
        settings: "Settings | None" = None,
        runtime: Runtime | None = None,
        tenant: str = "default",
        fallbacks: Sequence[str] | None = (),
        on_record: Callable[[CallRecord], None] | None = None,
        on_alert: Callable[[AlertRecord], None] | None = None,
        on_error: Callable[[LLMError], None] | None = None,
    ) -> None:
        """
        :param provider: its name, or an object of one's own; None takes the settings'
        :param model: None takes the settings', or the provider's default
        :param tracker: where finished calls go; makes this client own a runtime of its own
        :param settings: makes this client own a runtime of its own
        :param runtime: the runtime to share; None shares the process's default one
        :param tenant: whose calls these are: tenants share neither cached answers nor limits
        :param fallbacks: "provider" or "provider/model", tried in order when the first cannot answer
        :param on_record: told of every finished call
        :param on_alert: told when a budget's threshold is reached, by any client of the runtime, while this one lives
        :param on_error: told of every call that has no answer
        :raises LLMConfigError: a name is unknown, or something needed is missing
        """
        if runtime is not None and (settings is not None or tracker is not None):
            raise LLMConfigError(
                "give either runtime= or settings= and tracker=, not both: a runtime has its settings and its tracker"
            )
        if not tenant or not is_text(tenant):
            raise LLMConfigError("tenant is a non-empty string")
        if runtime is not None and not isinstance(runtime, Runtime):
            raise LLMConfigError(f"runtime= is a Runtime, not {type(runtime).__name__}")
        if isinstance(fallbacks, str):
            raise LLMConfigError(f"fallbacks is a sequence of names: write fallbacks=({fallbacks!r},)")
        fallbacks = () if fallbacks is None else fallbacks
        given: object = fallbacks
        if not isinstance(given, Sequence) or not all(isinstance(name, str) for name in given):
            raise LLMConfigError(
                'fallbacks is a sequence of names, such as ("groq/llama-3.3-70b-versatile", "offline")'
            )
        self._owns_runtime = runtime is None and (settings is not None or tracker is not None)
        self.runtime = runtime or (Runtime(settings, tracker=tracker) if self._owns_runtime else Runtime.default())
        self.tenant = tenant
        self.observers = Observers(on_record, on_error)
        if on_alert is not None:
            self.runtime.watch_alerts(self, on_alert)
        chosen = self.runtime.settings
        if provider is None:
            provider = chosen.provider
            if provider == "offline" and "provider" not in chosen.model_fields_set:
                _say_offline_once()
        if not isinstance(provider, str):
            self.runtime.adopt(provider)
            provider = provider.name
        first = self.runtime.provider(provider)  # before its model: an unknown name has none, which is not the problem
        self.provider = first.name
        self.model = model if model is not None else chosen.model_for(first.name)
        self._chain = [(first, self.model)]
        for fallback in fallbacks:
            name, _, of = fallback.partition("/")
            found = self.runtime.provider(name)
            self._chain.append((found, of or chosen.model_for(found.name)))

    @property
    def chain(self) -> "Sequence[tuple[LLMProvider, str]]":
        """The providers that are tried, each with its model."""
        return self._chain

    def stats(self) -> dict[str, Any]:
        """The runtime's counters as a nested dict; at rest, in_flight, queued and everything reserved are 0."""
        return self.runtime.stats()

    def count_tokens(
        self, messages: list[Message], model: str | None = None, tools: list[dict[str, Any]] | None = None
    ) -> int:
        """How many tokens a prompt will be. An estimate, without a tokenizer, that gets better with the answers that
        the runtime sees.

        :param model: None takes the client's
        :param tools: in the OpenAI shape
        """
        request = self._request(model or self.model, messages, None, {})
        request.tools = tools
        size = len(_encoded_for_size(self._chain[0][0], request))
        return self.runtime.estimator.prompt(request, size).expected

    def estimate_cost(
        self, messages: list[Message], model: str | None = None, max_tokens: int | None = None
    ) -> CostEstimate:
        """What a call would use and cost, without making it.

        :param max_tokens: as in complete()
        """
        provider = self._chain[0][0]
        request = self._request(model or self.model, messages, max_tokens, {})
        estimate = self.runtime.estimator.prompt(request, len(_encoded_for_size(provider, request)))
        output = request.max_tokens or 0
        card = self.runtime.price(provider, request.model)
        return CostEstimate(
            provider.name,
            request.model,
            estimate.expected,
            output,
            None if card is None else Money(card.worst_case(estimate.expected, output)),
            None if card is None else Money(card.worst_case(estimate.upper, output)),
            None if card is None else card.source,
        )

    # --- building a call
    # --------------------------------------------------------------------------------------------------

    def _request(
        self, model: str, messages: list[Message], max_tokens: int | None, params: dict[str, Any]
    ) -> LLMRequest:
        defaults = self.runtime.settings.defaults
        temperature = defaults.temperature
        return LLMRequest(
            model if type(model) is str else name_of(model),
            checked_messages(messages),
            temperature=None if temperature == 1.0 else temperature,
            max_tokens=defaults.max_tokens if max_tokens is None else positive("max_tokens", max_tokens),
            params=params,
        )

    def _prepare(
        self,
        messages: list[Message],
        model: str | None,
        json_format: bool,
        temperature: float | None,
        max_tokens: int | None,
        tools: list[dict[str, Any]] | None,
        response_format: dict[str, Any] | None,
        priority: Priority,
        deadline: float | None,
        cache: bool | None,
        call_type: str | None,
        rest: Mapping[str, Any],
        stream: bool = False,
    ) -> "Generator[Step, Result, LLMResponse]":
        described, params = sorted_options(rest)
        context = resolve(described)
        first, of = self._chain[0]
        request = self._request(model or of, messages, max_tokens, params)
        request.json_format = bool(json_format)
        request.stream = stream
        if tools is not None and not isinstance(tools, list | tuple):
            raise LLMValidationError(f"tools is a list in the OpenAI shape, not {type(tools).__name__}")
        request.tools = tools
        request.response_format = response_format
        if temperature is not None:
            request.temperature = finite("temperature", temperature)
        output = most_output(request)
        return self._flow(request, first.encode(request), output, 0, context, priority, deadline, cache, call_type)

    def prepare_other(
        self,
        request: EmbeddingRequest | ImageRequest,
        priority: Priority,
        deadline: float | None,
        cache: bool | None,
        call_type: str | None,
        described: Mapping[str, Any],
    ) -> "Generator[Step, Result, LLMResponse]":
        """A call of another kind than chat completions.

        :param described: fields of its context
        """
        encoded = encode(self._chain[0][0], request)
        return self._flow(request, encoded, *worst(request), resolve(described), priority, deadline, cache, call_type)

    def prepare_relayed(
        self,
        relay: "LLMProvider",
        request: Request,
        encoded: HttpRequest,
        priority: Priority,
        deadline: float | None,
        cache: bool | None,
        call_type: str | None,
    ) -> "Generator[Step, Result, LLMResponse]":
        """A call whose HTTP request is made already. Without a limit of its own it may come to the settings'
        max_tokens.

        :param relay: stands in for its provider; there is no other
        :param encoded: the request
        """
        if type(request) is LLMRequest:
            output, images = most_output(request) or self.runtime.settings.defaults.max_tokens, 0
        else:
            assert isinstance(request, EmbeddingRequest | ImageRequest)
            output, images = worst(request)
        chain = [(relay, request.model)]
        context = resolve({})
        return self._flow(request, encoded, output, images, context, priority, deadline, cache, call_type, chain)

    def _flow(
        self,
        request: Request,
        encoded: HttpRequest,
        output: int,
        images: int,
        context: CallContext,
        priority: Priority,
        deadline: float | None,
        cache: bool | None,
        call_type: str | None,
        chain: "Sequence[tuple[LLMProvider, str]] | None" = None,
    ) -> "Generator[Step, Result, LLMResponse]":
        """A call's way through the engine.

        :param encoded: the request as the first provider wants it
        :param output: the most tokens that may be generated
        :param images: the most pictures
        :param chain: None takes the client's
        """
        runtime = self.runtime
        relayed = chain is not None
        chain = chain or self._chain
        first = chain[0][0]
        estimate = runtime.estimator.prompt(request, len(encoded.body))
        providers = [first]
        requests = [request]
        card = price(runtime, first, request, request.model)
        targets = [Target(first.name, request.model, estimate.upper, output, images, card, False)]
        for provider, fallback_model in chain[1:]:
            providers.append(provider)
            requests.append(_for_model(request, fallback_model))
            card = price(runtime, provider, request, fallback_model)
            upper = runtime.estimator.for_model(estimate, fallback_model).upper
            targets.append(Target(provider.name, fallback_model, upper, output, images, card, provider.local))

        keep = runtime.settings.cache.enabled if cache is None else cache
        # A local provider is told what a call is for, so that is a part of what it is asked.
        asked = encoded.body if not first.local else encoded.body + f"\0{call_type}".encode(errors="surrogatepass")
        if request.stream:
            # What is stored is the bytes as they came. A provider may say elsewhere than in the body which it wants.
            asked += b"\0stream"
        if relayed or encoded.method != "POST":  # to wherever its maker wants, or asked for in the URL
            asked += b"\0" + encoded.url.encode()
        key = fingerprint(self.tenant, first.name, request.model, asked) if keep else None
        call = Call(
            self.tenant,
            call_type,
            context,
            providers,
            requests,
            encoded,
            keep,
            self.observers,
            request.stream,
            estimate=estimate,
        )
        if type(priority) is not Priority:
            raise LLMValidationError(f"priority is Priority.HIGH, MEDIUM or LOW, not {priority!r}")
        if call_type is not None and not isinstance(call_type, str):
            raise LLMValidationError(f"call_type is a string, not {call_type!r}")
        span = 0 if deadline is None else round(seconds("deadline", deadline) * 1e9)
        scopes = _scopes_of(context) if runtime.settings.budgets else _tracked_scopes_of(context)

        def submit() -> None:
            try:
                runtime.submit(call, priority, span, key, targets, scopes)
            except UnicodeEncodeError:
                told = [("call_type", call_type or ""), *scopes]
                broken = next((name for name, text in told if not is_text(text)), "the context")
                raise LLMValidationError(f"{broken} holds half of a surrogate pair, which is no character") from None

        return call_flow(runtime, call, submit)

    def model_for(self, field: Literal["image_model", "embedding_model"], what: str) -> str:
        """The model of a call of another kind that names none."""
        host = self._chain[0][0].host
        found: str | None = None if host is None else getattr(host, field)
        if found is None:
            raise LLMConfigError(f"say model= for {what}: '{self.provider}' has no usual one")
        return found


def _for_model(request: Request, model: str) -> Request:
    return msgspec.structs.replace(request, model=model)


def _scopes_of(context: CallContext) -> list[tuple[str, str]]:
    found = []
    for name, scope in BUDGET_KEYS.items():
        value = getattr(context, name)
        if value is not None:
            found.append((scope, value))
    if context.trackable_type is not None and context.trackable_id is not None:
        found.append((context.trackable_type, context.trackable_id))
    return found


def _tracked_scopes_of(context: CallContext) -> list[tuple[str, str]]:
    """Those whose usage the engine tells apart, where no budget asks for the others: see Config.usage_scopes."""
    found = []
    if context.user_id is not None:
        found.append(("user", context.user_id))
    if context.company_id is not None:
        found.append(("company", context.company_id))
    return found


def _encoded_for_size(provider: "LLMProvider", request: LLMRequest) -> bytes:
    try:
        return provider.encode(request).body
    except LLMConfigError:  # an estimate needs no key
        return msgspec.json.encode({"model": request.model, "messages": request.messages})


_said_offline = threading.Event()


def _say_offline_once() -> None:
    if not _said_offline.is_set():
        _said_offline.set()
        sys.stderr.write(
            "llmcore: no provider is configured, so answers come from the built-in offline templates. "
            "Set OPENAI_API_KEY (or LLM_PROVIDER) for a real model.\n"
        )
