"""Polling: what is to be asked, and how far each list has been fetched. What for: storage/schema.py."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "questions",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("about", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
    )
    op.create_index("questions_due", "questions", ["source", "due_at"])
    op.create_index("questions_about", "questions", ["about", "source"])
    op.create_table(
        "checkpoints",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("feed", sa.Text, primary_key=True),
        sa.Column("reached", sa.BigInteger, nullable=False),
        sa.Column("moved_at", sa.BigInteger, nullable=False),
    )
