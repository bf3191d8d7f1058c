"""The commands and their options."""

from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from llmcore.cli.prices import app as prices_app
from llmcore.cli.replay import app as replay_app
from llmcore.types import Priority

__all__ = ["app"]

app = typer.Typer(
    name="llmcore",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="The layer between a program and every language model it calls.",
)
app.add_typer(prices_app, name="prices")
app.add_typer(replay_app, name="replay")


def _version(wanted: bool) -> None:
    if wanted:
        from llmcore import __version__

        typer.echo(f"llmcore {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def _count(text: str) -> int:
    digits = text.replace(",", "").replace("_", "")
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits[:20]) <= 1_000_000_000):
        raise typer.BadParameter(f"must be a whole number from 1 to 1,000,000,000, not {text!r}")
    return int(digits)


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not (amount.is_finite() and 0 < amount <= 9_000_000_000 and amount.scaleb(9) % 1 == 0):
        raise typer.BadParameter(f"must be an amount in US dollars above 0, such as 2.50, not {text!r}")
    return amount


class _PriorityName(StrEnum):
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@app.command()
def batch(
    source: Annotated[
        str, typer.Argument(metavar="IN.jsonl", help="Requests in the OpenAI Batch API format; - reads standard input.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="OUT.jsonl", help="Results, in completion order. Taken up if it exists."
        ),
    ] = None,
    provider: Annotated[str | None, typer.Option(help="Whom to ask; otherwise what is configured.")] = None,
    model: Annotated[str | None, typer.Option(help="The model to ask, whatever the lines say.")] = None,
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the provider's API is, e.g. http://127.0.0.1:8080/v1.")
    ] = None,
    fallback: Annotated[
        list[str] | None,
        typer.Option(metavar="PROVIDER[/MODEL]", help="Whom to ask when the provider cannot answer. May be repeated."),
    ] = None,
    max_in_flight: Annotated[
        int | None, typer.Option(parser=_count, metavar="N", help="Calls under way at once.", show_default="64")
    ] = None,
    rpm: Annotated[
        int | None, typer.Option(parser=_count, metavar="N", help="Requests a minute.", show_default="no limit")
    ] = None,
    tpm: Annotated[
        int | None, typer.Option(parser=_count, metavar="N", help="Tokens a minute.", show_default="no limit")
    ] = None,
    budget: Annotated[
        Decimal | None,
        typer.Option(parser=_amount, metavar="USD", help="Most that this run may spend.", show_default="no limit"),
    ] = None,
    priority: Annotated[_PriorityName, typer.Option(help="Of the lines that name none.")] = _PriorityName.MEDIUM,
    cache: Annotated[
        bool | None,
        typer.Option("--cache/--no-cache", help="Whether equal requests are asked once.", show_default="cache"),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL|FILE", help='The ledger: a URL, an SQLite file, or "none"; otherwise as configured.'),
    ] = None,
    failed: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Results with an error go here instead of into OUT.jsonl.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count, and estimate tokens and cost. Makes no call, writes nothing.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Make every request of a file and write the results.

    Run the same command again to go on after an interruption: only what is missing is run. Exit codes: 0 all went well,
    1 some failed, 2 wrong usage or configuration, 130 interrupted.
    """
    from llmcore.cli.batch.command import run_batch
    from llmcore.cli.batch.options import Options

    options = Options(
        source=source,
        output=output,
        provider=provider,
        model=model,
        base_url=base_url,
        fallbacks=tuple(fallback or ()),
        max_in_flight=max_in_flight,
        requests_per_minute=rpm,
        tokens_per_minute=tpm,
        budget=budget,
        priority=Priority[priority.name],
        cache=cache,
        database=database,
        failed=failed,
        dry_run=dry_run,
        json=json,
    )
    raise typer.Exit(run_batch(options))


@app.command()
def report(
    database: Annotated[
        str | None,
        typer.Option(metavar="URL|FILE", help="The ledger: a URL or an SQLite file; otherwise as configured."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Only calls since then: 24h, 7d, 2026-11-20 or 2026-11-20T08:00 (UTC)."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Add up the calls in the ledger."""
    from llmcore.cli.report import run_report

    run_report(database, since, json)
