"""``enormous finish``: complete what was made in shares."""

from __future__ import annotations

from typing import Annotated

import typer

from enormous._text import count_text
from enormous.cli._common import Debug, Json, Quiet, Workers, print_json


def finish(
    out: Annotated[str, typer.Argument(metavar="OUT", help="The output that was asked for.")],
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check that all shares of all stages are done, write the metadata, put OUT in its place."""
    from enormous import engine
    from enormous.engine.pool import workers_or_default

    done = engine.finish(out, workers=workers_or_default(workers))
    plan = done.plan
    if json:
        print_json(
            {
                "operation": plan.operation,
                "out": plan.out,
                "hash": plan.hash,
                "created": plan.created,
                "blocks": done.resumed,
                "seconds": round(done.seconds, 3),
            }
        )
    elif not quiet:
        typer.echo(
            f"{plan.out}: {plan.operation}, {count_text(done.resumed, 'block')} of "
            f"{count_text(len(plan.stages), 'stage')} done, finished"
        )
