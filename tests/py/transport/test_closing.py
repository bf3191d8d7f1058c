"""A transport that is closed, and one that never was opened."""

import asyncio
import threading

import pytest

from llmcore._core import Outcome
from llmcore.transport import NativeTransport, Transport, TransportError, create_transport
from support.exchanges import post, refused
from support.server import Answer, ScriptedServer


def test_a_closed_transport_says_so(transport: Transport, server: ScriptedServer) -> None:
    transport.send(post(server), 10)
    transport.close()
    transport.close()
    for _ in range(2):
        error = refused(lambda: transport.send(post(server), 10))
        assert error.outcome is Outcome.CANCELLED
        assert "closed" in error.message
    assert refused(lambda: asyncio.run(transport.asend(post(server), 10))).outcome is Outcome.CANCELLED
    assert server.received == 1


def test_closing_a_transport_never_used_does_nothing(transport: Transport) -> None:
    transport.close()
    asyncio.run(transport.aclose())
    transport.close()


async def test_a_transport_closed_by_a_loop_says_so(async_transport: Transport, server: ScriptedServer) -> None:
    await async_transport.asend(post(server), 10)
    await async_transport.aclose()
    await async_transport.aclose()
    with pytest.raises(TransportError, match="closed"):
        await async_transport.asend(post(server), 10)
    with pytest.raises(TransportError, match="closed"):
        async_transport.send(post(server), 10)


def test_closing_ends_the_calls_of_other_threads(server: ScriptedServer) -> None:
    transport = NativeTransport()
    server.script(Answer(delay=30))
    errors: list[TransportError] = []
    thread = threading.Thread(target=lambda: errors.append(refused(lambda: transport.send(post(server), 60))))
    thread.start()
    server.wait_for(1)
    transport.close()
    thread.join(10)
    assert [error.outcome for error in errors] == [Outcome.CANCELLED]


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="carrier-pigeon"):
        create_transport("carrier-pigeon")  # type: ignore[arg-type]
