"""The command line: ``enormous COMMAND``.

One thin function per command, one module each: parse, call, print. What is
heavy is imported inside those functions, so that ``--help`` answers at once.
This module holds the contract that all share: one line for an error, no
traceback without ``--debug``, exit codes 0, 1, 2 and 130.
"""

from __future__ import annotations

import sys
import traceback

import typer

from enormous import __version__
from enormous.cli import _common
from enormous.cli.info import info
from enormous.cli.sample import sample
from enormous.errors import EnormousError

_INTERRUPTED = 130  # 128 + SIGINT, as shells count

app = typer.Typer(
    name="enormous",
    help="Chunk, convert and process 3D scans that do not fit in memory.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command()(sample)
app.command()(info)


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


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit.

    Parameters
    ----------
    arguments : list of str, optional
        Instead of ``sys.argv[1:]``.
    """
    _common.debug = False
    try:
        code = app(arguments, prog_name="enormous", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except EnormousError as error:
        _fail(str(error), error.exit_code)
    except BrokenPipeError:  # whoever read our output has gone: `enormous info X | head`
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own: the call was wrong
            _fail(_usage(error), 2)
        _fail(f"{type(error).__name__}: {error} (run again with --debug for the details)", 1)
    if code == _INTERRUPTED:  # newer versions of typer return it themselves
        _fail("interrupted; nothing half-written is left", _INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _usage(error: Exception) -> str:
    """Typer's message with the command whose help says more."""
    message: str = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "enormous"
    return f"{message.rstrip('.')} (see {command} --help)"


def _fail(message: str, code: int) -> None:
    """One line on stderr, after the traceback that was asked for."""
    _common.Progress.end_line()
    if _common.debug:
        traceback.print_exc()
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(code)
