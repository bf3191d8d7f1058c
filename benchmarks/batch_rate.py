"""`llmcore batch` as a whole, process start to exit: against a server that enforces a rate, and against one without.

    python benchmarks/batch_rate.py [--requests 2000] [--cookbook PATH/TO/api_request_parallel_processor.py]

1. A server that admits 200 requests a second and answers 429 beyond: how much of that rate is used, and how many 429s
   it takes.
2. A server that answers at once: wall time beside the `openai` SDK with a semaphore of 64, and beside OpenAI's
   cookbook script where a copy of it is given (it needs aiohttp and tiktoken, and a network for tiktoken's tables).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "py"))
from support.server_process import ServerProcess  # noqa: E402 - the tests' server, on the path only now

RATE = 200
MODEL = "gpt-4o-mini"

SEMAPHORE = """
import asyncio, json, sys
from openai import AsyncOpenAI

async def main(source, out, base_url):
    client = AsyncOpenAI(api_key="sk-benchmark", base_url=base_url)
    gate = asyncio.Semaphore(64)
    with open(out, "w") as results:
        async def one(line):
            async with gate:
                answer = await client.chat.completions.create(**json.loads(line)["body"])
                results.write(answer.model_dump_json() + "\\n")
        await asyncio.gather(*(one(line) for line in open(source)))

asyncio.run(main(*sys.argv[1:]))
"""


def requests_file(folder: Path, count: int) -> Path:
    """A batch of `count` different requests."""
    path = folder / "requests.jsonl"
    with path.open("w") as out:
        for i in range(count):
            body = {
                "model": MODEL,
                "max_tokens": 50,
                "messages": [{"role": "user", "content": f"Line {i} for the innkeeper, please."}],
            }
            line = {"custom_id": f"r{i}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            out.write(json.dumps(line) + "\n")
    return path


def timed(command: list[str], base_url: str, folder: Path) -> float:
    """Seconds from start to exit."""
    environment = os.environ | {
        "OPENAI_API_KEY": "sk-benchmark",
        "OPENAI_BASE_URL": base_url,
        "LLMCORE_DATABASE_URL": f"sqlite:///{folder}/ledger.db",
    }
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:3])} ... failed with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return seconds


def llmcore_batch(source: Path, out: Path, *options: str) -> list[str]:
    """The command, with this interpreter's llmcore. Without the cache, which no request here could use."""
    command = [sys.executable, "-m", "llmcore.cli", "batch", str(source), "-o", str(out), "--provider", "openai"]
    return [*command, "--no-cache", *options]


def enforced(count: int) -> None:
    """Part 1."""
    with tempfile.TemporaryDirectory() as name, ServerProcess("enforce", per_second=RATE, burst=RATE) as server:
        folder = Path(name)
        source, out = requests_file(folder, count), folder / "answers.jsonl"
        seconds = timed(llmcore_batch(source, out, "--rpm", str(RATE * 60)), server.base_url, folder)
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        failed = sum(line["error"] is not None for line in lines)
        stats = server.stats()
        share = count / seconds / RATE
        print(f"{count} requests, {RATE}/s enforced: {seconds:.2f} s, {share:.1%} of the rate (process start included)")
        print(f"  429s: {stats['refused']}, lines: {len(lines)}, failed: {failed}")


def free(count: int, cookbook: Path | None) -> None:
    """Part 2."""
    with tempfile.TemporaryDirectory() as name, ServerProcess("chat") as server:
        folder = Path(name)
        source = requests_file(folder, count)
        rows = {"llmcore batch": timed(llmcore_batch(source, folder / "a.jsonl"), server.base_url, folder)}
        script = folder / "semaphore.py"
        script.write_text(SEMAPHORE)
        command = [sys.executable, str(script), str(source), str(folder / "b.jsonl"), server.base_url]
        rows["openai + semaphore of 64"] = timed(command, server.base_url, folder)
        if cookbook is not None:
            bare = folder / "bodies.jsonl"
            bodies = (json.dumps(json.loads(line)["body"]) for line in source.read_text().splitlines())
            bare.write_text("\n".join(bodies) + "\n")
            command = [sys.executable, str(cookbook), "--requests_filepath", str(bare), "--save_filepath"]
            command += [str(folder / "c.jsonl"), "--request_url", server.base_url + "/chat/completions"]
            command += [
                "--max_requests_per_minute",
                "1000000000",
                "--max_tokens_per_minute",
                "1000000000000",
                "--max_attempts",
                "5",
            ]
            rows["cookbook script"] = timed([*command, "--logging_level", "50"], server.base_url, folder)
        print(f"\n{count} requests, nothing enforced")
        for label, seconds in rows.items():
            print(f"  {label:<28}{seconds:>8.2f} s{seconds / rows['llmcore batch']:>8.2f} x llmcore")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--cookbook", type=Path, help="a copy of OpenAI's api_request_parallel_processor.py")
    options = parser.parse_args()
    enforced(options.requests)
    free(options.requests, options.cookbook)


if __name__ == "__main__":
    main()
