"""The C interface from Python's ctypes: what a binding in another language does, with nothing but the library's path.

The structs are read from the header, so that a field which moved there and not in the library would show.
"""

import ctypes
import json
import os
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

KINDS: dict[str, Any] = {
    "size_t": ctypes.c_size_t,
    "const char*": ctypes.c_char_p,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "double": ctypes.c_double,
    "llmcore_call": ctypes.c_uint64,
    "llmcore_priority": ctypes.c_int,
    "llmcore_event_kind": ctypes.c_int,
    "llmcore_source": ctypes.c_int,
    "llmcore_role": ctypes.c_int,
}


def struct_of(header: str, name: str) -> type[ctypes.Structure]:
    """The struct of that name, as the header has it."""
    found = re.search(rf"typedef struct {name} {{(.*?)}} {name};", header, re.DOTALL)
    assert found, name
    fields = []
    for line in re.sub(r"/\*.*?\*/", "", found[1], flags=re.DOTALL).split(";"):
        if line.strip():
            kind, _, field = line.strip().rpartition(" ")
            fields.append((field, KINDS.get(kind, ctypes.c_void_p)))
    return type(name, (ctypes.Structure,), {"_fields_": fields})


def functions(library: str) -> Any:
    """The library, with the types of what is called here."""
    c = ctypes.CDLL(library)
    pointer = ctypes.c_void_p
    c.llmcore_version.restype = ctypes.c_char_p
    c.llmcore_client_create.restype = pointer
    c.llmcore_client_submit.restype = ctypes.c_uint64
    c.llmcore_client_submit.argtypes = [pointer, pointer]
    c.llmcore_client_poll_sized.restype = ctypes.c_size_t
    c.llmcore_client_poll_sized.argtypes = [pointer, pointer, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int64]
    c.llmcore_client_destroy.argtypes = [pointer]
    c.llmcore_conversation_create.restype = pointer
    c.llmcore_conversation_create.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int64]
    c.llmcore_conversation_destroy.argtypes = [pointer]
    return c


class Binding:
    """What a program in another language writes once: structs, and a call from the configuration to the text."""

    def __init__(self, library: str, header: str) -> None:
        self.c = functions(library)
        KINDS["llmcore_text"] = struct_of(header, "llmcore_text")
        names = ("config", "request", "event", "message")
        structs = [struct_of(header, f"llmcore_{name}") for name in names]
        self.Config, self.Request, self.Event, self.Message = structs

    def create(self, **said: Any) -> tuple[int | None, str]:
        """A client, or why there is none."""
        config: Any = self.Config()
        self.c.llmcore_config_init_sized(ctypes.byref(config), ctypes.sizeof(config))
        assert config.struct_size == ctypes.sizeof(config), "the header's struct is not the library's"
        assert config.offline_fallback == config.worker_thread == 1
        for name, value in said.items():
            setattr(config, name, value)
        error = ctypes.create_string_buffer(1000)
        client = self.c.llmcore_client_create(ctypes.byref(config), error, len(error))
        return client, error.value.decode()

    def ask(self, client: int, prompt: str, **said: Any) -> tuple[Any, bytes]:
        """The event that a call ends with, and what its tokens add up to."""
        request: Any = self.Request()
        self.c.llmcore_request_init_sized(ctypes.byref(request), ctypes.sizeof(request))
        assert request.struct_size == ctypes.sizeof(request)
        request.prompt = prompt.encode()
        request.tag = 9
        for name, value in said.items():
            setattr(request, name, value)
        call = self.c.llmcore_client_submit(client, ctypes.byref(request))
        assert call
        events = (self.Event * 8)()
        text, until = b"", time.monotonic() + 20
        while time.monotonic() < until:
            for event in events[: self.c.llmcore_client_poll_sized(client, events, ctypes.sizeof(self.Event), 8, 0)]:
                assert (event.call, event.tag) == (call, 9)
                if event.kind != 0:
                    return event, text
                text += said_in(event.text)
        raise AssertionError("the call does not end")


def said_in(text: Any) -> bytes:
    """A text's bytes, which are the client's until the next poll."""
    return ctypes.string_at(text.data, text.size)


