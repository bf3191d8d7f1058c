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


_Database = Annotated[
    str | None, typer.Option(metavar="URL|FILE", help="The ledger: a URL or an SQLite file; otherwise as configured.")
]
_Since = Annotated[
    str | None,
    typer.Option(metavar="WHEN", help="Only calls since then: 24h, 7d, 2026-11-20 or 2026-11-20T08:00 (UTC)."),
]
_Until = Annotated[str | None, typer.Option(metavar="WHEN", help="Only calls before then.")]
_Json = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
_Csv = Annotated[bool, typer.Option("--csv", help="Print it as CSV.")]
_Values = list[str] | None


@app.command()
def chat(
    provider: Annotated[str | None, typer.Option(help="Whom to ask; otherwise what is configured.")] = None,
    model: Annotated[str | None, typer.Option(help="The model to ask.")] = None,
    system: Annotated[str, typer.Option(metavar="TEXT", help="What the model is told before anything else.")] = "",
    memory: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="Messages that are kept.")] = 50,
    database: _Database = None,
) -> None:
    """Talk to a model: a line is a message, and its answer comes as it is written. Ends with Ctrl-D."""
    from llmcore.cli.chat import run_chat

    raise typer.Exit(run_chat(provider, model, system, memory, database))


@app.command()
def doctor(database: _Database = None, json: _Json = False) -> None:
    """Look whether everything is set up: settings, providers, keys, the ledger. Spends nothing.

    Exit codes: 0 all is well, 1 something is wrong.
    """
    from llmcore.cli.doctor import run_doctor

    raise typer.Exit(run_doctor(database, json=json))


@app.command()
def report(
    database: _Database = None, since: _Since = None, until: _Until = None, json: _Json = False, csv: _Csv = False
) -> None:
    """Add up the calls in the ledger."""
    from llmcore.cli.report import run_report

    run_report(database, since, until, json=json, csv=csv)


@app.command()
def calls(
    database: _Database = None,
    status: Annotated[_Values, typer.Option(help="How they ended: success, error, lost, ... May be repeated.")] = None,
    call_type: Annotated[_Values, typer.Option("--type", help="What they were for. May be repeated.")] = None,
    provider: Annotated[_Values, typer.Option(help="Who answered, or was tried last. May be repeated.")] = None,
    model: Annotated[_Values, typer.Option(help="The model that was asked. May be repeated.")] = None,
    user: Annotated[_Values, typer.Option(help="Whose they were. May be repeated.")] = None,
    company: Annotated[_Values, typer.Option(help="Whose company's they were. May be repeated.")] = None,
    tag: Annotated[_Values, typer.Option(help="That they have. Repeated: all of them.")] = None,
    where: Annotated[
        _Values, typer.Option(metavar="COLUMN=VALUE", help="Any other column of llm_calls. May be repeated.")
    ] = None,
    since: _Since = None,
    until: _Until = None,
    sort: Annotated[
        str, typer.Option(metavar="COLUMN", help="What to sort by; - puts the largest first.")
    ] = "-created_at",
    limit: Annotated[
        int | None,
        typer.Option(parser=_count, metavar="N", help="Calls to print, 10,000 at the most.", show_default="50"),
    ] = None,
    after: Annotated[str | None, typer.Option(metavar="ID", help="Go on behind this call, the last of a page.")] = None,
    json: _Json = False,
    csv: _Csv = False,
) -> None:
    """List calls of the ledger, the newest first."""
    from llmcore.cli.calls import Wanted, run_calls

    columns = {
        "status": status,
        "call_type": call_type,
        "provider": provider,
        "model": model,
        "user_id": user,
        "company_id": company,
    }
    wanted = Wanted(
        columns={name: values or [] for name, values in columns.items()},
        where=where or (),
        tags=tag or (),
        since=since,
        until=until,
        limit=50 if limit is None else limit,
        after=after,
        sort=sort,
    )
    run_calls(database, wanted, json=json, csv=csv)


@app.command()
def trace(
    trace_id: Annotated[str, typer.Argument(metavar="ID", help="Of the trace, or of a call in it.")],
    database: _Database = None,
    json: _Json = False,
    csv: _Csv = False,
) -> None:
    """Show the calls of one request of your application as a tree, with cost and latency of each."""
    from llmcore.cli.calls import run_trace

    run_trace(database, trace_id, json=json, csv=csv)


_database = typer.Typer(no_args_is_help=True, help="The database of the ledger.")
app.add_typer(_database, name="db")


@_database.command()
def upgrade(database: _Database = None, json: _Json = False, csv: _Csv = False) -> None:
    """Make its tables, or bring them up to date."""
    from llmcore.cli.database import run_upgrade

    run_upgrade(database, json=json, csv=csv)


@_database.command()
def check(database: _Database = None, json: _Json = False, csv: _Csv = False) -> None:
    """Look whether it is whole and up to date. Exit codes: 0 it is, 1 something is wrong, 2 it cannot be read."""
    from llmcore.cli.database import run_check

    raise typer.Exit(run_check(database, json=json, csv=csv))


@_database.command()
def cleanup(
    days: Annotated[int, typer.Option(min=0, max=36_500, metavar="N", help="Remove calls older than so many days.")],
    database: _Database = None,
    json: _Json = False,
    csv: _Csv = False,
) -> None:
    """Remove old calls, and with them their attempts, texts and sums."""
    from llmcore.cli.database import run_cleanup

    run_cleanup(database, days, json=json, csv=csv)


_ledger = typer.Typer(no_args_is_help=True, help="What is written into the ledger from elsewhere.")
app.add_typer(_ledger, name="ledger")


@_ledger.command("import")
def import_(
    spool: Annotated[Path, typer.Argument(metavar="SPOOL", help="Directory that a C++ client wrote its calls into.")],
    database: _Database = None,
    json: _Json = False,
    csv: _Csv = False,
) -> None:
    """Bring the calls of a game, or of another program without Python, into the ledger. May be repeated.

    Exit codes: 0 all are in, 1 some could not be imported, 2 there is no spool or no database.
    """
    from llmcore.cli.ledger import run_import

    raise typer.Exit(run_import(spool, database, json=json, csv=csv))
