"""The time of an entry's latest member. What for: storage/schema.py."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; it is filled as entries are written."""
    op.add_column("entries", sa.Column("last_at", sa.BigInteger))
