"""An index of the entries that are open. What for: storage/schema.py."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_COLUMNS = [
    *("status", "currency", "reason", "source", "store", "assigned_to", "snoozed_until"),
    *("opened_at", "at_stake", "id"),
]
_IS_OPEN = sa.text("status = 'unmatched' OR status = 'pending'")


def upgrade() -> None:
    """Make it."""
    op.create_index("entries_open", "entries", _COLUMNS, sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN)
