"""How many searches of the web a provider ran in an attempt: it sells them by the piece."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "llm_attempts",
        sa.Column(
            "web_searches",
            sa.BigInteger(),
            sa.CheckConstraint("web_searches >= 0", name="ck_llm_attempts_web_searches"),
            nullable=False,
            server_default="0",
        ),
    )


def downgrade() -> None:
    op.drop_column("llm_attempts", "web_searches")  # and its constraint with it
