"""`refund-ledger token`: a token for the console and its API."""

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
    from config.problems import dotted
    from config.settings import hash_of

    made = secrets.token_urlsafe(32)
    click.echo(
        f"The token, for whoever signs in; it is not shown again:\n\n  {made}\n\n"
        f"For refund-ledger.toml, which has to know its hash only:\n\n"
        f'[{dotted("api_tokens", name)}]\nrole = "{role}"\ntoken_hash = "{hash_of(made)}"'
    )
