"""A database of its own for every house, and what the processes wrote for every failure."""

from collections.abc import AsyncIterator, Generator

import pytest
import pytest_asyncio

from tests.e2e.house import House, house, standing
from tests.postgres import create_database, drop_database


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A whole house on each of the two databases, for tests that speak of orders of their own."""
    folder = tmp_path_factory.mktemp("house")
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    url = await create_database(server) if server else f"sqlite:///{folder}/ledger.db"
    async with house(folder, url) as built:
        yield built
    if server:
        await drop_database(server, url)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the processes of the houses that are up have written."""
    report = yield
    if report.failed:
        report.sections += [("processes", built.output()) for built in standing]
    return report
