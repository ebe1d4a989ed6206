"""A database of its own for every house, and what the processes wrote for every failure."""

from collections.abc import AsyncIterator, Generator

import pytest
import pytest_asyncio

from tests.e2e.house import standing
from tests.postgres import create_database, drop_database


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def module_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """An empty database on each of the two, for all tests of a module."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('database')}/ledger.db"
        return
    server = request.getfixturevalue("postgres")
    url = await create_database(server)
    yield url
    await drop_database(server, url)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failure what the processes of the houses that are up have written."""
    report = yield
    if report.failed:
        report.sections += [("processes", built.output()) for built in standing]
    return report
