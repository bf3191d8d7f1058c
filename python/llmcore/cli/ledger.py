"""What other programs wrote down: bring it into the ledger."""

from dataclasses import asdict
from pathlib import Path

from llmcore.cli.output import as_csv, as_json, one_shape
from llmcore.cli.report import ledger_url
from llmcore.cli.text import show

__all__ = ["run_import"]


def run_import(folder: Path, database: str | None, *, json: bool, csv: bool) -> int:
    """Imports a spool; 1 if something in it could not be imported.

    :raises LLMError: there is no spool, or the database cannot be used
    """
    one_shape(json=json, csv=csv)
    from llmcore.ledger.importing import import_spool

    found = import_spool(folder, ledger_url(database))
    if json or csv:
        row = asdict(found)
        show(as_json(row) if json else as_csv([row], tuple(row)))
    else:
        show(f"{found.calls:,} finished calls of {found.entries:,} entries are in the ledger")
        if found.running:
            show("the program that writes this spool still runs: import again when it has ended")
        for count, why in ((found.refused, "refused by the database"), (found.damaged, "damaged in the spool")):
            if count:
                show(f"{count:,} {why}")
    return 1 if found.refused or found.damaged else 0
