"""`refund-ledger token`: a token for the console and its API."""

import json
import re
import secrets

import click


@click.command(
    epilog="""\b
Examples:
  refund-ledger token --name ann
  refund-ledger token --name tv --role viewer""",
)
@click.option("--name", default="ops", show_default=True, help="Who it is for: the name in the audit trail.")
@click.option("--role", type=click.Choice(["viewer", "operator"]), default="operator", show_default=True)
def token(name: str, role: str) -> None:
    """Make a random token for the console and its API.

    It is shown once and stored nowhere. The configuration needs its hash only.
    """
    from config.settings import hash_of

    if not name.strip() or not name.isprintable():
        raise click.BadParameter("write a name that can be read in the audit trail", param_hint="--name")
    key = name if re.fullmatch("[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)  # as TOML quotes it
    made = secrets.token_urlsafe(32)
    click.echo(
        f"The token, for whoever signs in; it is not shown again:\n\n  {made}\n\n"
        f"For refund-ledger.toml, which has to know its hash only:\n\n"
        f'[api_tokens.{key}]\nrole = "{role}"\ntoken_hash = "{hash_of(made)}"'
    )
