"""An output in the making: its folder and journal beside its place, and how they end.

Called by :mod:`enormous.engine.run`. Both carry the first letters of the plan's hash, so
that plans never meet: ``.NAME.partial-1a2b3c4d`` and ``.NAME.journal-1a2b3c4d``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from enormous._text import count_text
from enormous.engine.journal import Journal, difference, read_plan
from enormous.engine.output import (
    explain,
    free_bytes,
    leftovers,
    make_parents,
    remove_if_empty,
    swap,
)
from enormous.engine.plan import Plan
from enormous.engine.work import Work
from enormous.errors import DataError, EnormousError, UsageError

_LETTERS = 8  # of the hash, in names

GO_ON = "the same call with --resume (resume=True)"


@dataclass
class Unfinished:
    """The folder that is written into, and the journal.

    Parameters
    ----------
    plan : Plan
        Its `created` becomes that of the journal when a run goes on.
    """

    plan: Plan
    out: Path = field(init=False)
    folder: Path = field(init=False)
    journal: Journal = field(init=False)
    _made: list[Path] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.out = Path(self.plan.out)
        mark = self.plan.hash[:_LETTERS]
        self.folder = self.out.with_name(f".{self.out.name}.partial-{mark}")
        self.journal = Journal(self.plan, self.out.with_name(f".{self.out.name}.journal-{mark}"))

    def open(self, *, resume: bool) -> None:
        """Lock, then go on with what is there or start over.

        What was about to be put in its place is never started over: it may be half there, and
        what it replaces half gone. The same plan makes the same bytes, so it is completed.

        Raises
        ------
        UsageError
            If only another plan's work can be resumed, another plan's output is half in its
            place, or shares have made blocks and `resume` is not given.
        """
        self._refuse_half_placed()
        if resume and not self.journal.exists:
            self._refuse_others()
        with self._opening():
            self.journal.lock()
            go_on = self._there and (resume or self.journal.publishing)
            if not go_on:
                self._refuse_to_drop_shares(resume)
            elif not resume:
                self._compare_inputs_of_done()
            self._start(afresh=not go_on)

    def open_shared(self, check: Callable[[Journal], object]) -> None:
        """Lock for one share of several: the first of them makes the folders.

        Parameters
        ----------
        check : callable
            Raises if the share may not be run.
        """
        self._refuse_half_placed()
        with self._opening():
            first = self.journal.share_lock()
            afresh = first and not self._there
            try:
                self._start(afresh=afresh)
                if self.journal.publishing:
                    raise UsageError(f"{self.out}: all is done; call enormous finish {self.out}")
                check(self.journal)
            except BaseException:
                if afresh:
                    self._remove()
                raise
            self.journal.let_others()

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """Make missing parents; on failure remove them and let others in."""
        self._made = make_parents(self.out.parent)
        try:
            yield
        except BaseException as error:
            self.journal.unlock()
            self._remove_parents()
            told = explain(error, self.out, self.plan.disk_bytes, free_bytes(self.out.parent))
            if told is error:
                raise
            raise told from error

    def open_to_finish(self) -> None:
        """Lock what other processes have made.

        Raises
        ------
        DataError
            If someone has removed it.
        """
        self.journal.lock()
        if not self._there:
            self.journal.unlock()
            raise DataError(
                f"{self.folder} is gone; remove {self.journal.folder} as well and start anew"
            )

    @property
    def _there(self) -> bool:
        """Whether the data that the journal tells of is there, here or already in its place."""
        if not self.journal.exists:
            return False
        in_place = self.plan.publish is not None or self.out.exists()
        return self.folder.exists() or (self.journal.publishing and in_place)

    def _start(self, *, afresh: bool) -> None:
        if afresh:
            if self.folder.exists():
                shutil.rmtree(self.folder)
            try:
                self.journal.start()
                self.folder.mkdir()
            except BaseException:
                self._remove()
                raise
        elif not self.journal.publishing:
            self.journal.compare_inputs()
        self.plan = self.journal.as_made()

    def _compare_inputs_of_done(self) -> None:
        """Complete no earlier output, unasked, where the input is another now."""
        try:
            self.journal.compare_inputs()
        except DataError as error:
            raise DataError(
                f"{error}; all blocks were done: enormous finish {self.out} completes that, then "
                "call again"
            ) from error

    def _refuse_others(self) -> None:
        for folder in journals(self.out):
            if folder != self.journal.folder:
                raise UsageError(
                    f"{self.out}: nothing of this plan to resume, only another plan's {folder}: "
                    f"{difference(self.plan, folder)}; call as then, or leave out --resume"
                )

    def _refuse_half_placed(self) -> None:
        """Let no plan work in place beside another one that a kill has left half in it."""
        for folder in journals(self.out) if self.plan.publish is not None else ():
            if folder != self.journal.folder and (folder / "publishing").exists():
                raise UsageError(
                    f"{self.out}: another call was ended while it put its output in place; "
                    f"enormous finish {self.out} completes that, then call again"
                )

    def _refuse_to_drop_shares(self, resume: bool) -> None:
        """Keep a forgotten --resume from throwing away what a job array has made."""
        if resume or not self._there or not any(self.journal.folder.glob("stage-*.records")):
            return
        if done := self._count():
            raise UsageError(
                f"{self.out}: {_done_text(done, self.plan)} in shares already: --resume "
                f"(resume=True) goes on with them, or remove {self.folder} and "
                f"{self.journal.folder}"
            )

    def publish(self, workers: int) -> None:
        """Complete the metadata, put the output in its place, remove the journal."""
        work = Work(self.plan, self.folder, workers=workers, side_by_side=workers)
        try:
            if not self.journal.publishing:
                self.plan.finish(work)
                work.close()
                self.journal.publish()
            if self.plan.publish is not None:
                self.plan.publish(work)
                if self.folder.exists():
                    shutil.rmtree(self.folder)
            else:
                swap(self.folder, self.out, self.plan.overwrite)
        finally:
            work.close()
        self.journal.remove()

    def close(self) -> None:
        """Let others in."""
        self.journal.unlock()

    def failed(
        self, error: BaseException, go_on: str = GO_ON, *, shared: bool = False
    ) -> BaseException:
        """Keep what is worth it, else leave nothing; the error as it shall be told.

        Parameters
        ----------
        error : BaseException
        go_on : str
            The call that goes on with what is kept, in words.
        shared : bool
            Others work on it too: keep it in any case.
        """
        free = free_bytes(self.out.parent)  # before the half-written data is gone
        told = explain(error, self.out, self.plan.disk_bytes, free)
        done = self._count()
        if not (done or shared or self.journal.publishing):
            self._remove()
            if self.folder.exists():
                told = DataError(f"{self.folder} could not be removed, remove it by hand ({told})")
            return told
        kept = [str(path) for path in (self.folder, self.journal.folder) if path.exists()]
        if self.journal.publishing:  # it may be half in its place: nobody shall remove the rest
            return _with(told, f"{_done_text(done, self.plan)} and kept: {go_on} goes on")
        return _with(
            told,
            f"{_done_text(done, self.plan)} and kept: {go_on} goes on; or remove "
            f"{' and '.join(kept)}",
        )

    def _count(self) -> int:
        stages = zip(self.plan.stages, self.journal.done(), strict=True)
        return sum(done.count(0, stage.blocks.n) for stage, done in stages)

    def _remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)  # what stays is told of by the caller
        self.journal.remove()
        self._remove_parents()

    def _remove_parents(self) -> None:
        for folder in self._made:
            remove_if_empty(folder)


def _done_text(done: int, plan: Plan) -> str:
    verb = "is" if done == 1 else "are"
    return f"{done:,} of {count_text(plan.blocks, 'block')} {verb} done"


def _with(error: BaseException, more: str) -> BaseException:
    """The error with a further sentence: in its message where that is one line for people."""
    if isinstance(error, EnormousError):
        longer = type(error).__new__(type(error))
        longer.args = (f"{error}; {more}",)
        longer.__cause__ = error.__cause__ or error
        return longer
    error.add_note(more)
    return error


def of_others(plan: Plan) -> list[Path]:
    """What other plans, or killed runs that replaced something, have left beside the output."""
    mine = Unfinished(plan)
    own = (mine.folder, mine.journal.folder)
    return [path for path in leftovers(mine.out) if path not in own]


def journals(out: Path) -> list[Path]:
    """Journals beside `out`, of any plan."""
    return [path for path in _named(out, "journal") if (path / "plan.json").is_file()]


def _named(out: Path, kind: str) -> Iterator[Path]:
    return (path for path in leftovers(out) if path.name.startswith(f".{out.name}.{kind}-"))


def find(out: Path) -> Unfinished:
    """What is unfinished beside `out`, as other processes have written it down.

    Raises
    ------
    UsageError
        If there is nothing, or more than one plan.
    DataError
        If its journal cannot be read.
    """
    found = journals(out)
    half = [path for path in found if (path / "publishing").exists()]
    found = half if len(half) == 1 else found  # what is half in its place comes first
    if not found:
        raise UsageError(f"{out}: nothing unfinished beside it; run its stages first")
    if len(found) > 1:
        names = ", ".join(str(path) for path in found)
        raise UsageError(f"{out}: several plans are unfinished ({names}); remove all but one")
    return Unfinished(replace(read_plan(found[0]), out=str(out)))
