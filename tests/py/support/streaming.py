"""Streamed answers of a scripted server, and runtimes that read them."""

import json
from typing import Any, Literal

from llmcore.client import LLMClient
from llmcore.runtime import Runtime
from llmcore.transport import create_transport
from support.scripted import ListSink, settings_of
from support.server import Answer, ScriptedServer

HELLO = [{"role": "user", "content": "Hello?"}]
SSE = {"content-type": "text/event-stream"}


def event(text: str = "", finish: str | None = None) -> bytes:
    # ensure_ascii=False: characters of several bytes, so that cuts fall into them
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"model": "m1", "choices": [choice]}, ensure_ascii=False).encode() + b"\n\n"


def told(prompt: int = 10, completion: int = 5) -> bytes:
    return b'data: {"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}\n\n' % (prompt, completion)


TEXT = ["Grü", "ße ", "aus ", "東京", " 🗼", "!"]
END = event("", "stop") + told() + b"data: [DONE]\n\n"
BODY = b"".join(map(event, TEXT)) + END


def stream(body: bytes = BODY, *, step: int | None = None, **fields: Any) -> Answer:
    """The body in pieces: of that many bytes, or an event each."""
    cuts = (
        list(range(step, len(body), step))
        if step
        else [at + 2 for at in range(len(body)) if body[at : at + 2] == b"\n\n"]
    )
    return Answer(headers=SSE, body=body, chunks=[cut for cut in cuts if cut < len(body)], **fields)


def runtime_of(server: ScriptedServer, kind: Literal["native", "sdk"] = "native", **settings: Any) -> Runtime:
    chosen = {
        "provider": "openai",
        "openai_api_key": "sk-canary",
        "openai_base_url": server.base_url,
        "prices": {"openai/m1": {"input": 1, "output": 2}},
        **settings,
    }
    return Runtime(settings_of(**chosen), tracker=ListSink(), transport=create_transport(kind))


def client_of(runtime: Runtime, **arguments: Any) -> LLMClient:
    return LLMClient("openai", "m1", runtime=runtime, **arguments)


def hanging() -> Answer:
    """Sends one chunk and then nothing."""
    first = event("Hello there, ")
    head, chunk, *_ = Answer(headers=SSE, body=first + END, chunks=[len(first)]).pieces
    return Answer(headers=SSE, body=first + END, chunks=[len(first)], stop_after=len(head + chunk), then="hang")
