"""The tables. Times are microseconds since 1970 (UTC), amounts ISO minor units, row ids rise with time.

There are no foreign keys: each row is written together with the row it belongs to, by one function, and a check would
cost a look-up for each row (on PostgreSQL also a lock written into the journal's row).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

# SQLite takes only a column of type INTEGER as the row's own id.
RowId = BigInteger().with_variant(Integer, "sqlite")


def storable(text: str) -> str:
    """The text without what PostgreSQL cannot hold: NUL and lone surrogates, which JSON from outside can carry."""
    return text if text.isascii() and "\0" not in text else _cleaned(text)


def _cleaned(text: str) -> str:
    return text.replace("\0", "?").encode("utf-8", "replace").decode()


class OutsideText(TypeDecorator[str]):
    """Text that may come from outside: made storable in values and in filters alike."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """What is sent to the database."""
        return None if value is None else storable(value)


metadata = MetaData()

journal = Table(
    "journal",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("source", Text, nullable=False),
    Column("event_key", Text, nullable=False),
    Column("type", OutsideText, nullable=False),
    Column("via", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("headers", Text, nullable=False),
    # On PostgreSQL it stands in the row as long as that fits a page: above 2 KB, as by default, it would cost rows in a
    # second table, and the listener a seventh more time for each event.
    Column("body", LargeBinary, nullable=False),
    # SHA-256 of the body that was here: set when the body is cut (see storage.retention), and empty before.
    Column("digest", LargeBinary),
    # Tells the second arrival of an event. The one index on random keys that every insert pays for.
    UniqueConstraint("source", "event_key", name="journal_event"),
    # The newest event of a source, however rare it is. Rises with time within a source, so it is cheap to add to.
    Index("journal_source", "source", "id"),
    # An id is never given twice, also when old rows have been purged: facts and history name it.
    sqlite_autoincrement=True,
)

inbox = Table(
    "inbox",
    metadata,
    Column("journal_id", RowId, primary_key=True, autoincrement=False),
)
"""The journal rows that have not been interpreted yet."""

facts = Table(
    "facts",
    metadata,
    # See storage.facts: the journal id and the fact's position in its event, so that no index on the event is needed.
    Column("id", RowId, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
)

refs = Table(
    "refs",
    metadata,
    Column("id", RowId, primary_key=True),
    # References of names that begin alike stand together here, others are all over it, and each new one dirties a page
    # of its own. Everything else about a reference is kept under its id: those that came together stand together.
    Column("ref", BigInteger, nullable=False, unique=True),
)
"""References that facts are found at. Only ever inserted."""

fact_refs = Table(
    "fact_refs",
    metadata,
    Column("ref_id", BigInteger, primary_key=True, autoincrement=False),
    Column("fact_id", BigInteger, primary_key=True, autoincrement=False),
    # The rows are the index: a second copy of them would double the cost of an insert.
    sqlite_with_rowid=False,
)

marks = Table(
    "marks",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("due_at", BigInteger, nullable=False),
    Column("ref", BigInteger, nullable=False),
    Column("journal_id", BigInteger),
    # Time-driven work is found here, in order of time, however many marks lie in the future.
    Index("marks_due", "due_at", "id"),
)
"""References whose component has to be paired: at once, or when time has passed. Only ever inserted and deleted, never
merged into one another, so that two workers cannot lose one."""

# With OR, as SQLite does not see that one status is IN a list.
_IS_OPEN = text("status = 'unmatched' OR status = 'pending'")

entries = Table(
    "entries",
    metadata,
    Column("id", OutsideText, primary_key=True),
    Column("home", BigInteger, nullable=False),
    Column("store", OutsideText),
    Column("order_id", OutsideText),
    Column("source", OutsideText, nullable=False),
    Column("status", OutsideText, nullable=False),
    Column("reason", OutsideText, nullable=False),
    Column("currency", Text, nullable=False),
    Column("at_stake", BigInteger),
    Column("verified", Boolean, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("snoozed_until", BigInteger),
    Column("assigned_to", OutsideText),
    # The time of its latest member: most entries are of other months than a report. NULL in rows written before it.
    Column("last_at", BigInteger),
    # The payment method that no source is configured for, where that is so.
    Column("unconfigured", OutsideText),
    # Those few are counted apart from the rest.
    Index(
        "entries_unconfigured",
        "unconfigured",
        sqlite_where=text("unconfigured IS NOT NULL"),
        postgresql_where=text("unconfigured IS NOT NULL"),
    ),
    # Pairing a component reads the entries filed under its references.
    Index("entries_home", "home"),
    # Pages of the ledger, unfiltered and by status: an index that ends in (opened_at, id) needs no sorting.
    Index("entries_opened", "opened_at", "id"),
    Index("entries_status", "status", "opened_at", "id"),
    # The entries of an order.
    Index("entries_order", "order_id", "store"),
    # The console's lists, and the sums of what is open: from this index alone, of the few entries that are open.
    Index(
        "entries_open",
        *("status", "currency", "reason", "source", "store", "assigned_to", "snoozed_until"),
        *("opened_at", "at_stake", "id"),
        sqlite_where=_IS_OPEN,
        postgresql_where=_IS_OPEN,
    ),
    # The gauges count the whole ledger from this index alone, in its order.
    Index("entries_counted", "status", "reason", "source", "verified"),
)
"""The ledger as it stands. `reason` is empty where there is none; `source` is the gateway, else the store."""

entry_history = Table(
    "entry_history",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("entry_id", OutsideText, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("change", Text, nullable=False),
    Column("status", OutsideText, nullable=False),
    Column("reason", OutsideText, nullable=False),
    Column("explanation", OutsideText, nullable=False),
    Column("caused_by", Text, nullable=False),
    Column("actor", OutsideText),
    Column("decision_id", OutsideText),
    # An entry's history.
    Index("entry_history_entry", "entry_id"),
)
"""Every change of every entry. Only ever appended to."""

entry_aliases = Table(
    "entry_aliases",
    metadata,
    Column("former_id", OutsideText, primary_key=True),
    Column("entry_id", OutsideText, nullable=False),
    # The history of an entry includes that under its former ids.
    Index("entry_aliases_entry", "entry_id"),
)

orders = Table(
    "orders",
    metadata,
    Column("ref", RowId, primary_key=True, autoincrement=False),
    Column("store", OutsideText, nullable=False),
    Column("order_id", OutsideText, nullable=False),
    Column("currency", Text, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("placed_at", BigInteger, nullable=False),
    Column("payment_status", Text),
    Column("cancelled", Boolean, nullable=False),
    # Suggestions: the orders of the same total, else those that are large enough, nearest in time to a refund.
    Index("orders_total", "currency", "total", "placed_at"),
    Index("orders_placed", "currency", "placed_at"),
)
"""Orders as last known, for suggestions only; what pairs is decided from the facts."""

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("journal_id", RowId, primary_key=True, autoincrement=False),
    Column("reason", OutsideText, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
)

questions = Table(
    "questions",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("source", Text, nullable=False),
    Column("about", OutsideText, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    # What is due to be asked of a source, oldest first.
    Index("questions_due", "source", "due_at"),
    # All questions about one thing, when one of them was answered.
    Index("questions_about", "about", "source"),
)
"""What sources are to be asked about, as "refund:re_1"; `since`: when it was first asked about. Only ever inserted and
deleted, like marks: two workers that want to know the same never wait for each other."""

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("source", Text, primary_key=True),
    Column("feed", Text, primary_key=True),
    Column("reached", BigInteger, nullable=False),
    Column("moved_at", BigInteger, nullable=False),
)
"""Up to when each list of each source has been fetched, and when that was written."""

customer_notices = Table(
    "customer_notices",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("source", Text, nullable=False),
    Column("refund_id", OutsideText, nullable=False),
    Column("state", Text, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    # One message for each refund, whoever comes to write it.
    UniqueConstraint("source", "refund_id", name="customer_notice"),
    # What is due to be sent, and what is in a state that somebody should look at.
    Index("customer_notices_due", "state", "due_at"),
)
"""Whom of the refunds' customers we have told, see storage/notices.py. No address: it is read when it is needed."""

outgoing_notices = Table(
    "outgoing_notices",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("receiver", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("body", OutsideText, nullable=False),
    # What is due to be told to a receiver.
    Index("outgoing_notices_due", "receiver", "due_at"),
)
"""What receivers have not been told yet of new, changed and cleared exceptions. Written with the history, deleted when
it was delivered."""

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""`created_at`: when the first migration ran. Anything else that a process has to remember, as where a poll stands."""
