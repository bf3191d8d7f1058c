"""What a conversation keeps: the system prompt always, tool calls and their results together, and no more than it may.

The properties are looked for in random conversations; chat() is shown against a server.
"""

import asyncio
import copy
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcore import (
    AsyncLLMClient,
    ConversationMemory,
    LLMBadRequestError,
    LLMClient,
    LLMResponse,
    LLMValidationError,
    Runtime,
    Settings,
    ToolCall,
    Usage,
)
from llmcore.estimate import TokenEstimator
from support.server import Answer, Request, ScriptedServer

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@st.composite
def turns(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """Steps of a conversation, each of which is allowed where it stands."""
    steps: list[tuple[str, Any]] = []
    for _ in range(draw(st.integers(0, 25))):
        kind = draw(st.sampled_from(["user", "user", "assistant", "tools"]))
        if kind == "tools":
            ids = draw(st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=4))
            steps.append(("calls", ids))
            steps += [("result", one) for one in draw(st.permutations(ids))]
        else:
            steps.append((kind, draw(TEXTS)))
    return steps


def play(memory: ConversationMemory, step: tuple[str, Any]) -> None:
    kind, value = step
    if kind == "user":
        memory.add_user(value)
    elif kind == "assistant":
        memory.add_assistant(value)
    elif kind == "calls":
        memory.add_assistant(None, [ToolCall(one, "look", "{}") for one in value])
    else:
        memory.add_tool_result(value, "found")


def assert_whole(messages: list[dict[str, Any]]) -> None:
    """Every call has its result and every result its call, one directly behind the other."""
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
        else:
            assert not waiting
            waiting = [call["id"] for call in message.get("tool_calls", ())]
    assert not waiting


@given(TEXTS, turns(), st.integers(1, 8), st.none() | st.integers(1, 120))
def test_what_is_kept_is_whole_and_within_bounds(
    system: str, steps: list[tuple[str, Any]], most: int, most_tokens: int | None
) -> None:
    memory = ConversationMemory(system, most, max_tokens=most_tokens)
    said: list[str] = []
    for step in steps:
        play(memory, step)
        if step[0] == "user":
            said.append(step[1])
        messages = memory.get_messages()
        assert_whole(messages)
        if system:
            assert messages[0] == {"role": "system", "content": system}
            messages = messages[1:]
        assert all(message["role"] != "system" for message in messages)
        users = [message["content"] for message in messages if message["role"] == "user"]
        assert users == said[len(said) - len(users) :]
        assert not said or users, "the question that is being answered stays"
        # Only what may not go at all is beyond the bounds: the last question and what came last.
        units = sum(message["role"] != "tool" for message in messages)
        tokens = TokenEstimator().messages(memory.get_messages())
        if units > 2:
            assert len(messages) <= most
            assert most_tokens is None or tokens <= most_tokens


@given(TEXTS, turns(), st.integers(1, 8), st.none() | st.integers(1, 120))
def test_to_json_and_back_loses_nothing(
    system: str, steps: list[tuple[str, Any]], most: int, most_tokens: int | None
) -> None:
    memory = ConversationMemory(system, most, max_tokens=most_tokens)
    for step in steps:
        play(memory, step)
        data = json.loads(json.dumps(memory.to_dict()))
        again = ConversationMemory.from_dict(data)
        assert again.get_messages() == memory.get_messages()
        assert again.pending == memory.pending
        assert again.to_dict() == memory.to_dict()


CASES = (Path(__file__).parents[1] / "data" / "conversation" / "cases.jsonl").read_text().splitlines()


@pytest.mark.parametrize("line", CASES, ids=[str(number) for number in range(1, len(CASES) + 1)])
def test_the_same_is_kept_as_in_cpp(line: str) -> None:
    case = json.loads(line)
    memory = ConversationMemory(case["system"], case["max_messages"], max_tokens=case["max_tokens"])
    for step in case["steps"]:
        if step[0] == "calls":
            memory.add_assistant(step[1], [ToolCall(one, "look", '{"at": "door"}') for one in step[2]])
        elif step[0] == "result":
            memory.add_tool_result(step[1], step[2])
        else:
            play(memory, (step[0], step[1]))
    messages = memory.get_messages()
    assert_whole(messages)
    assert [[message["role"], message["content"]] for message in messages] == case["messages"]
    assert memory.pending == case["pending"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["user", "tool", "a"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "id", "type"]) | st.text(), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(sorted(ConversationMemory().to_dict())), JSON) | JSON, JSON)
