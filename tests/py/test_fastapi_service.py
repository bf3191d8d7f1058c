"""examples/fastapi_service under uvicorn, over loopback: many at once, readers that leave, and an end that loses
nothing.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from support.server import Answer, Request, ScriptedServer, streamed_chat

pytest.importorskip("fastapi", reason="fastapi is not installed (the extra fastapi)")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ANN, BOB = uuid.UUID(int=1), uuid.UUID(int=2)
PATIENCE = 30.0


class Application:
    """The example in a process of its own, with a scripted provider behind it and a ledger in a file."""

    def __init__(self, folder: Path, upstream: ScriptedServer, *options: str) -> None:
        self.ledger = folder / "ledger.db"
        environment = {name: value for name, value in os.environ.items() if not re.match("(LLM|OPENAI)", name)}
        environment |= {
            "OPENAI_API_KEY": "sk-canary",
            "OPENAI_BASE_URL": upstream.base_url,
            "LLM_MODEL": "gpt-4o-mini",
            "LLMCORE_DATABASE_URL": f"sqlite:///{self.ledger}",
        }
        command = [sys.executable, "-m", "uvicorn", "--app-dir", str(ROOT / "examples/fastapi_service"), "app:app"]
        self.process = subprocess.Popen(
            [*command, "--port", "0", *options], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        self.said: list[str] = []
        for line in self.process.stderr:
            self.said.append(line)
            if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found.group(1))
                break
        else:
            raise AssertionError("".join(self.said))
        self._reader = threading.Thread(target=self.said.extend, args=(self.process.stderr,))
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
            self._forget()

    def stop(self) -> None:
        """Asks it to end, and waits until it has, as it should."""
        self.process.send_signal(signal.SIGTERM)
        self.end()

    def end(self) -> None:
        """Waits until it has ended, as it should: uvicorn raises the signal again when all is done."""
        assert self.process.wait(PATIENCE) in (0, -signal.SIGTERM), self.said
        self._forget()
        assert "INFO:     Application shutdown complete.\n" in self.said, self.said

    def _forget(self) -> None:
        self._reader.join(PATIENCE)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def rows(self) -> list[tuple[str, str | None, int, int | None]]:
        """(status, user, output tokens, cost) of all calls, in the order in which they were made."""
        with contextlib.closing(sqlite3.connect(self.ledger)) as connection:
            query = "SELECT status, user_id, output_tokens, cost_nano_usd FROM llm_calls ORDER BY created_at, id"
            return connection.execute(query).fetchall()

    async def ask(self, path: str, body: Any = None, user: uuid.UUID | None = ANN) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body) of an answer."""
        reader, writer = await self.open(path, body, user)
        try:
            data = await asyncio.wait_for(reader.read(), PATIENCE)
        finally:
            writer.close()
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        return int(first.split(" ")[1]), headers, rest

    async def open(
        self, path: str, body: Any = None, user: uuid.UUID | None = ANN
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which a request was sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        content = b"" if body is None else json.dumps(body).encode()
        who = "" if user is None else f"x-user-id: {user}\r\n"
        head = (
            f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{who}"
            f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        return reader, writer


def asked(text: str = "Hello?") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def echo(request: Request) -> Answer:
    if request.json.get("stream"):
        return streamed_chat(5)
    return Answer.chat(request.json["messages"][-1]["content"])


def dechunked(body: bytes) -> bytes:
    found = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        found, body = found + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """One that echoes, for tests that leave it running."""
    with ScriptedServer(echo) as upstream, Application(tmp_path_factory.mktemp("service"), upstream) as application:
        yield application
        application.stop()


async def test_an_answer_can_be_looked_up_by_whom_it_is_for(running: Application) -> None:
    status, _, body = await running.ask("/chat", asked("Is it safe?"))
    assert status == 200
    said = json.loads(body)
    assert said["content"] == "Is it safe?"
    assert said["tokens_used"] == 17
    assert said["cost_estimate"] == pytest.approx(12 * 0.15e-6 + 5 * 0.6e-6)
    status, _, body = await running.ask(f"/requests/{said['request_id']}")
    request = json.loads(body)
    assert (status, request["status"], request["user_id"]) == (200, "success", str(ANN))
    assert request["messages"] == asked("Is it safe?")["messages"]
    assert (await running.ask(f"/requests/{said['request_id']}", user=BOB))[0] == 404
    assert (await running.ask(f"/users/{ANN}/requests", user=BOB))[0] == 404
    assert (await running.ask("/chat", asked(), user=None))[0] == 422
    assert (await running.ask("/chat", {"messages": []}))[0] == 422


async def test_a_stream_comes_piece_by_piece(running: Application) -> None:
    status, headers, body = await running.ask("/chat/stream", asked(), user=BOB)
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    *events, done, rest = dechunked(body).decode().split("\n\n")
    assert [json.loads(event.removeprefix("data: ")) for event in events] == [{"text": f" word{n}"} for n in range(5)]
    name, _, data = done.partition("\n")
    told = json.loads(data.removeprefix("data: "))
    assert (name, rest, told["tokens_used"], told["finish_reason"]) == ("event: done", "", 17, "stop")
    status, _, body = await running.ask(f"/requests/{told['request_id']}", user=BOB)
    assert (status, json.loads(body)["response"]) == (200, " word0 word1 word2 word3 word4")


async def test_a_cost_beforehand(running: Application) -> None:
    status, _, body = await running.ask("/cost", asked())
    assert status == 200
    assert 0.0016 < json.loads(body)["cost_estimate"] < 0.0018  # 2,800 tokens at $0.60 a million


async def test_two_hundred_at_once(running: Application) -> None:
    users = [uuid.uuid4() for _ in range(10)]

    async def one(number: int) -> None:
        status, _, body = await running.ask("/chat", asked(f"number {number}"), users[number % 10])
        assert (status, json.loads(body)["content"]) == (200, f"number {number}")

    await asyncio.gather(*map(one, range(200)))
    for at, user in enumerate(users):
        status, _, body = await running.ask(f"/users/{user}/requests?limit=100", user=user)
        assert status == 200
        found = json.loads(body)
        assert {request["status"] for request in found} == {"success"}
        assert sorted(request["response"] for request in found) == sorted(f"number {n}" for n in range(at, 200, 10))
    assert sum(row[1] in {str(user) for user in users} for row in running.rows()) == 200


async def test_errors_have_a_status_and_say_nothing_of_the_content(tmp_path: Path) -> None:
    def refuse(request: Request) -> Answer:
        text = request.json["messages"][-1]["content"]
        if text == "slow":
            return Answer.error(429, "slow down", headers={"retry-after": "77"})
        return Answer.error(401, "wrong key: sk-canary")

    with ScriptedServer(refuse) as upstream, Application(tmp_path, upstream) as application:
        status, _, body = await application.ask("/chat", asked("secret"))
        assert status == 502
        request_id = json.loads(body)["request_id"]
        assert json.loads(body) == {"error": "LLMAuthError", "request_id": request_id}
        status, _, body = await application.ask("/chat/stream", asked("secret"))
        assert status == 200
        assert dechunked(body).startswith(b'event: error\ndata: {"error":"LLMAuthError"')
        status, headers, body = await application.ask("/chat", asked("slow"))  # last: others would wait as long
        assert (status, headers["retry-after"]) == (429, "77")
        assert json.loads(body)["error"] == "LLMRateLimitError"
        application.stop()
        assert [row[0] for row in application.rows()] == ["error", "error", "rate_limited"]
        log = "".join(application.said)
        assert "canary" not in log
        assert "secret" not in log


async def test_readers_that_leave_end_their_calls_and_pay_for_what_came(tmp_path: Path) -> None:
    whole = streamed_chat(400)
    slow = Answer(headers=whole.headers, body=whole.body, chunks=whole.chunks, pause=0.05)  # 20 seconds
    with ScriptedServer(lambda request: slow) as upstream, Application(tmp_path, upstream) as application:

        async def leave(number: int) -> None:
            reader, writer = await application.open("/chat/stream", asked(f"number {number}"))
            await asyncio.wait_for(reader.readuntil(b"word1"), PATIENCE)
            if number % 2:
                writer.transport.abort()  # a reset
            writer.close()

        await asyncio.gather(*map(leave, range(20)))
        await asyncio.wait_for(asyncio.to_thread(_wait_until_quiet, upstream), PATIENCE)
        application.stop()
        rows = application.rows()
        assert [row[0] for row in rows] == ["cancelled"] * 20
        assert all(2 <= tokens < 200 and cost is not None and cost > 0 for _, _, tokens, cost in rows)


def _wait_until_quiet(upstream: ScriptedServer) -> None:
    while upstream.in_flight:
        threading.Event().wait(0.01)


async def test_the_end_waits_for_what_was_asked(tmp_path: Path) -> None:
    with ScriptedServer() as upstream:
        gate = upstream.gate()
        upstream.handler = lambda request: Answer.chat("At last.", gate=gate)
        with Application(tmp_path, upstream) as application:
            asking = [asyncio.create_task(application.ask("/chat", asked())) for _ in range(50)]
            await asyncio.to_thread(upstream.wait_for, 50)
            application.process.send_signal(signal.SIGTERM)
            gate.open()
            answers = await asyncio.gather(*asking)
            assert {status for status, _, _ in answers} == {200}
            await asyncio.to_thread(application.end)
            assert [row[0] for row in application.rows()] == ["success"] * 50


async def test_the_end_loses_no_call_that_is_cut_off(tmp_path: Path) -> None:
    whole = streamed_chat(400)
    slow = Answer(headers=whole.headers, body=whole.body, chunks=whole.chunks, pause=0.05)
    with ScriptedServer() as upstream:
        gate = upstream.gate()
        upstream.handler = lambda request: slow if request.json.get("stream") else Answer.chat("Never.", gate=gate)
        with Application(tmp_path, upstream, "--timeout-graceful-shutdown", "1") as application:
            asking = [asyncio.create_task(application.ask("/chat", asked())) for _ in range(20)]
            streams = [await application.open("/chat/stream", asked()) for _ in range(10)]
            for reader, _ in streams:
                await asyncio.wait_for(reader.readuntil(b"word1"), PATIENCE)
            await asyncio.to_thread(upstream.wait_for, 30)
            await asyncio.to_thread(application.stop)
            answers = await asyncio.gather(*asking, return_exceptions=True)
            assert not any(isinstance(answer, tuple) and answer[0] == 200 for answer in answers)
            for _, writer in streams:
                writer.close()
            statuses = [row[0] for row in application.rows()]
            assert statuses == ["cancelled"] * 30, statuses
