"""The program: commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType

import typer

import pointillist
from pointillist.cli import import_, marks
from pointillist.cli.annotate import annotate
from pointillist.cli.benchmark import benchmark
from pointillist.cli.cache import cache
from pointillist.cli.check import check
from pointillist.cli.demo import demo
from pointillist.cli.evaluate import evaluate
from pointillist.cli.methods import methods
from pointillist.cli.predict import predict
from pointillist.cli.report import report
from pointillist.cli.simulate import simulate
from pointillist.cli.train import train
from pointillist.errors import PointillistError

app = typer.Typer(
    help="From a few clicks or scribbles per image to full medical image segmentations. "
    "Research use, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(import_.app, name="import")
app.add_typer(marks.app, name="marks")
for command in (demo, annotate, simulate, check, cache, methods, train, predict, evaluate, report, benchmark):
    app.command()(command)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"pointillist {pointillist.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Common options."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Exit code 0 on success, 1 on a named failure (one message, no traceback), 2 on bad usage.

    Args:
        arguments: what follows the program's name; None takes the process's own.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app(args=arguments)
    except PointillistError as error:
        _fail(str(error))
    except BrokenPipeError:  # the reader of our output went away, for example `| head`
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        _fail(
            f"{error.strerror or error}\n  where:      {error.filename or 'unknown'}"
            "\n  what to do: see that the place exists, can be written, and has room"
        )


def _terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
    """Unwind as for an exception, so that nothing half-written is left behind."""
    sys.exit(128 + number)


def _fail(message: str) -> None:
    typer.echo(f"error: {message}", err=True)
    sys.exit(1)