def test_hostile_data_is_refused_in_words(replaced: Any, messages: Any) -> None:
    data = {**ConversationMemory().to_dict(), **replaced} if isinstance(replaced, dict) else replaced
    if isinstance(data, dict):
        data.setdefault("messages", messages)
    try:
        memory = ConversationMemory.from_dict(data)
    except LLMValidationError:
        return
    assert_whole(memory.get_messages())
    json.dumps(memory.to_dict(), allow_nan=False).encode()


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ("text", '"messages" of a conversation is a list'),
        (["text"], r"messages\[0\] is no dict"),
        ([{"role": "system", "content": "obey"}], "none of the roles"),
        ([{"role": ["user"], "content": "x"}], "none of the roles"),
        ([{"role": "user", "content": "x", "extra": 1}], "no use for"),
        ([{"role": "user"}], "a text or a list of parts"),
        ([{"role": "user", "content": None}], "a text or a list of parts"),
        ([{"role": "user", "content": []}], "list of parts"),
        ([{"role": "user", "content": [{"text": "x"}]}], "list of parts"),
        ([{"role": "user", "content": "\ud800"}], "surrogate"),
        ([{"role": "user", "content": [{"type": "text", "\ud800": 1}]}], "surrogate"),
        ([{"role": "user", "content": [{"type": "text", "text": float("nan")}]}], "JSON has no form"),
        ([{"role": "user", "content": [{"type": "text", "text": 1 << 70}]}], "JSON has no form"),
        ([{"role": "user", "content": [{"type": "text", "text": nested(10_000)}]}], "too deep"),
        ([{"role": "tool", "tool_call_id": "c", "content": "x"}], "no tool call waits"),
        ([{"role": "tool", "content": "x"}], "which call"),
        ([{"role": "user", "content": "x", "name": 5}], "its name is no text"),
        ([{"role": "assistant", "content": None}], "a text or a list of parts"),
        ([{"role": "assistant", "content": None, "tool_calls": []}], "a text or a list of parts"),
        ([{"role": "assistant", "content": "x", "tool_calls": [CALL] * 1_001}], "tool_calls are no list"),
        ([{"role": "assistant", "content": "x", "tool_calls": [{**CALL, "id": 1}]}], "tool_calls are no list"),
        ([{"role": "assistant", "content": "x", "tool_calls": [{**CALL, "type": []}]}], "tool_calls are no list"),
        ([{"role": "assistant", "content": "x", "tool_calls": [{**CALL, "function": {}}]}], "tool_calls are no list"),
        ([{"role": "assistant", "content": "x", "tool_calls": [CALL]}, {"role": "user", "content": "y"}], "for 'c'"),
    ],
)
def test_what_is_no_message_is_refused(messages: Any, reason: str) -> None:
    with pytest.raises(LLMValidationError, match=reason):
        ConversationMemory.from_dict({**ConversationMemory().to_dict(), "messages": messages})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 0}, "older version, 0"),
        ({"version": 2}, "newer version, 2"),
        ({"version": True}, "whole number"),
        ({"version": "1"}, "whole number"),
        ({"max_messages": 0}, "max_messages is a whole number above 0"),
        ({"max_messages": 1.5}, "max_messages"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"system_prompt": None}, "system_prompt is a text"),
        ({"more": 1}, "no known use"),
    ],
)
def test_another_version_and_other_fields_are_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(LLMValidationError, match=reason):
        ConversationMemory.from_dict({**ConversationMemory().to_dict(), **change})


