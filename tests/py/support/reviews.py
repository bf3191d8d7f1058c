"""Reviews as values of a type, asked for over real connections."""

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, Field

from llmcore.runtime import Runtime
from llmcore.structured import StructuredResponse
from support.scripted import ListSink, settings_of
from support.server import Answer, ScriptedServer

CANARY = "sk-canary"
HELLO = [{"role": "user", "content": "Review: lovely, if dear."}]
BAD = '{"mood": "furious", "stars": 11}'
COST = 12 * 1000 + 5 * 2000  # nano-USD, of an answer
GOOD = '{"mood": "good", "stars": 4}'
PROBLEMS = ["mood: literal_error", "stars: less_than_equal"]


class Review(BaseModel):
    mood: Literal["good", "bad"]
    stars: int = Field(ge=1, le=5)


def chat(text: str = "", gate: Any = None, **body: Any) -> Answer:
    return Answer.chat(text, body={"model": "m1", **body}, gate=gate)


def runtime_of(server: ScriptedServer, provider: str = "openai", sink: Any = None, **more: Any) -> Runtime:
    settings = settings_of(
        provider=provider,
        providers={provider: {"api_key": CANARY, "base_url": server.base_url}},
        prices={f"{provider}/m1": {"input": 1, "output": 2}},
        retry={"max_attempts": 1},
        **more,
    )
    return Runtime(settings, tracker=sink or ListSink())


def as_called(text: str) -> Answer:
    call = {"id": "call_1", "type": "function", "function": {"name": "Review", "arguments": text}}
    choice = {"index": 0, "message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
    return chat(choices=[choice])


def as_said(finish_reason: str, text: str = "", **message: Any) -> Answer:
    choice = {"index": 0, "message": {"content": text, **message}, "finish_reason": finish_reason}
    return chat(choices=[choice])


Ask = Callable[..., StructuredResponse[Review]]
