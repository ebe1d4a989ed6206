"""`refund-ledger init`: a configuration to start from."""

import os
import secrets
import shlex
from pathlib import Path

import click

from cli.opening import as_typed

_TEMPLATE = """\
# Refund Ledger. Every value can also come from the environment, as REFUND_LEDGER_GRACE_PERIOD or
# REFUND_LEDGER_SOURCES__SHOP__WEBHOOK_TOKEN (lists and tables as JSON; a table is laid over the one here, key by key),
# and every secret from a file: webhook_token_file = "/path".
# `refund-ledger check` says whether all of it is in order; docs/configuration.md lists every key.

# SQLite needs no server. When one machine is not enough: "postgresql://user@host/database"
database_url = "sqlite:///data/refund-ledger.db"

# How long one side of a refund may wait for the other before it counts as unmatched; also possible per source.
grace_period = "24h"
# How long a gateway may take to finish a refund.
pending_limit = "7d"
# What is older opens no entry. Default: 90 days before the database was created.
# ledger_start = "2026-09-01T00:00:00Z"

# In which time zone a month of the finance report begins and ends.
# report_timezone = "Europe/London"

public_bind = "0.0.0.0:8080"       # listener: webhooks. Put a proxy in front of it that speaks TLS
sync_bind = "127.0.0.1:8081"       # sync: metrics and health
console_bind = "127.0.0.1:8082"    # console: web pages and API

# Who may use the console and its API. Roles: viewer, operator. `refund-ledger token` makes more of them, of which
# only a hash stands here.
[api_tokens.ops]
role = "operator"
token = "{api_token}"

# How long the bodies of events are kept, which hold personal data too. Default: for ever. See docs/retention.md.
# [retention]
# cut_bodies_after = "400d"
# delete_events_after = "800d"

# A gateway. Its name is its path: https://your.host/webhooks/stripe
[sources.stripe]
kind = "stripe"
# Replace this random text by the signing secret that Stripe shows for your webhook endpoint; until then every
# delivery is refused. Two while you rotate. Events to subscribe to: `refund-ledger check` lists them.
webhook_secrets = ["whsec_{stripe_secret}"]
livemode = true                    # events of the other mode are ignored
order_keys = ["order_id", "order_number"]   # keys of the metadata that hold the order's number

# A storefront: https://your.host/webhooks/shop
[sources.shop]
kind = "infigo"
# Give this to Infigo: as "Authorization: Bearer ...", as password of HTTP Basic, or as X-Webhook-Token.
webhook_token = "{infigo_token}"
# Which gateway an order's payment method is. Without it only the form of the payment's id tells.
# payment_methods = {{ "Payments.Stripe" = "stripe" }}
# Payment methods that are never a gateway: a cancelled order on account has nothing to give back.
# offline_methods = ["Payments.PurchaseOrder"]
"""


@click.command(
    epilog="""\b
Examples:
  refund-ledger init
  refund-ledger --config /etc/refund-ledger.toml init""",
)
@click.option("--if-missing", is_flag=True, help="Do nothing, with status 0, where the file is there already.")
@click.pass_obj
def init(path: Path | None, *, if_missing: bool) -> None:
    """Write a commented configuration with fresh random secrets.

    It never overwrites a file. Only you can read the new one.
    """
    file = path or Path(os.environ.get("REFUND_LEDGER_CONFIG") or "refund-ledger.toml")
    if not _written(file):
        if not if_missing:
            raise click.ClickException(f"{file} is there already, and stays as it is; move it away for a new one.")
        return
    named = f" --config {shlex.quote(str(file))}" if path else ""
    click.echo(
        f"Wrote {file} with fresh random secrets; only you can read it.\n"
        "Next:\n"
        "  1. In Stripe, add a webhook endpoint for https://your.host/webhooks/stripe, and put its signing secret\n"
        "     into webhook_secrets.\n"
        "  2. Have Infigo send order changes to https://your.host/webhooks/shop with webhook_token.\n"
        f"  3. {as_typed()}{named} check\n"
        "  4. Once it runs, open http://127.0.0.1:8082 in a browser, and sign in with the token of [api_tokens.ops].\n"
        "docs/sources/ shows each of these step by step."
    )


def _written(file: Path) -> bool:
    """Write the configuration; False where the file exists."""
    text = _TEMPLATE.format(
        api_token=secrets.token_urlsafe(32),
        stripe_secret=secrets.token_urlsafe(32),
        infigo_token=secrets.token_urlsafe(32),
    )
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)
    return True
