"""What all commands share: options, sizes in voxels, tables, JSON, progress.

Called by the command modules and by :func:`enormous.cli.main`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from enormous.errors import UsageError

debug = False


def _set_debug(wanted: bool) -> bool:
    global debug
    debug = wanted
    return wanted


Workers = Annotated[
    int | None, typer.Option(help="Threads; by default one for each core.", metavar="N")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print what would be read and written, and do nothing."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace OUT, once the new one is complete.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug", callback=_set_debug, is_eager=True, help="Show the traceback of an error."
    ),
]


def sizes(text: str | None, option: str, example: str = "128 or 64,128,128") -> Any:
    """Read ``Z,Y,X`` or one integer.

    Parameters
    ----------
    text : str or None
    option : str
        For the message.
    example : str

    Returns
    -------
    int, tuple of int or None

    Raises
    ------
    UsageError
        If it is neither.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[+-]?[0-9]{1,18}", part) for part in parts):
        raise UsageError(f"{option} {text!r} is not a size in voxels; write {example}")
    numbers = tuple(int(part) for part in parts)
    return numbers[0] if len(numbers) == 1 else numbers


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> None:
    """A table on stdout; the first `left` columns are text, the others align at the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False, show_edge=False, header_style="bold")
    for number, title in enumerate(head):
        table.add_column(title, justify="left" if number < left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # wide enough for any row: a terminal wraps what is too long, rich would cut numbers off
    Console(file=sys.stdout, width=1000, markup=False, highlight=False).print(table)


class Progress:
    """One line on stderr that counts blocks."""

    #: Whether a line is begun that an error message must not continue.
    line_open = False

    @classmethod
    def where_seen(cls, quiet: bool) -> Progress | None:
        """None if it was not wanted or stderr is no terminal."""
        return None if quiet or not sys.stderr.isatty() else cls()

    def __call__(self, title: str, done: int, blocks: int) -> None:
        """Show that `done` of `blocks` are finished; without blocks, what is being done."""
        if not blocks:
            sys.stderr.write(f"{title}...\n")
            sys.stderr.flush()
            return
        Progress.line_open = done < blocks
        end = "" if Progress.line_open else "\n"
        sys.stderr.write(f"\r{title}: {done:,} of {blocks:,} blocks{end}")
        sys.stderr.flush()

    @classmethod
    def end_line(cls) -> None:
        """Go to a new line if one is begun."""
        if cls.line_open:
            sys.stderr.write("\n")
            cls.line_open = False
