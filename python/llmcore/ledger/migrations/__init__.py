"""Alembic migrations of the ledger; :mod:`llmcore.ledger.revisions` runs them."""