class Model(BaseHTTPRequestHandler):
    """Answers as Chat Completions do, and keeps what it was asked."""

    asked: ClassVar[list[tuple[str, str | None, dict[str, Any]]]] = []

    def do_POST(self) -> None:
        """One call."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, self.headers["Authorization"], body))
        said = {"role": "assistant", "content": "Mind the step."}
        answer = {
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": said}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9},
        }
        sent = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def the_templates_answer(binding: Binding) -> None:
    """One call without a network."""
    client, problem = binding.create(provider=b"offline")
    assert client, problem
    event, text = binding.ask(client, "Grüß Gott, wer da?")
    assert (event.kind, said_in(event.text)) == (1, text)
    assert text.decode()
    binding.c.llmcore_client_destroy(client)


def a_provider_is_asked_over_http(binding: Binding) -> None:
    """By what the struct says, and by what the environment says."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    by_struct = {"provider": b"openai", "api_key": b"sk-of-the-struct", "base_url": url.encode(), "model": b"gpt-x"}
    elsewhere = {"OPENAI_API_KEY": "sk-of-the-environment", "OPENAI_BASE_URL": "http://127.0.0.1:1", "LLM_MODEL": "y"}
    here = {"OPENAI_API_KEY": "sk-of-the-environment", "OPENAI_BASE_URL": url}
    for said, environment, key, model in (
        (by_struct, elsewhere, "sk-of-the-struct", "gpt-x"),
        ({}, here, "sk-of-the-environment", "gpt-4o-mini"),
    ):
        os.environ.update(environment)
        client, problem = binding.create(**said)
        assert client, problem
        for name in environment:
            del os.environ[name]
        event, _ = binding.ask(client, "Is the bridge safe?", stream=0)
        assert (event.kind, event.fallback, said_in(event.text)) == (1, 0, b"Mind the step."), said_in(event.error)
        assert (said_in(event.provider), said_in(event.model)) == (b"openai", model.encode())
        assert (event.input_tokens, event.output_tokens, event.attempts) == (5, 4, 1)
        path, authorization, body = Model.asked.pop()
        assert (path, authorization, body["model"]) == ("/v1/chat/completions", f"Bearer {key}", model)
        binding.c.llmcore_client_destroy(client)
    # A conversation, more messages, and the prompt behind all others.
    client, problem = binding.create(**by_struct)
    assert client, problem
    memory = binding.c.llmcore_conversation_create(b"You are Mira.", 0, 0)
    more = (binding.Message * 2)((1, b"Hello."), (2, b"Good day."))
    said = {"conversation": memory, "messages": ctypes.cast(more, ctypes.c_void_p), "message_count": 2, "stream": 0}
    binding.ask(client, "Is it?", **said)
    told = [(message["role"], message["content"]) for message in Model.asked.pop()[2]["messages"]]
    assert told == [("system", "You are Mira."), ("user", "Hello."), ("assistant", "Good day."), ("user", "Is it?")]
    binding.c.llmcore_conversation_destroy(memory)
    binding.c.llmcore_client_destroy(client)
    # Nobody is there any more: the templates answer, and the event says so.
    server.shutdown()
    server.server_close()
    client, problem = binding.create(**by_struct)
    assert client, problem
    event, text = binding.ask(client, "Is the bridge safe?", deadline_ns=3 * 10**8)
    assert (event.kind, event.fallback, said_in(event.provider)) == (1, 1, b"offline")
    assert said_in(event.text) == text
    binding.c.llmcore_client_destroy(client)


def what_is_wrong_is_said(binding: Binding) -> None:
    """All of it, and no key."""
    os.environ["LLMCORE_LIMITS__MAX_IN_FLIGHT"] = "many"
    client, problem = binding.create(provider=b"anthropic", base_url=b"https://me:sk-hidden@example.com")
    del os.environ["LLMCORE_LIMITS__MAX_IN_FLIGHT"]
    assert client is None
    for part in ("LLMCORE_LIMITS__MAX_IN_FLIGHT", "base_url", "ANTHROPIC_API_KEY"):
        assert part in problem, problem
    assert "hidden" not in problem, problem
    client, problem = binding.create(provider=b"nobody")
    assert client is None
    assert "'nobody'; known are anthropic, " in problem, problem


def main(library: str, header_path: str) -> None:
    """Each of the tests, with an environment that says nothing of models."""
    for name in [name for name in os.environ if name.startswith(("LLM", "OPENAI", "ANTHROPIC", "LLAMA"))]:
        del os.environ[name]
    binding = Binding(library, Path(header_path).read_text())
    assert re.fullmatch(rb"\d+\.\d+\.\d+", binding.c.llmcore_version())
    the_templates_answer(binding)
    a_provider_is_asked_over_http(binding)
    what_is_wrong_is_said(binding)


if __name__ == "__main__":
    main(*sys.argv[1:])
