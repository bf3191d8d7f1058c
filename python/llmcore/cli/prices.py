"""What models cost, as the catalogue of prices knows it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmcore.cli.text import show
from llmcore.errors import LLMConfigError, UnknownModelError

if TYPE_CHECKING:
    from llmcore._core import PriceCard, Rates

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="What models cost.")

_RATES = (
    *("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning"),
    *("audio_input", "audio_cache_read", "audio_output", "image_input", "image_output"),
)
_PIECES = ("per_image", "per_request", "per_search")

_Named = Annotated[str, typer.Argument(metavar="[PROVIDER/]MODEL", help="Without a provider: as configured.")]
_At = Annotated[str | None, typer.Option("--at", metavar="DATE", help="Prices change: 2026-03-01; otherwise now.")]
_Json = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


@app.command("show")
def show_card(model: _Named, at: _At = None, json: _Json = False) -> None:
    """Show what a model costs, in US dollars per million tokens, and where that is from."""
    provider, name, card = _card(model, at)
    if json:
        import msgspec

        told = {"provider": provider, "model": name, "source": card.source, "usd_per_million_tokens": _told(card.base)}
        tiers = [{"above_input_tokens": start, **_told(rates)} for start, rates in card.tiers]
        show(msgspec.json.format(msgspec.json.encode({**told, "tiers": tiers}), indent=2).decode())
        return
    lines = [f"{provider}/{name}, {card.source}", *_lines(card.base)]
    for start, rates in card.tiers:
        lines += [f"above {start:,} tokens of prompt", *_lines(rates)]
    show("\n".join(lines))


@app.command()
def check(
    model: _Named,
    input_tokens: Annotated[int, typer.Option("--input", min=0, max=1 << 40, help="Tokens of the prompt.")] = 1000,
    output_tokens: Annotated[int, typer.Option("--output", min=0, max=1 << 40, help="Tokens generated.")] = 1000,
    at: _At = None,
    json: _Json = False,
) -> None:
    """Say what one call of a model would cost. Exit code 2: nobody knows."""
    from llmcore._core import Usage
    from llmcore.types import Money

    provider, name, card = _card(model, at)
    cost = Money(card.cost(Usage(input_tokens, output_text=output_tokens)))
    if json:
        import msgspec

        told: dict[str, Any] = {"provider": provider, "model": name, "nano_usd": cost.nano_usd, "source": card.source}
        show(msgspec.json.encode(told).decode())
        return
    show(f"{provider}/{name}: {input_tokens:,} tokens in and {output_tokens:,} out cost {cost} ({card.source})")


def _card(model: str, at: str | None) -> "tuple[str, str, PriceCard]":
    from llmcore.config import Settings
    from llmcore.hosts import HOSTS
    from llmcore.pricing import Catalogue

    settings = Settings()
    provider, separator, name = model.partition("/")
    if not separator or (provider not in HOSTS and f"{provider}/{name}" not in settings.prices):
        provider, name = settings.provider, model
    card = Catalogue(settings).card(provider, name, _seconds(at))
    if card is None:
        raise UnknownModelError(
            f'no price is known for model {name!r:.80} of {provider!r:.40}: set it as prices."{provider}/{name}" in '
            "llmcore.toml, or name another provider, as in openai/gpt-4o-mini",
            provider=provider,
            model=name,
        )
    return provider, name, card


def _seconds(at: str | None) -> int | None:
    if at is None:
        return None
    try:
        moment = datetime.fromisoformat(at.strip())
        return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise LLMConfigError(f"--at {at!r:.40} is no date; say it as in 2026-03-01 or 2026-03-01T08:00 (UTC)") from None


def _told(rates: "Rates") -> dict[str, str]:
    return {name: f"{Decimal(getattr(rates, name)).scaleb(-9):f}" for name in (*_RATES, *_PIECES)}


def _lines(rates: "Rates") -> Iterator[str]:
    for name, amount in _told(rates).items():
        if Decimal(amount):
            unit = "each" if name in _PIECES else "a million"
            yield f"  {name.replace('_', ' '):<18} ${amount} {unit}"


@app.command()
def reprice(
    since: Annotated[str, typer.Option(metavar="WHEN", help="Calls since then: 24h, 7d, 2026-11-20 (UTC).")],
    apply: Annotated[bool, typer.Option("--apply", help="Write it. Without, only say what would change.")] = False,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL|FILE", help="The ledger; otherwise as configured."),
    ] = None,
    json: _Json = False,
) -> None:
    """Compute the costs in the ledger again from today's catalogue. The old figures stay in the calls' metadata."""
    from llmcore.cli.report import ledger_url, moment
    from llmcore.config import Settings
    from llmcore.ledger.repricing import reprice as look
    from llmcore.pricing import Catalogue
    from llmcore.types import Money

    start = moment(since, datetime.now(UTC))
    found = look(ledger_url(database), start, Catalogue(Settings()).card, apply=apply)
    if json:
        import msgspec

        told = {"looked_at": found.looked_at, "changed": len(found.changes), "unknown": found.unknown}
        told |= {"before_nano_usd": found.before, "after_nano_usd": found.after, "applied": apply}
        show(msgspec.json.encode(told).decode())
        return
    what = "changed" if apply else "would change (--apply writes it)"
    show(
        f"looked at {found.looked_at:,} calls; {len(found.changes):,} {what}: from {Money(found.before)} to "
        f"{Money(found.after)}; the price of {found.unknown:,} is still unknown"
    )
