"""The command line: ``enormous COMMAND``.

One thin function per command, one module each: parse, call, print. What is
heavy is imported inside those functions, so that ``--help`` answers at once.
This module holds the contract that all share: one line for an error, no
traceback without ``--debug``, exit codes 0, 1, 2 and 130.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from typing import Any, NoReturn

import typer

from enormous import __version__
from enormous.cli import _common
from enormous.cli.convert import convert
from enormous.cli.finish import finish
from enormous.cli.info import info
from enormous.cli.pyramid import pyramid
from enormous.cli.sample import sample
from enormous.cli.validate import validate
from enormous.errors import EnormousError

_INTERRUPTED = 130  # 128 + SIGINT, as shells count
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP

app = typer.Typer(
    name="enormous",
    help="Chunk, convert and process 3D scans that do not fit in memory.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command()(sample)
app.command()(convert)
app.command()(pyramid)
app.command()(info)
app.command()(finish)
app.command()(validate)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"enormous {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    Without `arguments` this is the program: signals that ask it to end are an
    interruption, and the process ends here. Python's own way out crashes now and
    then (seen in one call of sixteen) while a native thread of obstore still runs.

    Parameters
    ----------
    arguments : list of str, optional
        Instead of ``sys.argv[1:]``.

    Raises
    ------
    SystemExit
        With the exit code, if `arguments` were given.
    """
    if arguments is not None:
        sys.exit(_run(arguments))
    _listen()
    code = _run(None)
    if sys.stderr is not None:
        sys.stderr.flush()
    os._exit(code)


def _run(arguments: list[str] | None) -> int:
    """Call a command, tell of its failure, and give the exit code."""
    _common.debug, _common.interrupted = False, None
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _common.show_warning
            code = app(arguments, prog_name="enormous", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except EnormousError as error:
        return _failed(str(error), error.exit_code)
    except BrokenPipeError:  # whoever read our output has gone: `enormous info X | head`
        return 1
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own: the call was wrong
            return _failed(_usage(error), 2)
        details = "(run again with --debug for the details)"
        notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
        return _failed(f"{type(error).__name__}: {error}{notes} {details}", 1)
    if code == _INTERRUPTED:  # newer versions of typer return it themselves
        kept = _common.interrupted or "nothing half-written is left"
        return _failed(f"interrupted; {kept}", _INTERRUPTED)
    return code if isinstance(code, int) else 0


def _listen() -> None:
    """Take the first signal as an interruption; those after it must not stop the cleaning up."""
    heard = [
        number
        for name in _SIGNALS
        if (number := getattr(signal, name, None)) is not None
        and signal.getsignal(number) != signal.SIG_IGN  # as nohup wants it
    ]

    def interrupt(*_: Any) -> None:
        for number in heard:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in heard:
        signal.signal(number, interrupt)


def _usage(error: Exception) -> str:
    """Typer's message with the command whose help says more."""
    message: str = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "enormous"
    return f"{message.rstrip('.')} (see {command} --help)"


def _failed(message: str, code: int) -> int:
    """One line on stderr, after the traceback that was asked for."""
    if _common.debug:
        traceback.print_exc()
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    return code
