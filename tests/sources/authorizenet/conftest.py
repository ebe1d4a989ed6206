"""A source, and the fake that it asks."""

from collections.abc import AsyncIterator, Iterator

import pytest

from sources import http_client
from sources.authorizenet import AuthorizeNet
from sources.authorizenet_api import AuthorizeNetPoller
from tests.fakes.authorizenet import FakeAuthorizeNet
from tests.fakes.faults import serving
from tests.sources.authorizenet.asking import T0, Door, Reader, source


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    opened = Door()
    with serving(opened) as opened.address:
        yield opened


@pytest.fixture
def fake(door: Door) -> FakeAuthorizeNet:
    made = FakeAuthorizeNet(T0)
    door.app = made.faults
    return made


@pytest.fixture
def anet(fake: FakeAuthorizeNet, door: Door, monkeypatch: pytest.MonkeyPatch) -> AuthorizeNet:
    """A source that asks the fake, by the fake's clock."""
    monkeypatch.setattr(http_client, "system_clock", lambda: fake.now)
    return source(door.address)


@pytest.fixture
async def poller(anet: AuthorizeNet) -> AsyncIterator[AuthorizeNetPoller]:
    made = anet.poller()
    yield made
    await made.close()


@pytest.fixture
def reader(anet: AuthorizeNet, poller: AuthorizeNetPoller) -> Reader:
    return Reader(anet, poller)
