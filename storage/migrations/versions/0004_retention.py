"""What is left of a cut event; recorded refunds that nobody can judge. What for: storage/schema.py."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; no row is rewritten."""
    op.add_column("journal", sa.Column("digest", sa.LargeBinary))
    op.add_column("entries", sa.Column("unconfigured", sa.Text))
    told = sa.text("unconfigured IS NOT NULL")
    op.create_index("entries_unconfigured", "entries", ["unconfigured"], sqlite_where=told, postgresql_where=told)
