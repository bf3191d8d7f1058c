"""Run by Alembic, on the connection and in the transaction that :func:`llmcore.ledger.revisions.move` prepared."""

from alembic import context

from llmcore.ledger.revisions import VERSION_TABLE

# SQLite has transactional DDL, though Alembic assumes it has not because Python's driver once committed before each
# statement.
context.configure(
    connection=context.config.attributes["connection"], version_table=VERSION_TABLE, transactional_ddl=True
)
with context.begin_transaction():
    context.run_migrations()
