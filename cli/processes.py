"""The three processes. Each runs in the foreground until SIGTERM or Ctrl-C; a supervisor runs it again."""

from pathlib import Path

import click

from cli.opening import configuration_of


@click.command(
    epilog="""\b
Examples:
  refund-ledger listener
  refund-ledger listener --workers 4    several on one machine; needs PostgreSQL""",
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that share the work."
)
@click.pass_obj
def listener(path: Path | None, workers: int) -> None:
    """Take webhooks: POST /webhooks/SOURCE.

    The only process that the internet has to reach, at `public_bind`. It answers 2xx once an event is on disk, and
    interprets nothing. Put a proxy in front of it that speaks TLS.
    """
    configuration = configuration_of(path, logs=True)
    from listener.server import serve

    serve(configuration, workers)


@click.command()
@click.pass_obj
def sync(path: Path | None) -> None:
    """Interpret what arrived, pair it, keep the ledger.

    On PostgreSQL several may share the work. Metrics and health are at `sync_bind`.
    """
    configuration = configuration_of(path, logs=True)
    from sync.server import serve

    serve(configuration)


@click.command()
@click.pass_obj
def console(path: Path | None) -> None:
    """Serve the web pages for people and the JSON API for scripts.

    It listens at `console_bind`. People sign in with one of the `api_tokens`, scripts send it as bearer token;
    `refund-ledger token` makes one.
    """
    configuration = configuration_of(path, logs=True)
    from console.server import serve

    serve(configuration)
