"""The synchronous client."""

from typing import TYPE_CHECKING, Any, Self, TypeVar

from llmcore.flow import Park, Perform, Step
from llmcore.flow_stream import Result
from llmcore.prepare import View
from llmcore.stream import LLMStream
from llmcore.transport import TransportError
from llmcore.types import LLMResponse, Message, Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
    from decimal import Decimal

    from llmcore.conversation import Content, ConversationMemory
    from llmcore.kinds import EmbeddingResponse, ImageResponse
    from llmcore.runtime import Runtime
    from llmcore.search import SearchBackend, SearchResponse
    from llmcore.structured import Mode, StructuredResponse
    from llmcore.tools import OnError, Tool, ToolRun
    from llmcore.types import Money

__all__ = ["LLMClient", "run"]

T = TypeVar("T")


class LLMClient(View):
    """Calls language models from threads. Thread-safe; a cheap view of a :class:`~llmcore.runtime.Runtime`.

    Made without ``settings=`` and ``tracker=`` it shares the process's default runtime, so making one per request
    costs nothing and all share one limit.
    """

    def complete(
        self,
        messages: list[Message],
        *,
        model: str | None = None,
        json_format: bool = False,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        response_format: dict[str, Any] | None = None,
        priority: Priority = Priority.MEDIUM,
        deadline: float | None = None,
        cache: bool | None = None,
        call_type: str | None = None,
        **context_and_provider_params: Any,
    ) -> LLMResponse:
        """One chat completion.

        :param messages: in the OpenAI shape
        :param model: None takes the client's
        :param json_format: ask for one JSON object
        :param temperature: None takes the settings' (1.0, which is not sent)
        :param max_tokens: most tokens to generate; None takes the settings' (2800)
        :param tools: in the OpenAI shape
        :param response_format: in the OpenAI shape; wins over json_format
        :param priority: its place among calls that wait
        :param deadline: seconds for everything, waiting and retries included; None takes the settings' (120)
        :param cache: whether an equal request may be answered from the cache, or by joining one in flight; None
            takes the settings' (no)
        :param call_type: what it is for: an open string, see LLMCallTypeEnum
        :param context_and_provider_params: fields of CallContext describe the call; anything else goes to the
            provider as it is
        :raises LLMError: one of its subclasses: see :mod:`llmcore.errors`
        """
        flow = self._prepare(
            messages,
            model,
            json_format,
            temperature,
            max_tokens,
            tools,
            response_format,
            priority,
            deadline,
            cache,
            call_type,
            context_and_provider_params,
        )
        return run(self.runtime, flow)

    def stream(
        self,
        messages: list[Message],
        *,
        model: str | None = None,
        json_format: bool = False,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        response_format: dict[str, Any] | None = None,
        priority: Priority = Priority.MEDIUM,
        deadline: float | None = None,
        cache: bool | None = None,
        call_type: str | None = None,
        **context_and_provider_params: Any,
    ) -> LLMStream:
        """The same call, whose answer is read while it is written; the arguments are those of :meth:`complete`.

        The call begins with the first chunk that is asked for. Until that chunk is there, failures are retried and
        failed over as ever; from then on one raises, with what came so far as `partial` on the error.

        :raises LLMError: one of its subclasses, here for wrong arguments and otherwise while iterating
        """
        flow = self._prepare(
            messages,
            model,
            json_format,
            temperature,
            max_tokens,
            tools,
            response_format,
            priority,
            deadline,
            cache,
            call_type,
            context_and_provider_params,
            stream=True,
        )
        return LLMStream(self.runtime, flow)

    def complete_structured(
        self,
        messages: list[Message],
        response_model: type[T],
        *,
        mode: "Mode | None" = None,
        max_retries: int = 2,
        max_retry_cost: "Money | Decimal | float | None" = None,
        **options: Any,
    ) -> "StructuredResponse[T]":
        """An answer that is a value of a type: the model is held to its schema where the provider can do that, what it
        says is checked, and it is asked again when it does not fit.

        Each re-ask is a call of its own in the ledger, and a child of the first.

        :param response_model: a pydantic model, a dataclass, a TypedDict, or anything else that pydantic knows
        :param mode: how: "schema", the provider's own JSON schema; "tool", a tool that has to be called; "instructor",
            in words, by the library of that name; None takes the first that the providers of this client have
        :param max_retries: most re-asks
        :param max_retry_cost: US dollars that the re-asks may cost together, at the most; None: no limit of their own
        :param options: arguments of :meth:`complete`; `deadline` is that of all calls together
        :raises LLMValidationError: no answer fits; it has the last `answer`, its `problems`, all `calls` and their
            `cost`
        :raises LLMError: as complete()
        """
        from llmcore.structured import complete_structured

        return complete_structured(
            self,
            messages,
            response_model,
            mode=mode,
            max_retries=max_retries,
            max_retry_cost=max_retry_cost,
            **options,
        )

    def generate_image(
        self,
        prompt: str,
        size: str | None = "1024x1024",
        quality: str | None = None,
        style: str | None = None,
        n: int = 1,
        *,
        model: str | None = None,
        priority: Priority = Priority.MEDIUM,
        deadline: float | None = None,
        cache: bool | None = None,
        call_type: str | None = "image_generation",
        **context_and_provider_params: Any,
    ) -> "ImageResponse":
        """Draws pictures.

        :param prompt: what they show
        :param size: as the provider names its sizes; None takes the model's own
        :param quality: likewise, as "hd" or "high"
        :param style: likewise, as "vivid"
        :param n: how many
        :param model: None takes the provider's usual one for pictures
        :param context_and_provider_params: as in :meth:`complete`
        :raises LLMError: as complete(); LLMBadRequestError where a provider draws none
        """
        from llmcore.images import ImageResponse, image_call

        options = (model, priority, deadline, cache, call_type, context_and_provider_params)
        answer = run(self.runtime, image_call(self, prompt, size, quality, style, n, *options))
        assert isinstance(answer, ImageResponse)
        return answer

    def embed(
        self,
        inputs: "str | Sequence[str]",
        *,
        dimensions: int | None = None,
        model: str | None = None,
        priority: Priority = Priority.MEDIUM,
        deadline: float | None = None,
        cache: bool | None = None,
        call_type: str | None = "embedding",
        **context_and_provider_params: Any,
    ) -> "EmbeddingResponse":
        """Vectors of texts, in their order. What one request cannot hold goes out in several, one after the other; the
        first is the parent of the others.

        :param inputs: a text or a list of them, none of them empty
        :param dimensions: numbers to a vector; None takes the model's own
        :param model: None takes the provider's usual one for vectors
        :param deadline: seconds for all of it; None takes the settings'
        :param context_and_provider_params: as in :meth:`complete`
        :raises LLMError: as complete(); LLMBadRequestError where a provider has none
        """
        from llmcore.embeddings import embedding_calls

        options = (model, priority, deadline, cache, call_type, context_and_provider_params)
        calls = embedding_calls(self, inputs, dimensions, *options)
        try:
            flow = next(calls)
            while True:
                flow = calls.send(run(self.runtime, flow))
        except StopIteration as end:
            answer: EmbeddingResponse = end.value
            return answer

    def run_tools(
        self,
        messages: list[Message],
        functions: "Iterable[Callable[..., Any] | Tool] | Mapping[str, Callable[..., Any]]",
        *,
        max_rounds: int = 10,
        on_error: "OnError" = "tell",
        **options: Any,
    ) -> "ToolRun":
        """A completion for which the model may call functions of yours, round after round, until it answers.

        Each round is a call of its own in the ledger, and a child of the first; so are calls that the functions make.
        What a function returns is told as it is if it is text, else as JSON. A function that is not there, arguments
        that do not fit, and with on_error="tell" the words of an exception, are told to the model as well.

        :param functions: functions with typed parameters and a docstring, or a dict of them by the names to show; see
            :func:`llmcore.tools.tool`
        :param max_rounds: most calls
        :param on_error: what an exception of a function does: "tell" the model, or "raise" it here
        :param options: arguments of :meth:`complete`; `deadline` is that of all rounds together, functions included;
            a `tool_choice` that insists on a tool holds for the first round
        :raises LLMValidationError: it still calls functions after all rounds; it has all `calls` and their `cost`
        :raises LLMError: as complete()
        """
        from llmcore.tools import run_tools

        return run_tools(self, messages, functions, max_rounds=max_rounds, on_error=on_error, **options)

    def search_web(
        self,
        queries: "str | Sequence[str]",
        max_results: int = 10,
        *,
        backend: "SearchBackend | None" = None,
        **options: Any,
    ) -> "SearchResponse":
        """Pages of the web, by SearXNG or OpenAI's web search. Each query is a call of its own in the ledger; the first
        is the parent of the others.

        :param queries: a query or several
        :param max_results: most pages for each
        :param backend: where they go; None: SearXNG where ``SEARXNG_URL`` is set, else OpenAI
        :param options: the context of the calls, and arguments of :meth:`complete`; `deadline` is that of all queries
            together
        :raises LLMConfigError: nothing is configured to search with
        :raises LLMError: as complete()
        """
        from llmcore.search import search_web

        return search_web(self, queries, max_results, backend, **options)

    def chat(self, memory: "ConversationMemory", content: "Content | None" = None, **options: Any) -> LLMResponse:
        """Says something in a conversation and remembers it together with its answer, tool calls included.

        The memory changes when the answer is there: a call that fails, or is cancelled, leaves it as it was, and can
        be made again.

        :param content: what the user says; None asks for an answer to what is there, such as results of tools
        :param options: arguments of :meth:`complete`
        :raises LLMValidationError: tool calls of the answer before wait for their results, or there is nothing to
            answer
        :raises LLMError: as complete()
        """
        response = self.complete(memory.turn(content), **options)
        memory.add_turn(content, response)
        return response

    def close(self) -> None:
        """Closes the runtime if this client owns one. Calling it again does nothing."""
        if self._owns_runtime:
            self.runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def run(runtime: "Runtime", flow: "Generator[Step, Result, LLMResponse]") -> LLMResponse:
    """Runs a call's flow on the calling thread. An exception, Ctrl-C included, closes the flow, which cancels the
    call.
    """
    send = runtime.transport.send
    result: Result = None
    try:
        while True:
            step = flow.send(result)
            result = None
            if isinstance(step, Park):
                runtime.parking.wait(step.call)
            else:
                assert type(step) is Perform
                try:
                    result = send(step.request, step.timeout)
                except TransportError as error:
                    result = error
    except StopIteration as end:
        answer: LLMResponse = end.value
        return answer
    finally:
        flow.close()
