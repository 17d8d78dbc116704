"""What all commands share: options, sizes in voxels, tables, JSON, and how plans are run.

Called by the command modules and by :func:`enormous.cli.main`.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enormous._text import bytes_text, count_text
from enormous.errors import UsageError

if TYPE_CHECKING:
    from enormous.engine import Done, Plan

debug = False
#: What an interrupted run has to say, where it keeps something.
interrupted: str | None = None


def _set_debug(wanted: bool) -> bool:
    global debug
    debug = wanted
    return wanted


Workers = Annotated[
    int | None,
    typer.Option(help="Blocks made at a time; by default one for each core.", metavar="N"),
]
Scheduler = Annotated[
    str,
    typer.Option(
        metavar="threads|processes|sync|ADDRESS",
        help="Who makes the blocks; ADDRESS is a dask scheduler's, such as tcp://node1:8786.",
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on where an interrupted run of this call ended.")
]
Stage = Annotated[
    int | None,
    typer.Option(metavar="K", help="Do stage K only, for job arrays; see `enormous finish`."),
]
Share = Annotated[
    str | None, typer.Option(metavar="I/N", help="Of the stage, do share I of N only.")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print what would be read and written, and do nothing."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace OUT, once the new one is complete.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors alone, and JSON if asked for.")]
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


def warn(text: str) -> None:
    """One line on stderr."""
    typer.echo(f"warning: {' '.join(text.split())}", err=True)


def show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Tell a warning of Python's kind in one line, without the place in the code."""
    warn(str(message) if category is UserWarning else f"{category.__name__}: {message}")


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


def print_plan(
    plan: Plan, *, scheduler: str = "threads", workers: int | None, json: bool, quiet: bool
) -> None:
    """Say what ``--dry-run`` says of any plan.

    Parameters
    ----------
    plan : Plan
    scheduler : str
    workers : int or None
    json, quiet : bool

    Raises
    ------
    UsageError
        If there is no such scheduler: a cluster is asked how many workers it has.
    """
    from enormous.engine.executors import executor_of

    executor = executor_of(scheduler, workers)
    executor.close()
    facts = plan.as_dict(executor.workers, processes=executor.processes)
    if json:
        print_json({**facts, "dry_run": True})
        return
    if quiet:
        return
    typer.echo(f"{plan.out}: {plan.operation}; nothing is written")
    rows = [
        (
            f"{number} {stage.title}",
            f"{stage.blocks.n:,}",
            bytes_text(stage.reads),
            bytes_text(stage.writes),
            f"{stage.objects:,}",
        )
        for number, stage in enumerate(plan.stages, 1)
    ]
    print_table(("stage", "blocks", "reads", "writes", "objects"), rows)
    for label, text in _plan_lines(plan, facts):
        typer.echo(f"{label:<13}{text}")


def _plan_lines(plan: Plan, facts: dict[str, Any]) -> Iterable[tuple[str, str]]:
    yield "reads", f"{bytes_text(plan.reads)} (decoded)"
    yield "writes", f"{bytes_text(plan.writes)} (before compression)"
    yield "disk", f"up to {bytes_text(plan.disk_bytes)}, if nothing could be compressed"
    yield "objects", f"up to {plan.objects:,}"
    workers = count_text(facts["workers"], "worker")
    yield "peak memory", f"{bytes_text(facts['peak_memory_bytes'])} with {workers}"
    needed, cost = facts["time"], facts["cost"]
    if needed["seconds_at_least"] is not None:
        yield "time", f"at least {needed['seconds_at_least']:,.1f} s ({needed['basis']})"
    yield (
        "cloud cost",
        f"up to {_usd(cost['put_usd'])} to store, {_usd(cost['month_usd'])} a month, "
        f"{_usd(cost['download_usd'])} to download ({cost['basis']})",
    )
    for key, value in plan.facts:
        if isinstance(value, (str, int, float)):
            yield key.replace("_", " "), str(value)


def _usd(amount: float) -> str:
    return f"{amount:,.2f} USD" if amount >= 0.01 or not amount else "less than 0.01 USD"


def execute(
    plan: Plan,
    *,
    scheduler: str = "threads",
    workers: int | None = None,
    resume: bool = False,
    stage: int | None = None,
    share: str | None = None,
    json: bool = False,
    quiet: bool = False,
) -> Done | None:
    """Run a plan as the common options say, with progress where it can be seen.

    Returns
    -------
    Done or None
        None if it was one share of one stage, which is told of here.

    Raises
    ------
    EnormousError
        As :func:`enormous.run`.
    """
    from enormous.engine import run
    from enormous.engine.progress import where_seen

    global interrupted
    if not quiet:
        _warn_of_leftovers(plan)
        if resume and stage is None:  # a share always goes on with what is there
            _warn_of_nothing(plan)
    try:
        with warnings.catch_warnings():
            if quiet:
                warnings.simplefilter("ignore")
            done = run(
                plan,
                scheduler=scheduler,
                workers=workers,
                resume=resume,
                progress=where_seen(quiet),
                stage=stage,
                share=_share(share),
            )
    except KeyboardInterrupt as error:
        interrupted = "; ".join(getattr(error, "__notes__", ())) or None
        raise
    if stage is None:
        return done
    if json:
        print_json(
            {"out": plan.out, "hash": plan.hash, "stage": stage, "share": share, **counts(done)}
        )
    elif not quiet:
        made = count_text(done.blocks, "block")
        typer.echo(
            f"{plan.out}: stage {stage}, share {share or '1/1'}: {made} made, "
            f"{done.resumed:,} found done, {done.seconds:.1f} s"
        )
    return None


def counts(done: Done) -> dict[str, Any]:
    """What all commands tell of a run, as JSON values."""
    return {
        "blocks": done.blocks,
        "resumed_blocks": done.resumed,
        "bytes": done.nbytes,
        "seconds": round(done.seconds, 3),
    }


def _share(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,18})/([0-9]{1,18})", text.strip())
    if match is None:
        raise UsageError(f"--share {text!r} is not a share; write I/N, such as 3/16")
    return int(match[1]), int(match[2])


def check_part(plan: Plan, stage: int | None, share: str | None) -> None:
    """Make sure that a plan has the stage and share which are asked for.

    Raises
    ------
    UsageError
    """
    from enormous.engine.shares import Share as Part

    Part.of(plan, stage, _share(share))


def ratio_text(nbytes: int, stored: int) -> str:
    """How much smaller what is stored is; nothing may be, where all chunks are empty."""
    return f"{nbytes / stored:.2f}" if stored else "-"


def _warn_of_nothing(plan: Plan) -> None:
    from enormous.engine.unfinished import Unfinished, journals

    mine = Unfinished(plan)
    if not mine.journal.exists and not journals(mine.out):  # of another plan's the run tells
        warn(f"{plan.out}: nothing to resume; all blocks are made anew")


def _warn_of_leftovers(plan: Plan) -> None:
    from enormous.engine.unfinished import of_others

    for path in of_others(plan):
        if ".old-" in path.name:
            what = f"is what {plan.out} was before a run that was killed while replacing it"
        else:
            what = "is left of another call that did not come to its end, unless that still runs"
        warn(f"{path} {what}; remove it when you do not need it")
