"""One adapter per contender: the same chat call to the same server, made as that library's users make it.

Run by call_overhead.py, each in a process of its own::

    python contenders.py NAME sequential|concurrent|structured|import COUNT BASE_URL

Prints one JSON object: CPU microseconds of this process per call (every thread, system time included), calls per
second, and
memory.
"""

import asyncio
import json
import os
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

MODEL = "gpt-4o-mini"
MESSAGES = [
    {"role": "system", "content": "You are the innkeeper of a small village. Answer in one sentence."},
    {"role": "user", "content": "A traveller asks for a room and news from the north. " * 4},
]
KEY = "sk-benchmark"
WIDTH = 64  # calls at once in the concurrent part

Sync = Callable[[int], object]
Async = Callable[[int], Awaitable[object]]


def review() -> type:
    """What a structured answer is a value of: the server answers with one."""
    from typing import Literal

    from pydantic import BaseModel, Field

    class Review(BaseModel):
        mood: Literal["good", "mixed", "bad"]
        stars: int = Field(ge=1, le=5)
        topics: list[str]
        summary: str = Field(description="in a sentence or two")

    return Review


class Contender:
    """A library: how to import it, and its call as a function, as a coroutine function, or both."""

    imports = ""

    def sync(self, base_url: str) -> Sync | None:
        return None

    def asynchronous(self, base_url: str) -> Async | None:
        return None

    def structured(self, base_url: str) -> Sync | None:
        """The same call, whose answer has to be a value of :func:`review`'s type."""
        return None

    def settle(self) -> None:
        """After the warm-up: lets it finish what happens once per process."""

    def close(self) -> None:
        """Whatever it still has to do: it counts."""


class RawSocket(Contender):
    """The floor: a prepared request on a keep-alive socket, nothing parsed but the length."""

    imports = "socket"

    def sync(self, base_url: str) -> Sync:
        host, port = base_url.split("//")[1].split("/", maxsplit=1)[0].split(":")
        body = json.dumps({"model": MODEL, "messages": MESSAGES}).encode()
        fields = f"host: {host}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        head = f"POST /v1/chat/completions HTTP/1.1\r\n{fields}\r\n\r\n"
        request = head.encode() + body
        link = socket.create_connection((host, int(port)))
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def call(_: int) -> bytes:
            link.sendall(request)
            data = link.recv(65536)
            while b"\r\n\r\n" not in data:
                data += link.recv(65536)
            head, _, rest = data.partition(b"\r\n\r\n")
            at = head.lower().index(b"content-length:") + 15
            length = int(head[at:].split(b"\r\n")[0])
            while len(rest) < length:
                rest += link.recv(65536)
            return rest

        return call


class Pyreqwest(Contender):
    """The HTTP client that llmcore uses, alone."""

    imports = "pyreqwest.client"

    def sync(self, base_url: str) -> Sync:
        from pyreqwest.client import SyncClientBuilder

        client = SyncClientBuilder().build()
        url = base_url + "/chat/completions"
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}

        def call(_: int) -> object:
            body = json.dumps({"model": MODEL, "messages": MESSAGES}).encode()
            return json.loads(client.post(url).headers(headers).body_bytes(body).build().send().bytes().to_bytes())

        return call


class LLMCore(Contender):
    """This library: limits, budget, prices and the ledger (a SQLite file) on."""

    imports = "llmcore"
    cache = False

    def _runtime(self, base_url: str) -> Any:
        os.environ["OPENAI_BASE_URL"] = base_url
        os.environ["OPENAI_API_KEY"] = KEY
        from llmcore import Runtime, Settings, UsageTracker

        self._folder = tempfile.TemporaryDirectory()
        self._tracker = UsageTracker(f"sqlite:///{self._folder.name}/ledger.db")
        self._opened = Runtime(Settings(), tracker=self._tracker)
        return self._opened

    def sync(self, base_url: str) -> Sync:
        from llmcore import LLMClient

        client = LLMClient("openai", MODEL, runtime=self._runtime(base_url))
        return lambda _: client.complete(MESSAGES, cache=self.cache, call_type="chat", user_id="u1")

    def asynchronous(self, base_url: str) -> Async:
        from llmcore import AsyncLLMClient

        client = AsyncLLMClient("openai", MODEL, runtime=self._runtime(base_url))
        return lambda _: client.complete(MESSAGES, cache=self.cache, call_type="chat", user_id="u1")

    def structured(self, base_url: str) -> Sync:
        from llmcore import LLMClient

        client, model = LLMClient("openai", MODEL, runtime=self._runtime(base_url)), review()
        return lambda _: client.complete_structured(MESSAGES, model, call_type="chat", user_id="u1").value

    def settle(self) -> None:
        self._tracker.flush()

    def close(self) -> None:
        self._tracker.close()
        self._opened.close()


