"""How far a run is, in bytes: on a terminal, in a notebook, or nowhere.

Called by :mod:`enormous.engine.run`; a caller may hand in its own :class:`Progress`.
Terminals are told on stderr, as stdout belongs to results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from enormous._text import bytes_text

_EVERY = 0.2  # seconds between two lines


class Progress(Protocol):
    """Whoever is told how far a run is; always by the same thread."""

    def begin(self, title: str, total: int, done: int) -> None:
        """A stage of `total` bytes begins, of which `done` are there from an earlier run."""

    def advance(self, nbytes: int) -> None:
        """A block of so many bytes is done."""

    def end(self) -> None:
        """No more is told, whether all is done or not."""


class Silent:
    """Tells nobody."""

    def begin(self, title: str, total: int, done: int) -> None:
        """Say nothing."""

    def advance(self, nbytes: int) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""


class Rate:
    """Bytes a second, and what is left; what was there before does not count as speed.

    Parameters
    ----------
    total, done : int
        Bytes.
    clock : callable
        Gives seconds.
    """

    def __init__(self, total: int, done: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.done = total, done
        self._new = 0
        self._clock = clock
        self._began = clock()

    def advance(self, nbytes: int) -> None:
        """Count bytes."""
        self.done += nbytes
        self._new += nbytes

    @property
    def text(self) -> str:
        """``1.20 of 4.00 GB, 300 MB/s, 0:09 left``."""
        text = f"{bytes_text(self.done)} of {bytes_text(self.total)}"
        seconds = self._clock() - self._began
        if not self._new or seconds <= 0:
            return text
        rate = self._new / seconds
        left = (self.total - self.done) / rate
        return f"{text}, {bytes_text(rate)}/s, {_duration(left)} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Shown:
    """What the two visible kinds share: a rate, and not too many lines."""

    def __init__(self) -> None:
        self._title = ""
        self._rate = Rate(0, 0)
        self._next = 0.0

    def begin(self, title: str, total: int, done: int) -> None:
        self._title, self._rate, self._next = title, Rate(total, done), 0.0
        self._tell()

    def advance(self, nbytes: int) -> None:
        self._rate.advance(nbytes)
        if time.monotonic() >= self._next or self._rate.done >= self._rate.total:
            self._next = time.monotonic() + _EVERY
            self._tell()

    def _tell(self) -> None:
        raise NotImplementedError


class Terminal(_Shown):
    """A bar for each stage, drawn by rich."""

    def __init__(self) -> None:
        super().__init__()
        self._bars: Any = None
        self._bar: Any = None

    def begin(self, title: str, total: int, done: int) -> None:
        """Add a bar."""
        if self._bars is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self._bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[told]}", markup=False),
                console=Console(stderr=True),
                refresh_per_second=5,
            )
            self._bars.start()
        self._bar = self._bars.add_task(title, total=total, completed=done, told="")
        super().begin(title, total, done)

    def _tell(self) -> None:
        self._bars.update(self._bar, completed=self._rate.done, told=self._rate.text)

    def end(self) -> None:
        """Leave the bars as they are."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


class Notebook(_Shown):
    """One line below the cell, written anew: what is saved with the notebook stays short."""

    def __init__(self) -> None:
        super().__init__()
        self._handle: Any = None

    def _tell(self) -> None:
        from IPython.display import display

        shown = {"text/plain": f"{self._title}: {self._rate.text}"}
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(shown, raw=True)

    def end(self) -> None:
        """Leave the last line."""
        self._handle = None


def where_seen(quiet: bool = False) -> Progress:
    """The kind that fits: a terminal's, a notebook's, or none that is seen."""
    if quiet:
        return Silent()
    if _in_notebook():
        return Notebook()
    if sys.stderr is not None and sys.stderr.isatty():
        return Terminal()
    return Silent()


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    if shell is None:
        return False
    return type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"
