"""Writes the recordings of a version into a folder; see README.md."""

import contextlib
import sys
from collections import deque
from pathlib import Path

from llmcore import LLMClient, LLMError, ReplayLogger, ReplayRng, Runtime, Settings
from llmcore.recording import Recording
from llmcore.transport import Transport, TransportError
from llmcore.types import HttpRequest, HttpResponse, Outcome

ANSWER = (
    b'{"id":"c-%d","object":"chat.completion","created":1767225600,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"%s"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}'
)
LIMITS = {
    "x-ratelimit-remaining-tokens": "60000",
    "x-ratelimit-limit-tokens": "90000",
    "x-ratelimit-reset-tokens": "20s",
}


class Script(Transport):
    """Answers from a list."""

    def __init__(self) -> None:
        super().__init__()
        self._answers = deque(
            (
                HttpResponse(200, LIMITS | {"x-request-id": "r-1"}, ANSWER % (1, b"Welcome, traveller.", 20, 5, 25)),
                HttpResponse(
                    429, {"retry-after-ms": "5"}, b'{"error":{"message":"slow down","type":"rate_limit_error"}}'
                ),
                HttpResponse(200, {}, ANSWER % (2, "Caf\u00e9 at noon.".encode(), 21, 4, 25)),
                HttpResponse(200, {}, ANSWER % (3, b"Once more.", 22, 3, 25)),
                TransportError(
                    Outcome.CONNECTION, "The connection to host.example:80 broke before the answer was complete."
                ),
                TransportError(Outcome.TIMEOUT, "host.example:80 gave no complete answer within 60 s."),
                HttpResponse(400, {}, b"\xff\xfe this is no JSON"),
                KeyboardInterrupt(),
            )
        )

    def send(self, request: HttpRequest, timeout: float) -> HttpResponse:
        answer = self._answers.popleft()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def asend(self, request: HttpRequest, timeout: float) -> HttpResponse:  # noqa: ASYNC109 - the interface
        return self.send(request, timeout)

    def close(self) -> None:
        self._closed = True

    async def aclose(self) -> None:
        self._closed = True


class StepClock:
    """A clock that moves on by a millisecond whenever it is looked at, so that the writer's pace changes nothing."""

    runs = True

    def __init__(self) -> None:
        self.mono = 0

    def now(self) -> tuple[int, int]:
        self.mono += 1_000_000
        return self.mono, 1_700_000_000_000_000_000 + self.mono


def write_run(folder: Path) -> None:
    clock = StepClock()
    settings = Settings(
        provider="openai",
        model="m",
        seed=42,
        ledger={"url": "none"},
        limits={"requests_per_minute": 600},
        budgets=[{"scope": "user=*", "period": "day", "limit_usd": 1}],
        prices={"openai/m": {"input": 3, "output": 15, "per_search": 0.01}},
        retry={"max_attempts": 2, "base_delay": 0.001},
        providers={"openai": {"api_key": "sk-none-of-yours-0123456789", "base_url": "http://host.example/v1"}},
    )
    with ReplayLogger(folder / "run") as log:
        runtime = Runtime(settings, transport=Script(), clock=clock, recorder=log)
        client = LLMClient(runtime=runtime)
        for text in ("greet", "where to", "again", "again", "lost", "garbled", "given up"):
            with contextlib.suppress(LLMError, KeyboardInterrupt):
                client.complete([{"role": "user", "content": text}], cache=text == "again", user_id="ada")
        runtime.close()
    states = [event["state"] for event in Recording(folder / "run") if event["kind"] == "input"]
    (folder / "run.states").write_text("\n".join(states) + "\n")


def write_game(folder: Path) -> None:
    with ReplayLogger(folder / "game") as log:
        rng = ReplayRng(7, log)
        gold = 0
        for tick in range(3):
            log.frame(tick)
            gold += rng.below("loot", 100) + rng.between("weather", -5, 5) + rng.next("noise") % 3
            log.snapshot(tick, "purse", b"\xff%d" % gold, keep=tick > 0)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    write_run(folder)
    write_game(folder)


if __name__ == "__main__":
    main()
