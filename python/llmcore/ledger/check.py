"""Whether a ledger is sound."""

from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, exc

from llmcore.errors import LedgerError
from llmcore.ledger.database import Database
from llmcore.ledger.revisions import HEAD

__all__ = ["Checked", "check"]


@dataclass(slots=True)
class Checked:
    """What was found.

    :ivar pending: calls that are under way, or whose process has not been found gone yet
    :ivar problems: each in one sentence
    """

    location: str
    revision: str | None
    calls: int = 0
    pending: int = 0
    attempts: int = 0
    payloads: int = 0
    problems: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)


def check(url: Any = None) -> Checked:
    """Looks whether a database is whole, up to date, and its sums are those of its calls. Changes nothing.

    :raises LedgerError: it cannot be read at all
    """
    database = Database(url)
    found = Checked(database.location, database.revision())
    if found.revision is None:
        found.problems.append(f"there is no ledger at {database.location} yet")
    elif found.revision != HEAD:
        found.problems.append(f"its tables are at revision {found.revision}, not {HEAD}: llmcore db upgrade")
    if found.problems:
        return found
    connection = database.connect_reading()
    try:
        _look(connection, found)
    except exc.SQLAlchemyError as error:
        raise database.explain(error) from error
    finally:
        connection.close()
    return found


def _look(connection: Connection, found: Checked) -> None:
    def number(query: str) -> int:
        return int(connection.exec_driver_sql(query).scalar() or 0)

    if connection.dialect.name == "sqlite":
        said = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA quick_check").fetchall()]
        if said != ["ok"]:
            raise LedgerError(
                f"the ledger {found.location} is damaged ({ascii(said[0])[:200]}): move the file away, or restore it"
            )
    found.calls = number("SELECT count(*) FROM llm_calls")
    found.pending = number("SELECT count(*) FROM llm_calls WHERE status = 'pending'")
    found.attempts = number("SELECT count(*) FROM llm_attempts")
    found.payloads = number("SELECT count(*) FROM llm_payloads")
    finished = found.calls - found.pending
    cost = number("SELECT sum(cost_nano_usd) FROM llm_calls WHERE status <> 'pending'")
    for scope in ("hour", "day"):
        summed = number(f"SELECT sum(calls) FROM llm_sums WHERE scope = '{scope}'")
        if summed != finished:
            found.problems.append(f"the sums by the {scope} count {summed:,} calls, and there are {finished:,}")
        summed = number(f"SELECT sum(cost_nano_usd) FROM llm_sums WHERE scope = '{scope}'")
        if summed != cost:
            found.problems.append(f"the sums by the {scope} come to {summed:,} nano-dollars, and the calls to {cost:,}")
