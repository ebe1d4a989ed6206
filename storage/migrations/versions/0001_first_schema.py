"""The first schema. What each table and index is for: storage/schema.py."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

RowId = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create everything."""
    _create_journal()
    _create_facts()
    _create_ledger()
    _create_rest()
    if op.get_bind().dialect.name == "postgresql":
        # Bodies are small and written at full speed: compressing them costs more than it saves.
        op.execute("ALTER TABLE journal ALTER COLUMN body SET STORAGE EXTERNAL")


def _create_journal() -> None:
    op.create_table(
        "journal",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("event_key", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("via", sa.Text, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("source", "event_key", name="journal_event"),
        sqlite_autoincrement=True,
    )
    op.create_index("journal_source", "journal", ["source", "id"])
    op.create_table("inbox", sa.Column("journal_id", RowId, primary_key=True, autoincrement=False))
    op.create_table(
        "dead_letters",
        sa.Column("journal_id", RowId, primary_key=True, autoincrement=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
    )


def _create_facts() -> None:
    op.create_table(
        "facts",
        sa.Column("id", RowId, primary_key=True, autoincrement=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "fact_refs",
        sa.Column("ref", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("fact_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "marks",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("ref", sa.BigInteger, nullable=False),
        sa.Column("journal_id", sa.BigInteger),
    )
    op.create_index("marks_due", "marks", ["due_at", "id"])


def _create_ledger() -> None:
    op.create_table(
        "entries",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("home", sa.BigInteger, nullable=False),
        sa.Column("store", sa.Text),
        sa.Column("order_id", sa.Text),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("at_stake", sa.BigInteger),
        sa.Column("verified", sa.Boolean, nullable=False),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("entries_home", "entries", ["home"])
    op.create_index("entries_opened", "entries", ["opened_at", "id"])
    op.create_index("entries_status", "entries", ["status", "opened_at", "id"])
    op.create_index("entries_order", "entries", ["order_id", "store"])
    op.create_index("entries_counted", "entries", ["status", "reason", "source", "verified"])
    op.create_table(
        "entry_history",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("entry_id", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("change", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("explanation", sa.Text, nullable=False),
        sa.Column("caused_by", sa.Text, nullable=False),
        sa.Column("actor", sa.Text),
        sa.Column("decision_id", sa.Text),
    )
    op.create_index("entry_history_entry", "entry_history", ["entry_id"])
    op.create_table(
        "entry_aliases",
        sa.Column("former_id", sa.Text, primary_key=True),
        sa.Column("entry_id", sa.Text, nullable=False),
    )
    op.create_index("entry_aliases_entry", "entry_aliases", ["entry_id"])


def _create_rest() -> None:
    op.create_table(
        "orders",
        sa.Column("ref", RowId, primary_key=True, autoincrement=False),
        sa.Column("store", sa.Text, nullable=False),
        sa.Column("order_id", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("placed_at", sa.BigInteger, nullable=False),
        sa.Column("payment_status", sa.Text),
        sa.Column("cancelled", sa.Boolean, nullable=False),
    )
    op.create_index("orders_total", "orders", ["currency", "total", "placed_at"])
    op.create_index("orders_placed", "orders", ["currency", "placed_at"])
    meta = op.create_table(
        "meta",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.bulk_insert(meta, [{"key": "created_at", "value": str(time.time_ns() // 1_000)}])