class LLMCoreHit(LLMCore):
    """A cache hit, ledger on."""

    cache = True


class DropIn(LLMCore):
    """llmcore.openai, ledger on."""

    imports = "llmcore.openai"

    def sync(self, base_url: str) -> Sync:
        from llmcore.openai import OpenAI

        client = OpenAI(api_key=KEY, base_url=base_url, runtime=self._runtime(base_url))
        return lambda _: client.chat.completions.create(model=MODEL, messages=MESSAGES)

    def asynchronous(self, base_url: str) -> Async:
        from llmcore.openai import AsyncOpenAI

        client = AsyncOpenAI(api_key=KEY, base_url=base_url, runtime=self._runtime(base_url))
        return lambda _: client.chat.completions.create(model=MODEL, messages=MESSAGES)


class OpenAISDK(Contender):
    imports = "openai"

    def sync(self, base_url: str) -> Sync:
        from openai import OpenAI

        client = OpenAI(api_key=KEY, base_url=base_url, max_retries=0)
        return lambda _: client.chat.completions.create(model=MODEL, messages=MESSAGES)  # type: ignore[arg-type]

    def asynchronous(self, base_url: str) -> Async:
        from openai import AsyncOpenAI

        client = AsyncOpenAI(api_key=KEY, base_url=base_url, max_retries=0)
        return lambda _: client.chat.completions.create(model=MODEL, messages=MESSAGES)  # type: ignore[arg-type,return-value]


class LiterLLM(Contender):
    """liter-llm: a client whose core is Rust. It has no synchronous call."""

    imports = "liter_llm"

    def asynchronous(self, base_url: str) -> Async:
        import liter_llm  # type: ignore[import-not-found]

        client = liter_llm.create_client(api_key=KEY, base_url=base_url, max_retries=0)
        return lambda _: liter_llm.chat(
            client, liter_llm.ChatCompletionRequest(model=f"openai/{MODEL}", messages=MESSAGES)
        )


class LiteLLM(Contender):
    imports = "litellm"

    def sync(self, base_url: str) -> Sync:
        import litellm  # type: ignore[import-not-found]

        return lambda _: litellm.completion(
            model=f"openai/{MODEL}", messages=MESSAGES, api_key=KEY, base_url=base_url, num_retries=0
        )

    def asynchronous(self, base_url: str) -> Async:
        import litellm

        return lambda _: litellm.acompletion(
            model=f"openai/{MODEL}", messages=MESSAGES, api_key=KEY, base_url=base_url, num_retries=0
        )


class LangChain(Contender):
    """langchain-openai, on the openai SDK."""

    imports = "langchain_openai"

    def _model(self, base_url: str) -> Any:
        from langchain_openai import ChatOpenAI  # type: ignore[import-not-found]

        return ChatOpenAI(model=MODEL, api_key=KEY, base_url=base_url, max_retries=0)

    def sync(self, base_url: str) -> Sync:
        model = self._model(base_url)
        return lambda _: model.invoke(MESSAGES)

    def asynchronous(self, base_url: str) -> Async:
        model = self._model(base_url)
        return lambda _: model.ainvoke(MESSAGES)

    def structured(self, base_url: str) -> Sync:
        model = self._model(base_url).with_structured_output(review(), method="json_schema")
        return lambda _: model.invoke(MESSAGES)


class AnyLLM(Contender):
    """any-llm, on the openai SDK, with one client for all calls."""

    imports = "any_llm"

    def _model(self, base_url: str) -> Any:
        from any_llm import AnyLLM as Client  # type: ignore[import-not-found]

        return Client.create("openai", api_key=KEY, api_base=base_url)

    def sync(self, base_url: str) -> Sync:
        model = self._model(base_url)
        return lambda _: model.completion(model=MODEL, messages=MESSAGES)

    def asynchronous(self, base_url: str) -> Async:
        model = self._model(base_url)
        return lambda _: model.acompletion(model=MODEL, messages=MESSAGES)


