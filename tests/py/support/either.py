"""Either of the two clients, used alike, so that one test holds for both."""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from llmcore import AsyncLLMClient, LLMClient
from llmcore.runtime import Runtime
from llmcore.types import Chunk, LLMResponse

__all__ = ["Either"]


class Either:
    """Makes the calls of a test by LLMClient, or by AsyncLLMClient in an event loop for each.

    :param model: what the calls ask for
    """

    def __init__(self, kind: Literal["sync", "async"], runtime: Runtime, model: str) -> None:
        self.kind = kind
        self.runtime = runtime
        self._model = model

    def complete(self, provider: str, messages: Any, fallbacks: Sequence[str] = (), **options: Any) -> LLMResponse:
        """As the clients' method of that name."""
        response = self.call("complete", provider, messages, fallbacks=fallbacks, **options)
        assert type(response) is LLMResponse
        return response

    def call(self, method: str, provider: str, *given: Any, fallbacks: Sequence[str] = (), **options: Any) -> Any:
        """Any of their methods that is not a stream."""
        if self.kind == "sync":
            client = LLMClient(provider, self._model, runtime=self.runtime, fallbacks=fallbacks)
            return getattr(client, method)(*given, **options)

        async def called() -> Any:
            client = AsyncLLMClient(provider, self._model, runtime=self.runtime, fallbacks=fallbacks)
            return await getattr(client, method)(*given, **options)

        return asyncio.run(called())

    def read(
        self, provider: str, messages: Any, into: list[Chunk], fallbacks: Sequence[str] = (), **options: Any
    ) -> LLMResponse:
        """Reads a stream to its end.

        :param into: takes the chunks, also those before an error; `append` is called with each as it comes
        """
        if self.kind == "sync":
            client = LLMClient(provider, self._model, runtime=self.runtime, fallbacks=fallbacks)
            with client.stream(messages, **options) as stream:
                for chunk in stream:
                    into.append(chunk)  # noqa: PERF402 - one at a time
                return stream.response

        async def read() -> LLMResponse:
            client = AsyncLLMClient(provider, self._model, runtime=self.runtime, fallbacks=fallbacks)
            async with client.stream(messages, **options) as stream:
                async for chunk in stream:
                    into.append(chunk)  # noqa: PERF401 - one at a time
                return stream.response

        return asyncio.run(read())
