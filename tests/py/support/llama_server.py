"""A real model server on loopback: llama.cpp's, from the package xllamacpp, in a process that can be killed.

with LlamaServer(model, folder) as server:
    server.url                                         # "http://127.0.0.1:<port>"
    server.kill()                                      # as the kernel does when memory runs out
    server.start()                                     # again, at the same address

python -m support.llama_server '{"model": ...}'        # in tests/py; serves until its standard input ends
"""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from importlib import import_module
from pathlib import Path
from typing import Any, Self

__all__ = ["LlamaServer"]

_PATIENCE = 60.0


class LlamaServer:
    """One server, at one port for as long as this object lives.

    :param model: its weights
    :param folder: where its log goes
    :param context: tokens of a prompt and its answer together, for each call
    :param slots: calls at a time
    :param embeddings: gives vectors in place of answers
    :param penalty: what is taken off the logits of tokens that are among the last 256
    """

    def __init__(
        self,
        model: Path,
        folder: Path,
        *,
        context: int = 1024,
        slots: int = 1,
        embeddings: bool = False,
        penalty: float = 0,
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / f"server-{self.port}.log"
        self._asked = json.dumps(
            {
                "model": str(model),
                "port": self.port,
                "context": context,
                "slots": slots,
                "embeddings": embeddings,
                "penalty": penalty,
            }
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        """Starts it, where it does not run; comes back when it is well."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "support.llama_server", self._asked],
                cwd=Path(__file__).parents[1],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + _PATIENCE
        while wait and not self.is_well():
            assert self._process.poll() is None, self._log.read_text(errors="replace")[-2000:]
            assert time.monotonic() < end, "the server does not get well"
            time.sleep(0.02)

    def is_well(self) -> bool:
        """Whether it says so."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def slots_in_use(self) -> int:
        """How many calls it is answering."""
        with urllib.request.urlopen(f"{self.url}/slots", timeout=5) as answer:
            return sum(slot["is_processing"] for slot in json.load(answer))

    def kill(self) -> None:
        """Ends it at once, without a word to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def freeze(self) -> None:
        """Stops it where it stands: it holds its connections and says nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()


def _serve(asked: dict[str, Any]) -> None:
    xllamacpp: Any = import_module("xllamacpp")
    params: Any = xllamacpp.CommonParams()
    params.model.path = asked["model"]
    params.model_alias = {"tiny"}
    params.hostnames = ["127.0.0.1"]
    params.port = asked["port"]
    params.n_ctx = asked["context"] * asked["slots"]
    params.n_parallel = asked["slots"]
    if asked["embeddings"]:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.sampling.penalty_present = asked["penalty"]
    params.sampling.penalty_last_n = 256
    params.warmup = False
    params.use_jinja = True
    params.cpuparams.n_threads = 1
    server = xllamacpp.Server(params)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]))
