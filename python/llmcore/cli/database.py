"""The database of the ledger: bring it up to date, look whether it is sound, forget what is old."""

from typing import Any

from llmcore.cli.output import as_csv, as_json, one_shape
from llmcore.cli.report import ledger_url
from llmcore.cli.text import show
from llmcore.errors import LLMConfigError

__all__ = ["run_check", "run_cleanup", "run_upgrade"]


def run_upgrade(database: str | None, *, json: bool, csv: bool) -> None:
    """Brings the tables up to date.

    :raises LLMError: the database cannot be used
    """
    one_shape(json=json, csv=csv)
    from llmcore.ledger import current_revision, upgrade

    url = ledger_url(database)
    before = current_revision(url)
    after = upgrade(url)
    _tell({"before": before, "after": after}, f"the ledger is at revision {after}, up to date", json=json, csv=csv)


def run_check(database: str | None, *, json: bool, csv: bool) -> int:
    """Looks at everything and says what is wrong; 1 if something is.

    :raises LLMError: the database cannot be read
    """
    one_shape(json=json, csv=csv)
    from llmcore.ledger.check import check

    found = check(ledger_url(database))
    sentences = [
        f"the ledger {found.location} is at revision {found.revision or '(none)'}",
        f"calls {found.calls:,}, pending {found.pending:,}, attempts {found.attempts:,}, texts {found.payloads:,}",
    ]
    sentences += found.problems or ["nothing is wrong with it"]
    _tell(found.to_dict(), "\n".join(sentences), json=json, csv=csv)
    return 1 if found.problems else 0


def run_cleanup(database: str | None, days: int, *, json: bool, csv: bool) -> None:
    """Removes old calls.

    :raises LLMError: there is no ledger, or it cannot be written
    """
    one_shape(json=json, csv=csv)
    from llmcore.ledger import current_revision
    from llmcore.ledger.repo import LLMCallRepository

    url = ledger_url(database)
    if current_revision(url) is None:
        raise LLMConfigError("there is no ledger to clean up; name it with --database")
    removed = LLMCallRepository.cleanup_old_logs_sync(url, days)
    what = "1 call" if removed == 1 else f"{removed:,} calls"
    _tell({"removed": removed, "days": days}, f"removed {what} older than {days:,} days", json=json, csv=csv)


def _tell(found: dict[str, Any], text: str, *, json: bool, csv: bool) -> None:
    show(as_json(found) if json else as_csv([found], tuple(found)) if csv else text)
