"""A scripted server, and both transports to it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from llmcore.transport import Transport, create_transport
from support.server import ScriptedServer


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture(params=["native", "sdk"])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    made = create_transport(request.param, max_response_bytes=200_000)
    yield made
    made.close()


@pytest.fixture(params=["native", "sdk"])
async def async_transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    made = create_transport(request.param, max_response_bytes=200_000)
    yield made
    await made.aclose()
