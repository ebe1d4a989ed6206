"""Until when an entry is put off, and whose it is, to be found by. What for: storage/schema.py."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_DECIDED = sa.text("SELECT id, body FROM entries WHERE body NOT LIKE '%\"decisions\":[]%'")
_TELL = sa.text("UPDATE entries SET snoozed_until = :snoozed_until, assigned_to = :assigned_to WHERE id = :id")


def upgrade() -> None:
    """Add the columns, and fill them for the entries that an operator decided something about."""
    op.add_column("entries", sa.Column("snoozed_until", sa.BigInteger))
    op.add_column("entries", sa.Column("assigned_to", sa.Text))
    decided = [(id_, json.loads(body)) for id_, body in op.get_bind().execute(_DECIDED)]
    rows = [{"id": i, "snoozed_until": e["snoozed_until"], "assigned_to": e["assigned_to"]} for i, e in decided]
    if rows:
        op.get_bind().execute(_TELL, rows)
