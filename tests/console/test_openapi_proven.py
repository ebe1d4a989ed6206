"""The description of the API is proven against the console itself: schemathesis asks what it describes, and worse."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import schemathesis
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import positive_data_acceptance

from console.app import build
from storage.database import Database, open_database
from storage.journal import Journal
from tests.console.harness import TOKENS, at_desk, configured
from tests.ledger.build import LATER, order, refund

EXAMPLES = 12
"""Of each operation."""

MORE_THAN_A_FORM = {"since", "until", "cursor", "timezone", "link", "snooze"}
"""Parameters and actions whose values can be of the right form and yet be refused: a time before 1970, a cursor that
no page gave out, a time zone that is none, an order that there is not, a time that is past."""


@asynccontextmanager
async def answering(database_url: str, database: Database) -> AsyncIterator[str]:
    """The console on a port of its own; its address."""
    async with Journal(database) as journal:
        app = await build(configured(database_url), database, journal, lambda: LATER)
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False))
        with socket.create_server(("127.0.0.1", 0)) as door:
            serving = asyncio.create_task(server.serve([door]))
            try:
                yield f"http://127.0.0.1:{door.getsockname()[1]}"
            finally:
                server.should_exit = True
                await serving


async def test_every_operation_answers_as_described_whatever_it_is_asked(sqlite_url: str) -> None:
    async with open_database(sqlite_url, "cli") as database, at_desk(sqlite_url, database) as desk:
        await desk.tell(order("partially_refunded", 1500), refund("re_1", 1000), refund("re_2", payment_ids=()))
        ids = [entry["id"] for entry in (await desk.get("/api/v1/entries"))["entries"]]
        async with desk.followed(), answering(sqlite_url, database) as address:
            proven = await asyncio.to_thread(prove_all, address, ids)
    assert len(proven) == len(set(proven)) > 15


def prove_all(address: str, ids: list[str]) -> list[str]:
    """Ask every operation; which they were."""
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json", headers=authorization("ann"))
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    for operation in operations:
        prove(operation, ids)
    return [operation.label for operation in operations]


def prove(operation: APIOperation[Any, Any, Any, Any], ids: list[str]) -> None:
    """Ask it what is described and what is not; every answer has to be one that is described."""
    names = {parameter.name for parameter in operation.query} | {operation.path.rpartition("/")[2]}
    excluded: Any = [positive_data_acceptance] if names & MORE_THAN_A_FORM else []
    # Made-up names lead nowhere: often it is asked for what there is.
    there = st.sampled_from([{}, *({"id": id_, "source": "shop", "order_id": "1001"} for id_ in ids)])

    @settings(max_examples=EXAMPLES, derandomize=True, database=None)
    @given(case=operation.as_strategy(), known=there)
    def answers_as_described(case: Case[Any], known: dict[str, str]) -> None:
        case.path_parameters = {name: known.get(name, value) for name, value in (case.path_parameters or {}).items()}
        case.call_and_validate(headers=authorization("ann"), excluded_checks=excluded)
        if case.method == "POST":
            refused = case.call(headers=authorization("vic"))
            assert refused.status_code == 403
            case.validate_response(refused, excluded_checks=[positive_data_acceptance])

    answers_as_described()


def authorization(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[name]}"}
