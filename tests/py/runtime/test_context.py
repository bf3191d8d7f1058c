"""Whose call it is: inherited by calls and tasks, and by calls that are made while another is answered."""

import asyncio
import sys
import threading
from typing import Any

import pytest

import llmcore
from llmcore.call_context import current_context
from llmcore.client import LLMClient
from llmcore.clock import ManualClock
from llmcore.errors import LLMValidationError
from llmcore.providers.offline import OfflineProvider
from llmcore.runtime import Runtime
from llmcore.types import HttpRequest, LLMRequest
from support.runtimes import PATIENCE, EchoTransport, records_of, runtime_of
from support.scripted import ListSink, ScriptedProvider, ask, settings_of


def test_calls_inherit_the_context_they_are_made_in() -> None:
    runtime = runtime_of()
    client = LLMClient("p1", "m1", runtime=runtime)
    with llmcore.context(user_id="alice", tags=("a",)):
        with llmcore.context(game_id=7, tags=["b"], metadata={"k": 1}):
            client.complete(ask("inner"), user_id="bob", hand_number=3)
        client.complete(ask("outer"))
    client.complete(ask("outside"))
    inner, outer, outside = (record.context for record in records_of(runtime))
    assert (inner.user_id, inner.game_id, inner.hand_number) == ("bob", "7", 3)
    assert (inner.tags, inner.metadata) == (("a", "b"), {"k": 1})
    assert (outer.user_id, outer.game_id, outer.tags) == ("alice", None, ("a",))
    assert (outside.user_id, outside.tags) == (None, ())


async def test_tasks_inherit_the_context_they_were_made_in_and_threads_do_not() -> None:
    with llmcore.context(user_id="alice"):
        task = asyncio.create_task(asyncio.to_thread(current_context))
        found: list[str | None] = []
        thread = threading.Thread(target=lambda: found.append(current_context().user_id))
        thread.start()
        thread.join(PATIENCE)
    assert (await task).user_id == "alice"
    if sys.version_info < (3, 14):  # from then on a thread may inherit, as the interpreter is configured
        assert found == [None]
    assert current_context().user_id is None


def test_an_unknown_context_field_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LLMValidationError, match=r"'gameid' is no context field.*game_id"), llmcore.context(gameid=1):
        raise AssertionError("entered")


def test_what_is_no_context_goes_to_the_provider() -> None:
    class Sent(ScriptedProvider):
        params: dict[str, Any]

        def encode(self, request: Any) -> HttpRequest:
            self.params = request.params
            return super().encode(request)

    runtime = Runtime(settings_of(), tracker=ListSink(), transport=EchoTransport(), clock=ManualClock())
    provider = Sent("p1")
    LLMClient(provider, "m1", runtime=runtime).complete(ask("hello"), user_id="alice", top_p=0.5)
    assert provider.params == {"top_p": 0.5}
    assert records_of(runtime)[0].context.user_id == "alice"


def test_a_call_made_while_another_is_answered_is_its_child() -> None:
    sink = ListSink()
    runtime = Runtime(settings_of(provider="offline"), tracker=sink)

    class Asking(OfflineProvider):
        """Asks another provider before it answers."""

        name = "asking"

        def answer(self, request: LLMRequest, call_type: str | None) -> bytes:
            LLMClient("offline", runtime=runtime).complete(ask("And you?"))
            return super().answer(request, call_type)

    with llmcore.context(trace_id="t1"):
        LLMClient(Asking(), "m", runtime=runtime).complete(ask("What now?"))
        LLMClient("offline", runtime=runtime).complete(ask("Next."))
    child, parent, other = sink.records
    assert child.context.parent_call_id == parent.id
    assert parent.context.parent_call_id is None
    assert other.context.parent_call_id is None
    assert {record.context.trace_id for record in sink.records} == {"t1"}
    runtime.close()
