"""The command line with the toy operation in it: ``python commands.py toy OUT ...``."""

from __future__ import annotations

import toy
import typer

from enormous.cli import _common, app, main


@app.command(name="toy")
def toy_command(
    out: str,
    pause: float = 0.0,
    fate: str = "",
    at: int = -1,
    marks: str = "",
    rows: int = 7,
    scheduler: _common.Scheduler = "threads",
    workers: _common.Workers = None,
    dry_run: _common.DryRun = False,
    resume: _common.Resume = False,
    stage: _common.Stage = None,
    share: _common.Share = None,
    overwrite: _common.Overwrite = False,
    json: _common.Json = False,
    quiet: _common.Quiet = False,
    debug: _common.Debug = False,
) -> None:
    plan = toy.plan(
        out, (rows, 10), pause=pause, fate=fate, at=at, marks=marks, overwrite=overwrite,
        codec="zstd",
    )  # fmt: skip
    if dry_run:
        _common.print_plan(plan, scheduler=scheduler, workers=workers, json=json, quiet=quiet)
        return
    done = _common.execute(
        plan, scheduler=scheduler, workers=workers, resume=resume, stage=stage, share=share,
        json=json, quiet=quiet,
    )  # fmt: skip
    if done is not None and json:
        _common.print_json({"created": done.plan.created, **_common.counts(done)})
    elif done is not None and not quiet:
        typer.echo(f"{plan.out}: {done.blocks} blocks made, {done.resumed} found")


if __name__ == "__main__":
    main()
