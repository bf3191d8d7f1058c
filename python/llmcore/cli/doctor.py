"""Whether everything is set up."""

import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from llmcore import __version__
from llmcore.cli.output import as_json
from llmcore.cli.text import show
from llmcore.config import Settings
from llmcore.errors import LLMError
from llmcore.ledger.check import check
from llmcore.providers.registry import create_provider
from llmcore.transport import TransportError, create_transport

if TYPE_CHECKING:
    from llmcore.providers.base import LLMProvider

__all__ = ["run_doctor"]

_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: Literal["ok", "wrong", "unknown"]
    told: str


def run_doctor(database: str | None, *, json: bool) -> int:
    """Prints what it finds; the exit code: 1 if something is wrong."""
    found = list(_findings(database))
    if json:
        show(as_json([asdict(finding) for finding in found]))
    else:
        width = max(len(finding.what) for finding in found)
        show("\n".join(f"{finding.state:8}{finding.what:{width}}  {finding.told}" for finding in found))
    return 1 if any(finding.state == "wrong" for finding in found) else 0


def _findings(database: str | None) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("llmcore", "ok", f"{__version__} on Python {version}, {platform.system()} {platform.machine()}")
    try:
        settings = Settings()
    except LLMError as error:
        yield Finding("settings", "wrong", error.message)
        return
    limits = len(settings.budgets)
    yield Finding("settings", "ok", f"provider {settings.provider}, {limits} budget{'s' if limits != 1 else ''}")
    for name in dict.fromkeys([settings.provider, *sorted(settings.providers)]):
        yield _provider(name, settings)
    yield _ledger(database or settings.ledger.url)


def _provider(name: str, settings: Settings) -> Finding:
    what = f"provider {name}"
    try:
        provider = create_provider(name, settings)
        return Finding(what, *_reached(provider))
    except LLMError as error:
        return Finding(what, "wrong", error.message)


def _reached(provider: "LLMProvider") -> tuple[Literal["ok", "wrong", "unknown"], str]:
    if provider.local:
        return "ok", "answers inside the process"
    request = provider.probe()
    if request is None:
        return "unknown", f"{provider!r} has nothing that can be asked for free"
    transport = create_transport()
    try:
        answer = transport.send(request, _PATIENCE_SECONDS)
    except TransportError as error:
        return "wrong", str(error)
    finally:
        transport.close()
    if answer.status in (401, 403):
        return "wrong", f"{provider!r} is there and refuses the key (HTTP {answer.status})"
    if answer.status == 503:
        return "wrong", f"{provider!r} is there and not ready yet (HTTP 503)"
    if answer.status >= 500:
        return "wrong", f"{provider!r} is there and has trouble of its own (HTTP {answer.status})"
    return "ok", f"{provider!r} is there{'' if answer.status < 400 else f' (HTTP {answer.status})'}"


def _ledger(url: str | None) -> Finding:
    if url == "none":
        return Finding("ledger", "ok", "none is kept")
    try:
        found = check(url)
    except LLMError as error:
        return Finding("ledger", "wrong", error.message)
    if found.revision is None:
        return Finding("ledger", "ok", f"{found.location} is made with the first call")
    if found.problems:
        return Finding("ledger", "wrong", f"{found.location}: {found.problems[0]}")
    return Finding("ledger", "ok", f"{found.location}, {found.calls:,} calls, {found.pending:,} of them under way")
