"""What a block function has in hand: the plan, the folder, open arrays, a way to stop.

Made by the executors, one for each process and stage, and handed to the functions
that a plan names.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from enormous.engine.plan import Plan, Stage
from enormous.engine.pool import Stop, run_blocks

T = TypeVar("T")


@dataclass
class Work:
    """One process's share in the making of one stage.

    Parameters
    ----------
    plan : Plan
    folder : Path
        What is written into: it becomes ``plan.out`` when all is done.
    stage : Stage or None
        None while the plan begins or finishes.
    workers : int
        Threads that this process may keep busy: libraries with pools of their own are
        given this number.
    side_by_side : int
        Pieces of one block that may be made at a time.
    stop : Stop
        Set when the run is to end; long blocks look at it between pieces.
    """

    plan: Plan
    folder: Path
    stage: Stage | None = None
    workers: int = 1
    side_by_side: int = 1
    stop: Stop = field(default_factory=Stop)
    _kept: dict[Hashable, Any] = field(default_factory=dict, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def kept(self, key: Hashable, make: Callable[[], T]) -> T:
        """Give what `make` returns, made once for this process: open arrays and files."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = make()
            kept: T = self._kept[key]
            return kept

    def close(self) -> None:
        """Let go of what is kept: whatever has a ``close`` is closed, the newest first.

        Called by the executors when the stage is over.
        """
        with self._lock:
            kept = list(self._kept.values())
            self._kept.clear()
        for thing in reversed(kept):
            close = getattr(thing, "close", None)
            if callable(close):
                close()

    def each(self, piece: Callable[[int], object], count: int) -> None:
        """Call ``piece(0)`` to ``piece(count - 1)``, `side_by_side` at a time.

        Raises
        ------
        Exception
            The first that a piece raised, after the others have ended.
        """

        def checked(number: int) -> object:
            self.stop.check()
            return piece(number)

        run_blocks(checked, count, self.side_by_side, stop=self.stop)
