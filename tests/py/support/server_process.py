"""The scripted server in a process of its own, for benchmarks and fork tests::

    with ServerProcess("enforce", per_second=50, burst=5) as server:
        ... server.base_url ... server.stats()["admitted"]

    python -m support.server_process enforce --per-second 50 --burst 5    # in tests/py; prints its port
    curl http://127.0.0.1:<port>/__stats

It serves until its standard input ends.
"""

import argparse
import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, Literal, Self

from support.answers import Answer, Enforcer, Handler, echo, streamed_chat
from support.server import ScriptedServer


class ServerProcess:
    """The same server in a process of its own: its work is not on our cores' bill and survives our forks."""

    def __init__(self, mode: Literal["chat", "echo", "enforce", "stream"] = "chat", **options: float | str) -> None:
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.server_process", mode, *arguments],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    @property
    def base_url(self) -> str:
        """What goes into OPENAI_BASE_URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def stats(self) -> dict[str, Any]:
        """The server's counters."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}/__stats", timeout=10) as response:
            found: dict[str, Any] = json.load(response)
        return found

    def stop(self) -> None:
        """Ends the process. Calling it again does nothing."""
        if self._process.poll() is None:
            self._process.communicate(timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def main() -> None:
    """Serves until stdin ends."""
    parser = argparse.ArgumentParser(description="A scripted provider on loopback.")
    parser.add_argument("mode", choices=["chat", "echo", "enforce", "stream"])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--per-second", type=float, default=10.0)
    parser.add_argument("--burst", type=float, default=1.0)
    parser.add_argument(
        "--text-bytes", type=float, default=600.0, help="length of the answer's text (600: a body of about 1 KB)"
    )
    parser.add_argument("--text", help="the answer's text itself")
    parser.add_argument("--chunks", type=float, default=1000.0, help="of a streamed answer")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    options = parser.parse_args()
    answer = Answer.chat(options.text or "x" * int(options.text_bytes), delay=options.delay)
    streamed = streamed_chat(int(options.chunks))
    handlers: dict[str, Handler] = {
        "stream": lambda request: streamed,
        "chat": lambda request: answer,
        "echo": echo,
        "enforce": Enforcer(options.per_second, options.burst, answer),
    }
    with ScriptedServer(handlers[options.mode], record=False, port=options.port) as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
