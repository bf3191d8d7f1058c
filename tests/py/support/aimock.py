"""aimock, a fake of OpenAI, Anthropic and others that people wrote who never saw this code: the npm package
@copilotkit/aimock, run by node on loopback. What it answers is in tests/data/aimock.

    with Aimock(program(folder), FIXTURES) as fake:     # fake.url: "http://127.0.0.1:<port>"
        fake.chaos(dropRate=0.1)                        # from now on
        ... fake.journal() ...                          # every request that it read, with what became of it
"""

import json
import os
import shutil
import subprocess
import threading
import urllib.request
from pathlib import Path
from typing import Any, Self

__all__ = ["FIXTURES", "Aimock", "Missing", "program"]

FIXTURES = Path(__file__).parents[2] / "data" / "aimock" / "fixtures.json"
_PACKAGE = "@copilotkit/aimock@>=1.43 <1.44"
_NODE = 20


class Missing(Exception):
    """It cannot be run here; the message says why."""


def program(cache: Path) -> list[str]:
    """How to start it, once it is installed below `cache`.

    :raises Missing: there is no node, no npm, or the package cannot be had
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Missing("aimock needs node and npm, which are not installed")
    version = subprocess.check_output([node, "--version"], text=True, timeout=30)
    if int(version.strip().removeprefix("v").partition(".")[0] or 0) < _NODE:
        raise Missing(f"aimock needs node {_NODE}, and this is {version.strip()}")
    home = cache / "1.43"
    command = [node, str(home / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js")]
    if Path(command[1]).exists():
        return command
    # Whole or not at all: other test runs may be doing the same.
    part = cache / f"part-{os.getpid()}"
    install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--prefix", str(part)]
    try:
        done = subprocess.run([*install, _PACKAGE], check=False, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise Missing(f"npm cannot install {_PACKAGE}: {done.stderr.strip()[-300:]}")
        if not home.exists():
            part.rename(home)
    except subprocess.TimeoutExpired:
        raise Missing(f"npm does not come to an end with {_PACKAGE}") from None
    except OSError:
        if not home.exists():
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return command


class Aimock:
    """A running one. What is asked of it for control is not in its journal."""

    def __init__(self, command: list[str], fixtures: Path) -> None:
        options = ["--port", "0", "--fixtures", str(fixtures), "--journal-max", "0", "--validate-on-load"]
        environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        self._process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        assert self._process.stdout is not None
        said = []
        self.url = ""
        for line in self._process.stdout:
            said.append(line)
            if "listening on" in line:
                self.url = line.split()[-1]
                break
        assert self.url, "".join(said)[-2000:]
        # It would stand still once the pipe is full.
        self._reader = threading.Thread(target=self._process.stdout.read, daemon=True)
        self._reader.start()
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait(10)
        self._reader.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def chaos(self, **rates: float) -> None:
        """From now on, in place of what was: dropRate (500), malformedRate (200 without JSON), rateLimitRate (429) and
        disconnectRate, each rolled where those before it did not fall, and latencyMs.
        """
        self._control("POST", "chaos", rates)

    def journal(self) -> list[dict[str, Any]]:
        """Every request to a model, in order: `body`, `headers` and `response`, which holds its `status` (0: none)."""
        found: list[dict[str, Any]] = self._control("GET", "journal")
        return found

    def reset(self) -> None:
        """Empties the journal and ends the chaos. How often a fixture was given goes on counting."""
        self._control("DELETE", "chaos")
        self._control("POST", "reset/journal", {})

    def _control(self, method: str, what: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with self._open(urllib.request.Request(f"{self.url}/__aimock/{what}", data, method=method), timeout=30) as said:
            return json.load(said)
