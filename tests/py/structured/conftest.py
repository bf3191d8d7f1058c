"""Whoever asks for a structured answer: from threads, and from tasks."""

import asyncio
from typing import Any

import pytest

from llmcore.aclient import AsyncLLMClient
from llmcore.client import LLMClient
from llmcore.runtime import Runtime
from llmcore.structured import StructuredResponse
from support.reviews import HELLO, Ask, Review


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Makes the call with one of the two clients."""

    def sync(runtime: Runtime, *arguments: Any, **options: Any) -> StructuredResponse[Review]:
        client = LLMClient(model="m1", runtime=runtime)
        return client.complete_structured(*(arguments or (HELLO, Review)), **options)

    def asynchronous(runtime: Runtime, *arguments: Any, **options: Any) -> StructuredResponse[Review]:
        client = AsyncLLMClient(model="m1", runtime=runtime)
        return asyncio.run(client.complete_structured(*(arguments or (HELLO, Review)), **options))

    return sync if request.param == "sync" else asynchronous
