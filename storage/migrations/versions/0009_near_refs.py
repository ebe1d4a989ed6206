"""References whose names begin alike stand together. What for: ledger/facts.py, `reference`."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa
from alembic import op
from msgspec.structs import replace

from ledger.entries import decode_entry, encode_entry
from ledger.facts import Decision, DisputeFact, Fact, OrderFact, PaymentFact, RefundFact, decode, found_at, reference
from storage.schema import entries, fact_refs, facts, marks, orders, refs

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_PAGE = 1_000


def upgrade() -> None:
    """Make them anew from the facts, and put them in place of the former ones wherever these stand."""
    _empty_references()
    places: dict[int, int] = {}
    renamed: dict[int, int] = {}
    for page in _pages(facts.c.id, facts.c.body):
        told = [(id_, decode(body)) for id_, body in page]
        renamed |= {_former(*_name(fact)): reference(*_name(fact)) for _, fact in told}
        found = [(id_, dict.fromkeys(found_at(fact))) for id_, fact in told]
        new = [ref for ref in dict.fromkeys(ref for _, own in found for ref in own) if ref not in places]
        places |= {ref: number for number, ref in enumerate(new, start=len(places) + 1)}
        _run(sa.insert(refs), ({"id": places[ref], "ref": ref} for ref in new))
        _run(sa.insert(fact_refs), ({"ref_id": places[ref], "fact_id": id_} for id_, own in found for ref in own))
    if _on_postgresql():
        op.execute(f"SELECT setval(pg_get_serial_sequence('refs', 'id'), {len(places) + 1}, false)")
    _rename(marks.c.id, marks.c.ref, lambda ref: {"ref": renamed.get(ref, ref)})
    _rename(entries.c.id, entries.c.body, lambda body: _at_home(body, renamed))
    _rename_orders()


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _empty_references() -> None:
    """At once, however many there are: SQLite does that by itself where there is no condition."""
    for table in (fact_refs, refs):
        op.execute(f"TRUNCATE {table.name}" if _on_postgresql() else sa.delete(table))


def _former(kind: str, *names: str) -> int:
    told = "\0".join((kind, *names)).encode(errors="surrogatepass")
    return int.from_bytes(blake2b(told, digest_size=8).digest(), signed=True)


def _name(fact: Fact) -> tuple[str, ...]:
    """What the fact's own reference, the first of those that it is found at, is made of."""
    match fact:
        case PaymentFact():
            return ("payment", fact.ids[0])
        case RefundFact():
            return ("refund", fact.source, fact.id)
        case DisputeFact():
            return ("refund", fact.source, fact.dispute_id)
        case OrderFact():
            return ("order", fact.store, fact.order_id)
        case Decision():
            kind, *names = fact.anchor
            return ("refund", *names) if kind == "refund" else ("order", *names[:2])


def _at_home(body: str, renamed: dict[int, int]) -> dict[str, object]:
    entry = decode_entry(body)
    home = renamed.get(entry.home, entry.home)
    return {"home": home, "body": encode_entry(replace(entry, home=home))}


def _rename(key: sa.Column[Any], column: sa.Column[Any], change: Callable[[Any], dict[str, object]]) -> None:
    update = sa.update(key.table).where(key == sa.bindparam("row"))
    for page in _pages(key, column):
        changed = [(row, change(value)) for row, value in page]
        _run(update.values({name: sa.bindparam(name) for name in changed[0][1]}), ({"row": r, **c} for r, c in changed))


def _rename_orders() -> None:
    found = op.get_bind().execute(sa.select(orders)).mappings().all()
    op.execute(sa.delete(orders))
    _run(sa.insert(orders), ({**row, "ref": reference("order", row["store"], row["order_id"])} for row in found))


def _pages(key: sa.Column[Any], value: sa.Column[Any]) -> Iterator[list[tuple[Any, Any]]]:
    """All rows in order of the key."""
    query = sa.select(key, value).order_by(key).limit(_PAGE)
    page = [tuple(row) for row in op.get_bind().execute(query)]
    while page:
        yield page
        page = [tuple(row) for row in op.get_bind().execute(query.where(key > page[-1][0]))]


def _run(statement: sa.Executable, rows: Iterable[dict[str, Any]]) -> None:
    if listed := list(rows):
        op.get_bind().execute(statement, listed)
