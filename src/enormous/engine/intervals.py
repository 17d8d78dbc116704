"""Sets of block numbers as runs: 10^9 blocks done nearly in order are a few runs.

Pure; used by the journal.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Intervals:
    """A set of whole numbers, kept as disjoint runs that do not touch."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def add(self, start: int, stop: int | None = None) -> None:
        """Put in one number, or those from `start` to ``stop - 1``."""
        stop = start + 1 if stop is None else stop
        if stop <= start:
            return
        first = bisect_left(self._stops, start)  # the first run that touches or lies behind
        last = bisect_right(self._starts, stop)  # one past the last that touches
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number)
        return at > 0 and number < self._stops[at - 1]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The runs, as start and stop, in order."""
        return iter(zip(self._starts, self._stops, strict=True))

    def within(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The runs, cut off at `start` and `stop`."""
        for low, high in self:
            if max(low, start) < min(high, stop):
                yield max(low, start), min(high, stop)

    def gaps(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The runs of numbers from `start` to ``stop - 1`` that are not in the set."""
        for low, high in self.within(start, stop):
            if start < low:
                yield start, low
            start = high
        if start < stop:
            yield start, stop

    def count(self, start: int, stop: int) -> int:
        """How many numbers from `start` to ``stop - 1`` are in the set."""
        return sum(high - low for low, high in self.within(start, stop))
