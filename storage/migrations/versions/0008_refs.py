"""References get ids of their own. What for: storage/schema.py."""

import sqlalchemy as sa
from alembic import op

from storage.schema import RowId

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """In the order in which their first facts came; what is found where stays."""
    op.create_table(
        "refs",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("ref", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("ref"),
    )
    op.execute("INSERT INTO refs (ref) SELECT ref FROM fact_refs GROUP BY ref ORDER BY min(fact_id), ref")
    op.rename_table("fact_refs", "former_fact_refs")
    op.create_table(
        "fact_refs",
        sa.Column("ref_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("fact_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO fact_refs SELECT refs.id, fact_id FROM refs JOIN former_fact_refs USING (ref) ORDER BY 1, 2"
    )
    op.drop_table("former_fact_refs")