def test_what_lacks_a_field_or_is_no_dict_is_refused() -> None:
    data = ConversationMemory().to_dict()
    del data["messages"]
    with pytest.raises(LLMValidationError, match="lacks \\['messages'\\]"):
        ConversationMemory.from_dict(data)
    no_dict: Any = []
    with pytest.raises(LLMValidationError, match="not list"):
        ConversationMemory.from_dict(no_dict)


def test_a_question_outlives_the_rounds_of_tools_that_it_takes() -> None:
    memory = ConversationMemory("Be brief.", 5)
    memory.add_user("old")
    memory.add_assistant("older answer")
    memory.add_user("How many?")
    for number in range(6):
        memory.add_assistant("", [ToolCall(str(number), "count", "{}")])
        memory.add_tool_result(str(number), "1")
    kept = memory.get_messages()
    assert [message["role"] for message in kept] == ["system", "user", "assistant", "tool", "assistant", "tool"]
    assert kept[1]["content"] == "How many?"
    assert kept[-1]["tool_call_id"] == "5"


def test_trimming_by_tokens_drops_the_oldest() -> None:
    memory = ConversationMemory("S", 100, max_tokens=150)
    for number in range(20):
        memory.add_user(f"question {number} " + "with some more words in it " * 2)
        memory.add_assistant(f"answer {number}")
    kept = memory.get_messages()
    assert 4 < len(kept) < 20
    assert kept[1]["role"] == "user"
    assert kept[-1]["content"] == "answer 19"
    assert TokenEstimator().messages(kept) <= 150


def test_the_seeds_interface_and_copies_of_ones_own() -> None:
    memory = ConversationMemory("You play poker.")
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": b"\x89PNG\r\n\x1a\n"}},
    ]
    memory.add_user(parts)
    parts[0]["text"] = "changed"
    memory.get_messages()[1]["content"][0]["text"] = "changed too"
    memory.add_assistant("I fold.")
    told = memory.get_messages()
    assert told[1]["content"][0]["text"] == "Look:"
    assert told[1]["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")
    assert len(memory) == 2
    assert "fold" not in repr(memory)
    memory.clear()
    assert memory.get_messages() == [{"role": "system", "content": "You play poker."}]
    assert ConversationMemory().get_messages() == []


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda memory: pickle.loads(pickle.dumps(memory))])
def test_a_conversation_is_copied_and_pickled(copied: Callable[[ConversationMemory], ConversationMemory]) -> None:
    memory = ConversationMemory("Be brief.", max_messages=7, max_tokens=500)
    memory.add_user("How many chips has Bob?")
    memory.add_assistant(None, [ToolCall("call_1", "chips_of", "{}")])
    other = copied(memory)
    assert other.to_dict() == memory.to_dict()
    other.add_tool_result("call_1", "1,250")
    assert (other.pending, memory.pending) == ([], ["call_1"])


def test_tool_calls_may_be_in_the_openai_shape() -> None:
    function = {"name": "chips_of", "arguments": '{"player": "Bob"}'}
    call: dict[str, Any] = {"id": "call_1", "type": "function", "function": function}
    told, shown = ConversationMemory(), ConversationMemory()
    told.add_assistant(None, [ToolCall("call_1", "chips_of", '{"player": "Bob"}')])
    shown.add_assistant(None, [call])
    assert shown.to_dict() == told.to_dict()
    assert shown.pending == ["call_1"]
    wrong: Any
    for wrong in (5, "x", ["x"], [{"id": "call_1"}], [None]):
        with pytest.raises(LLMValidationError, match=r"tool.?calls"):
            ConversationMemory().add_assistant(None, wrong)


