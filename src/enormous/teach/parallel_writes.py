"""Make two writers meet: a store that forces a race, and two processes that run into one.

Called by the chapter on writing in parallel. `Meeting` leaves nothing to luck: whoever
wants to write an object waits until another writer stands before the same one, so both
have read it by then. `two_processes` leaves everything to luck, and counts.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.core.buffer import Buffer
from zarr.storage import WrapperStore

from enormous.errors import DataError
from enormous.ledger import is_metadata

Writer = Literal["zarr", "tensorstore", "tensorstore, no locks"]

EDGE = 32  # voxels along each axis of the array that two processes fight over
STEP = 0.005  # seconds between two looks at whether somebody has come


class Meeting(WrapperStore[Store]):
    """A store in which writers of one object wait for each other before they write.

    Parameters
    ----------
    store : zarr.abc.store.Store
        Where objects really go; metadata passes at once.
    patience : float
        Seconds after which a writer that nobody has joined goes on alone.

    Attributes
    ----------
    met : int
        How many times two writers stood before one object, each with what it wanted to put.
    """

    def __init__(self, store: Store, patience: float = 30.0) -> None:
        super().__init__(store)
        self.patience = patience
        self.met = 0
        self._waiting: defaultdict[str, list[list[bool]]] = defaultdict(list)
        self._lock = threading.Lock()

    def _with_store(self, store: Store) -> Self:
        new = type(self)(store, self.patience)
        new._waiting, new._lock = self._waiting, self._lock
        return new

    def _arrive(self, key: str) -> list[bool]:
        """Stand before an object; what is returned turns true as soon as another does."""
        with self._lock:
            if self._waiting[key]:
                other = self._waiting[key].pop()
                other[0] = True
                self.met += 1
                return other
            self._waiting[key].append(joined := [False])
            return joined

    def _leave(self, key: str, joined: list[bool]) -> None:
        with self._lock:
            self._waiting[key] = [j for j in self._waiting[key] if j is not joined]

    def _looks(self, key: str) -> Iterator[float]:
        """Give the pauses to make until somebody has come, or patience has run out."""
        joined, until = self._arrive(key), time.monotonic() + self.patience
        while not joined[0] and time.monotonic() < until:
            yield STEP
        self._leave(key, joined)

    async def set(self, key: str, value: Buffer) -> None:
        """Write, as soon as two want to."""
        if not is_metadata(key):
            for pause in self._looks(key):
                await asyncio.sleep(pause)
        await self._store.set(key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Write, as soon as two want to: the synchronous path of newer versions of zarr."""
        if not is_metadata(key):
            for pause in self._looks(key):
                time.sleep(pause)
        store: Any = self._store
        store.set_sync(key, value)


class Lost(NamedTuple):
    """Rounds in which one of two processes lost its half of a chunk, or its chunk of a shard."""

    chunk: int
    shard: int


def two_processes(writer: Writer, folder: Path, rounds: int) -> Lost:
    """Let two processes write two halves of one object at a time, and count what is lost.

    In each round both are told a moment at which to begin. Nothing is forced: they may
    meet or miss each other. The object is a chunk first; then it is a shard of two
    chunks, of which each process writes one.

    Parameters
    ----------
    writer : {"zarr", "tensorstore", "tensorstore, no locks"}
        The last one is told not to lock files.
    folder : Path
        Where to make the arrays.
    rounds : int
        For each of the two kinds of objects.

    Returns
    -------
    Lost
        Rounds after which one of the halves was not there.

    Raises
    ------
    DataError
        If a process ends before its time.
    """
    whole, half = (EDGE,) * 3, (EDGE // 2, EDGE, EDGE)
    arrays = [
        zarr.create_array(
            folder / name,
            shape=whole,
            dtype="uint16",
            compressors=None,
            **layout,  # type: ignore[arg-type]
        )
        for name, layout in (
            ("chunk", {"chunks": whole}),
            ("shard", {"chunks": half, "shards": whole}),
        )
    ]
    with _processes(writer, [folder / "chunk", folder / "shard"]) as processes:
        return Lost(
            *(
                sum(_round(processes, number, array, 1 + n) for n in range(rounds))
                for number, array in enumerate(arrays)
            )
        )


@contextmanager
def _processes(writer: Writer, folders: list[Path]) -> Iterator[list[subprocess.Popen[str]]]:
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "enormous.teach._one_writer", writer),
                *(str(first), str(first + EDGE // 2), *map(str, folders)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in (0, EDGE // 2)
    ]
    try:
        for process in processes:
            _hear(process, "ready")
        yield processes
    finally:
        for process in processes:
            process.communicate()  # its input ends, and so does it


def _round(
    processes: list[subprocess.Popen[str]], number: int, array: zarr.Array[Any], value: int
) -> bool:
    """Let both write `value` into their half of array `number`; whether any is missing."""
    begin = time.time() + 0.002
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{begin} {number} {value}\n")
        process.stdin.flush()
    for process in processes:
        _hear(process, "written")
    return not bool((np.asarray(array[...]) == value).all())


def _hear(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    if process.stdout.readline().strip() != word:
        raise DataError("one of the two writing processes ended before its time; run the cell anew")
