"""A stage cut into shares, for job arrays: which blocks, and whether they may be run yet.

Called by :mod:`enormous.engine.run`. Stages and shares are counted from 1 by people, from 0
in here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from enormous._text import count_text
from enormous.engine.intervals import Intervals
from enormous.engine.journal import Journal
from enormous.engine.plan import Plan
from enormous.errors import DataError, UsageError


@dataclass(frozen=True)
class Share:
    """Share `i` of `n` of the blocks of a stage.

    Parameters
    ----------
    number : int
        Of the stage, from 0.
    i, n : int
        From 1.
    start, stop : int
        Its blocks.
    """

    number: int
    i: int
    n: int
    start: int
    stop: int

    @classmethod
    def of(cls, plan: Plan, stage: int | None, share: tuple[int, int] | None) -> Share | None:
        """The share that was asked for; None if it was none.

        Raises
        ------
        UsageError
        """
        if stage is None:
            if share is not None:
                raise UsageError("a share is one of a stage; give the stage as well")
            return None
        if not 1 <= stage <= len(plan.stages):
            raise UsageError(f"there is no stage {stage}; give 1 to {len(plan.stages)}")
        i, n = (1, 1) if share is None else share
        if not 1 <= i <= n:
            raise UsageError(f"there is no share {i}/{n}; give 1/{max(n, 1)} to {n}/{n}")
        blocks = plan.stages[stage - 1].blocks.n
        return cls(stage - 1, i, n, *_cut(i, n, blocks))

    @property
    def name(self) -> str:
        """Of its record."""
        return f"stage-{self.number + 1}-share-{self.i}-of-{self.n}"


def _cut(i: int, n: int, blocks: int) -> tuple[int, int]:
    return (i - 1) * blocks // n, i * blocks // n


def need_before(plan: Plan, journal: Journal, share: Share) -> None:
    """Make sure that the stages before a share's are complete.

    Raises
    ------
    UsageError
    """
    for number, done in enumerate(journal.done()[: share.number]):
        if missing := _missing(plan, journal, number, done):
            raise UsageError(f"{plan.out}: {missing}; run that stage first")


def need_all(plan: Plan, journal: Journal) -> None:
    """Make sure that all stages are complete.

    Raises
    ------
    DataError
    """
    for number, done in enumerate(journal.done()):
        if missing := _missing(plan, journal, number, done):
            raise DataError(f"{plan.out}: {missing}; run them, or the whole call with --resume")


def _missing(plan: Plan, journal: Journal, number: int, done: Intervals) -> str:
    """Which blocks of a stage are missing, in words; "" if none."""
    stage = plan.stages[number]
    n = stage.blocks.n
    missing = n - done.count(0, n)
    if not missing:
        return ""
    pattern = re.compile(rf"stage-{number + 1}-share-[0-9]+-of-([0-9]+)\.records")
    cuts = {int(m[1]) for path in journal.folder.iterdir() if (m := pattern.fullmatch(path.name))}
    of = ""
    if len(cuts) == 1:
        of = f" ({_shares(done, cuts.pop(), n)})"
    return (
        f"stage {number + 1} ({stage.title}): {missing:,} of {count_text(n, 'block')} missing{of}"
    )


def _shares(done: Intervals, cut: int, blocks: int) -> str:
    """The incomplete shares: ``shares 2/4, 3/4``."""
    found = [
        f"{i}/{cut}"
        for i in range(1, cut + 1)
        if any(True for _ in done.gaps(*_cut(i, cut, blocks)))
    ]
    more = f" and {len(found) - 8:,} more" if len(found) > 8 else ""
    return f"share{'s' if len(found) > 1 else ''} {', '.join(found[:8])}{more}"
