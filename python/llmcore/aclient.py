"""The asynchronous client."""

from typing import TYPE_CHECKING, Any, Self, TypeVar

from llmcore.flow import Park, Perform, Step
from llmcore.flow_stream import Result
from llmcore.prepare import View
from llmcore.stream import AsyncLLMStream
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

__all__ = ["AsyncLLMClient", "run"]

T = TypeVar("T")


class AsyncLLMClient(View):
    """Calls language models from asyncio tasks, on any event loop. A cheap view of a
    :class:`~llmcore.runtime.Runtime`, which it may share with
    synchronous clients."""

    async def complete(
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
        """One chat completion: as :meth:`llmcore.client.LLMClient.complete`. Cancelling the task cancels the call and
        gives everything back.
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
        return await run(self.runtime, flow)

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
    ) -> AsyncLLMStream:
        """The same call, whose answer is read while it is written: as :meth:`llmcore.client.LLMClient.stream`. Not
        awaited itself: ``async for chunk in client.stream(...)``.
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
        return AsyncLLMStream(self.runtime, flow)

    async def complete_structured(
        self,
        messages: list[Message],
        response_model: type[T],
        *,
        mode: "Mode | None" = None,
        max_retries: int = 2,
        max_retry_cost: "Money | Decimal | float | None" = None,
        **options: Any,
    ) -> "StructuredResponse[T]":
        """An answer that is a value of a type: as :meth:`llmcore.client.LLMClient.complete_structured`."""
        from llmcore.structured import complete_structured_async

        return await complete_structured_async(
            self,
            messages,
            response_model,
            mode=mode,
            max_retries=max_retries,
            max_retry_cost=max_retry_cost,
            **options,
        )

    async def generate_image(
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
        """Draws pictures: as :meth:`llmcore.client.LLMClient.generate_image`."""
        from llmcore.images import ImageResponse, image_call

        options = (model, priority, deadline, cache, call_type, context_and_provider_params)
        answer = await run(self.runtime, image_call(self, prompt, size, quality, style, n, *options))
        assert isinstance(answer, ImageResponse)
        return answer

    async def embed(
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
        """Vectors of texts: as :meth:`llmcore.client.LLMClient.embed`."""
        from llmcore.embeddings import embedding_calls

        options = (model, priority, deadline, cache, call_type, context_and_provider_params)
        calls = embedding_calls(self, inputs, dimensions, *options)
        try:
            flow = next(calls)
            while True:
                flow = calls.send(await run(self.runtime, flow))
        except StopIteration as end:
            answer: EmbeddingResponse = end.value
            return answer

    async def run_tools(
        self,
        messages: list[Message],
        functions: "Iterable[Callable[..., Any] | Tool] | Mapping[str, Callable[..., Any]]",
        *,
        max_rounds: int = 10,
        on_error: "OnError" = "tell",
        **options: Any,
    ) -> "ToolRun":
        """A completion with functions of yours, which may be async: as :meth:`llmcore.client.LLMClient.run_tools`."""
        from llmcore.tools import run_tools_async

        return await run_tools_async(self, messages, functions, max_rounds=max_rounds, on_error=on_error, **options)

    async def search_web(
        self,
        queries: "str | Sequence[str]",
        max_results: int = 10,
        *,
        backend: "SearchBackend | None" = None,
        **options: Any,
    ) -> "SearchResponse":
        """Pages of the web: as :meth:`llmcore.client.LLMClient.search_web`."""
        from llmcore.search import search_web_async

        return await search_web_async(self, queries, max_results, backend, **options)

    async def chat(self, memory: "ConversationMemory", content: "Content | None" = None, **options: Any) -> LLMResponse:
        """Says something in a conversation: as :meth:`llmcore.client.LLMClient.chat`."""
        response = await self.complete(memory.turn(content), **options)
        memory.add_turn(content, response)
        return response

    async def close(self) -> None:
        """Closes the runtime if this client owns one. Calling it again does nothing."""
        if self._owns_runtime:
            await self.runtime.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


async def run(runtime: "Runtime", flow: "Generator[Step, Result, LLMResponse]") -> LLMResponse:
    """Runs a call's flow in the running task. An exception, cancellation included, closes the flow, which cancels the
    call.
    """
    asend = runtime.transport.asend
    result: Result = None
    try:
        while True:
            step = flow.send(result)
            result = None
            if isinstance(step, Park):
                await runtime.parking.wait_async(step.call)
            else:
                assert type(step) is Perform
                try:
                    result = await asend(step.request, step.timeout)
                except TransportError as error:
                    result = error
    except StopIteration as end:
        answer: LLMResponse = end.value
        return answer
    finally:
        flow.close()