def test_tool_calls_wait_for_their_results() -> None:
    memory = ConversationMemory()
    memory.add_user("q")
    memory.add_assistant(None, [ToolCall("a", "f", "{}"), ToolCall("b", "g", "x", "custom")])
    assert memory.pending == ["a", "b"]
    assert [message["role"] for message in memory.get_messages()] == ["user"]
    for wrong in (lambda: memory.add_user("again"), lambda: memory.turn("again"), memory.turn):
        with pytest.raises(LLMValidationError, match="for 'a', 'b'"):
            wrong()
    memory.add_tool_result("b", "2")
    with pytest.raises(LLMValidationError, match="waiting are: 'a'"):
        memory.add_tool_result("b", "2")
    memory.add_tool_result("a", "1")
    told = memory.get_messages()
    assert told[1]["tool_calls"][1] == {"id": "b", "type": "custom", "custom": {"name": "g", "input": "x"}}
    assert [message["role"] for message in told] == ["user", "assistant", "tool", "tool"]
    assert memory.turn() == told


def test_there_must_be_something_to_answer() -> None:
    memory = ConversationMemory("S")
    with pytest.raises(LLMValidationError, match="nothing to answer"):
        memory.turn()
    memory.add_user("q")
    memory.add_assistant("a")
    with pytest.raises(LLMValidationError, match="nothing to answer"):
        memory.turn()


def test_a_turn_is_added_whole_or_not_at_all() -> None:
    memory = ConversationMemory()
    broken = LLMResponse("\ud800", "m", "p", Usage(), None, "id")
    with pytest.raises(LLMValidationError, match="surrogate"):
        memory.add_turn("q", broken)
    assert memory.get_messages() == []
    memory.add_turn("q", LLMResponse("", "m", "p", Usage(), None, "id", refusal="I cannot."))
    assert memory.get_messages()[-1] == {"role": "assistant", "content": "I cannot."}


# --- chat()
# --------------------------------------------------------------------------------------------------------------------

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


def scripted(request: Request) -> Answer:
    """Fails when told to, calls a tool when asked to look, otherwise says what roles it was sent."""
    messages = request.json["messages"]
    last = messages[-1]["content"]
    if last == "fail":
        return Answer.error(400, "no")
    if last == "look":
        call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        said = {"role": "assistant", "content": None, "tool_calls": [call]}
        return Answer.chat(body={"choices": [{"index": 0, "message": said, "finish_reason": "tool_calls"}]})
    if last == "wait":
        return Answer.chat(delay=60)
    return Answer.chat(" ".join(message["role"] for message in messages))


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(scripted) as running:
        yield running


def runtime_for(server: ScriptedServer) -> Runtime:
    settings = Settings(
        provider="openai", openai_api_key="sk-test", openai_base_url=server.base_url, ledger={"url": "none"}
    )
    return Runtime(settings)


def test_chat_remembers_what_was_said_and_only_that(server: ScriptedServer) -> None:
    runtime = runtime_for(server)
    client = LLMClient(runtime=runtime)
    memory = ConversationMemory("S")
    assert client.chat(memory, "one").content == "system user"
    before = memory.to_dict()
    for _ in range(2):
        with pytest.raises(LLMBadRequestError):
            client.chat(memory, "fail")
        assert memory.to_dict() == before
    assert client.chat(memory, "two", max_tokens=5).content == "system user assistant user"
    looked = client.chat(memory, "look", tools=[TOOL])
    assert [call.id for call in looked.tool_calls] == ["c1"] == memory.pending
    with pytest.raises(LLMValidationError, match="for 'c1'"):
        client.chat(memory, "three")
    memory.add_tool_result("c1", "nothing")
    assert client.chat(memory).content == "system user assistant user assistant user assistant tool"
    assert [message["role"] for message in memory.get_messages()[-3:]] == ["assistant", "tool", "assistant"]
    runtime.close()


async def in_turns(server: ScriptedServer) -> None:
    runtime = runtime_for(server)
    client = AsyncLLMClient(runtime=runtime)
    memory = ConversationMemory()
    assert (await client.chat(memory, "one")).content == "user"
    before = memory.to_dict()
    with pytest.raises(LLMBadRequestError):
        await client.chat(memory, "fail")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.chat(memory, "wait"), 0.05)
    assert memory.to_dict() == before
    assert (await client.chat(memory, "two")).content == "user assistant user"
    await runtime.aclose()


def test_chat_of_the_async_client_is_the_same(server: ScriptedServer) -> None:
    asyncio.run(in_turns(server))
