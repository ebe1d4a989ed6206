"""The `refund-ledger` command: starts the processes, and operates the rest.

What is heavy is imported by the command that needs it: the listener stays small, and `--help` is there at once.
Exit status: 0 done, 1 failed, 2 wrong use, 3 what was compared differs.
"""

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

from cli.check import check
from cli.deciding import link, note, reopen, resolve, unlink
from cli.demo.command import demo
from cli.fetching import backfill, sources, verify
from cli.importing import import_
from cli.init import init
from cli.looking import entries, export, show
from cli.mending import dead_letters, migrate, replay
from cli.notice import notice
from cli.processes import console, listener, sync
from cli.reporting import report
from cli.retaining import forget, purge
from cli.token import token

SECTIONS: dict[str, list[click.Command]] = {
    "Try it, set it up": [demo, init, check, migrate, token],
    "Processes, each in the foreground": [listener, sync, console],
    "Look at the ledger": [entries, show, export, report, sources],
    "Decide, as an operator": [resolve, reopen, link, unlink, note],
    "Tell customers": [notice],
    "Mend": [backfill, import_, verify, dead_letters, replay],
    "Keep no longer than needed": [purge, forget],
}


class _Sections(click.Group):
    """A group that lists its commands in sections, and tells expected failures in one sentence."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        width = formatter.width - 6 - max(map(len, self.commands))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(command.name or "", command.get_short_help_str(width)) for command in commands])

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort, click.ClickException, BrokenPipeError):
            raise
        except Exception as error:
            from config.problems import ConfigError

            if isinstance(error, ConfigError):
                click.echo("\n".join(error.problems), err=True)
                ctx.exit(2)
            if (sentence := _expected(error)) is None:
                raise
            raise click.ClickException(sentence) from error


def _expected(error: Exception) -> str | None:
    """What to say of a failure that is no fault of this program; None for any other."""
    from storage.database import AlreadyRunning, StorageUnavailable

    if isinstance(error, AlreadyRunning | StorageUnavailable):
        return str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return None


@click.group(
    "refund-ledger",
    cls=_Sections,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Start here:
  refund-ledger demo                    see it work, with nothing to set up
  refund-ledger init                    write a commented refund-ledger.toml
  refund-ledger check                   is everything in place?
  refund-ledger entries --status unmatched
  refund-ledger show 1001               one order, both sides, and why

\b
Every command explains itself: refund-ledger COMMAND --help.
Exit status: 0 done, 1 failed, 2 wrong use, 3 what was compared differs.""",
)
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Configuration file. Default: $REFUND_LEDGER_CONFIG, else ./refund-ledger.toml.",
)
@click.version_option(package_name="refund-ledger", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, path: Path | None) -> None:
    """Pairs the refunds of payment gateways with those recorded in Infigo storefronts, and tells which do not agree.

    It never moves money. It reads, pairs, tells.
    """
    ctx.obj = path


for _command in (command for section in SECTIONS.values() for command in section):
    cli.add_command(_command)


def main() -> None:
    """The entry point."""
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, TextIOWrapper):
            continue
        if stream.isatty():
            stream.reconfigure(errors="replace")  # not every terminal has every character
        else:
            stream.reconfigure(encoding="utf-8")  # a file is the same whatever the terminal it was made at
    cli(prog_name="refund-ledger")


if __name__ == "__main__":
    main()
