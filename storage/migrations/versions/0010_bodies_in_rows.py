"""On PostgreSQL bodies stand in the rows of the journal. What for: storage/schema.py."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From now on; those that are there stay where they are."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE journal SET (toast_tuple_target = 8160)")
