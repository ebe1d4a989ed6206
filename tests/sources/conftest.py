"""What the tests of several sources need."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes.stripe import FakeStripe
from tests.sources.stripe_asked import ACCOUNT, NOW, Asked


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    fake = FakeStripe(NOW, accounts=(None, ACCOUNT))
    with fake.serving() as base:
        asked = Asked(fake, base)
        yield asked
        await asked.poller.close()