class Instructor(Contender):
    """instructor on the openai SDK, by the provider's own JSON schema."""

    imports = "instructor"

    def structured(self, base_url: str) -> Sync:
        import instructor
        from openai import OpenAI

        made = instructor.from_openai(
            OpenAI(api_key=KEY, base_url=base_url, max_retries=0), mode=instructor.Mode.JSON_SCHEMA
        )
        model = review()
        return lambda _: made.chat.completions.create(
            model=MODEL, messages=MESSAGES, response_model=model, max_retries=2
        )


CONTENDERS: dict[str, type[Contender]] = {
    "raw-socket": RawSocket,
    "pyreqwest": Pyreqwest,
    "llmcore": LLMCore,
    "llmcore-hit": LLMCoreHit,
    "llmcore.openai": DropIn,
    "openai": OpenAISDK,
    "liter-llm": LiterLLM,
    "litellm": LiteLLM,
    "langchain-openai": LangChain,
    "any-llm": AnyLLM,
    "instructor": Instructor,
}


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def _measured(run: Callable[[int], object], count: int, contender: Contender) -> dict[str, float]:
    run(max(count // 10, WIDTH))
    contender.settle()
    cpu, wall = _cpu(), time.perf_counter()
    run(count)
    wall = time.perf_counter() - wall
    contender.close()
    return {"cpu_us": (_cpu() - cpu) / count * 1e6, "per_second": count / wall, "rss_mb": _rss_mb()}


def structured(contender: Contender, count: int, base_url: str) -> dict[str, float]:
    """One after the other, each answer a value of a type."""
    call = contender.structured(base_url)
    assert call is not None
    assert getattr(call(0), "stars", None) == 4  # it is what it should be

    def run(n: int) -> None:
        for i in range(n):
            call(i)

    return _measured(run, count, contender)


def sequential(contender: Contender, count: int, base_url: str) -> dict[str, float]:
    """One call after the other."""
    call = contender.sync(base_url)
    if call is not None:

        def run(n: int) -> None:
            for i in range(n):
                call(i)

        return _measured(run, count, contender)
    with asyncio.Runner() as runner:

        async def opened() -> Async:
            coroutine = contender.asynchronous(base_url)
            assert coroutine is not None
            return coroutine

        coroutine = runner.run(opened())

        async def one_by_one(n: int) -> None:
            for i in range(n):
                await coroutine(i)

        return _measured(lambda n: runner.run(one_by_one(n)), count, contender)


def concurrent(contender: Contender, count: int, base_url: str) -> dict[str, float]:
    """64 at once: as tasks where the library is asynchronous, and as threads where it is not (or `threads` is asked
    for).
    """
    with asyncio.Runner() as runner:

        async def opened() -> Async | None:
            return contender.asynchronous(base_url)

        coroutine = None if os.environ.get("LLMCORE_BENCH_THREADS") else runner.run(opened())
        if coroutine is not None:
            found = coroutine

            async def tasks(n: int) -> None:
                numbers = iter(range(n))

                async def worker() -> None:
                    for i in numbers:
                        await found(i)

                await asyncio.gather(*(worker() for _ in range(WIDTH)))

            return _measured(lambda n: runner.run(tasks(n)), count, contender)
    call = contender.sync(base_url)
    assert call is not None
    with ThreadPoolExecutor(WIDTH) as pool:

        def threads(n: int) -> None:
            numbers = iter(range(n))

            def worker() -> None:
                for i in numbers:
                    call(i)

            for done in [pool.submit(worker) for _ in range(WIDTH)]:
                done.result()

        return _measured(threads, count, contender)


def importing(contender: Contender) -> dict[str, float]:
    """What the import alone costs."""
    before, start = _rss_mb(), time.perf_counter()
    __import__(contender.imports)
    return {
        "import_ms": (time.perf_counter() - start) * 1e3,
        "import_rss_mb": _rss_mb(),
        "added_mb": _rss_mb() - before,
    }


def main() -> None:
    name, mode, count, base_url = sys.argv[1:5]
    contender = CONTENDERS[name]()
    if mode == "import":
        result = importing(contender)
    else:
        measures = {"sequential": sequential, "concurrent": concurrent, "structured": structured}
        result = measures[mode](contender, int(count), base_url)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
