"""What the invented print shop does to the processes: sends its webhooks, waits, reads the ledger."""

import asyncio
import hmac
import time
from collections import Counter
from collections.abc import Iterable

import click
import httpx

from cli.demo.site import Site
from cli.demo.story import Delivery
from cli.opening import now
from ledger.entries import Entry
from storage.database import open_database
from storage.dead_letters import count_backlog
from storage.entries import EntryFilter, page
from storage.facts import count_due

AT_ONCE = 16
PAIRED_SECONDS = 60


async def send(site: Site, deliveries: Iterable[Delivery]) -> Counter[str]:
    """Send them, several at once; how they were answered: accepted, duplicate, refused. Raises ClickException."""
    waiting = iter(deliveries)
    answers: Counter[str] = Counter()

    async def sender(client: httpx.AsyncClient) -> None:
        for delivery in waiting:
            headers = _headers(site, delivery)
            answer = await client.post(f"/webhooks/{delivery.source}", content=delivery.body, headers=headers)
            if answer.status_code != (401 if delivery.forged else 200):
                raise click.ClickException(f"The listener answered {answer.status_code} to a webhook.")
            answers["refused" if delivery.forged else answer.json()["status"]] += 1

    async with httpx.AsyncClient(base_url=site.urls["listener"], trust_env=False, timeout=30) as client:
        await asyncio.gather(*(sender(client) for _ in range(AT_ONCE)))
    return answers


async def wait_until_paired(site: Site) -> None:
    """Until nothing is left to be interpreted or paired. Raises ClickException where that takes too long."""
    async with open_database(site.database_url, "cli") as database:
        deadline = time.monotonic() + PAIRED_SECONDS
        while time.monotonic() < deadline:
            async with database.read() as conn:
                if not await count_backlog(conn) + await count_due(conn, now()):
                    return
            await asyncio.sleep(0.05)
    raise click.ClickException("The sync process has not got through the webhooks in time.")


async def entries_of(site: Site) -> list[Entry]:
    """The ledger."""
    async with open_database(site.database_url, "cli") as database, database.read() as conn:
        found, _ = await page(conn, EntryFilter(), limit=1_000)
    return found


def _headers(site: Site, delivery: Delivery) -> dict[str, str]:
    """As the two systems prove themselves."""
    headers = {"content-type": "application/json"}
    if delivery.source == "shop":
        return {**headers, "authorization": f"Bearer {site.shop_token}"}
    secret = "whsec_of_somebody_else" if delivery.forged else site.stripe_secret
    timestamp = str(int(time.time()))
    signature = hmac.digest(secret.encode(), f"{timestamp}.".encode() + delivery.body, "sha256").hex()
    return {**headers, "stripe-signature": f"t={timestamp},v1={signature}"}
