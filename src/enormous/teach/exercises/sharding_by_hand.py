"""Answers to the exercises of "Sharding by hand"."""

import operator
import struct
from typing import Any

from enormous.errors import UsageError
from enormous.grid import Grid
from enormous.teach.check import exercise

EMPTY = 2**64 - 1
Counts = tuple[int, int, int]


@exercise("sharding-by-hand-1", hint="How many chunks, and how many bytes for each in the index?")
def the_index() -> int:
    return Grid((1024,) * 3, (64, 64, 64), 2, shards=(1024, 1024, 1024)).index_bytes


@exercise("sharding-by-hand-2", hint="Each write sends all chunks that are there by then.")
def one_slice_at_a_time() -> float:
    slices = 128 // 8  # chunks of 8 × 256 × 256: one layer of chunks a write
    return sum(range(1, slices + 1)) / slices


@exercise("sharding-by-hand-3", many=True)
def a_shard_of_your_own(answer: Any) -> str:
    try:
        shards = tuple(operator.index(n) for n in answer)
        if len(shards) != 3:
            raise ValueError
    except (TypeError, ValueError):
        return "Answer with three whole numbers of voxels, for z, y and x."
    try:
        grid = Grid((12_000, 8_000, 8_000), (64, 64, 64), 2, shards=shards)
    except UsageError as error:
        return f"{error}."
    in_memory = grid.chunks_per_shard * grid.chunk_bytes
    if in_memory > 500_000_000:
        return f"A writer would need {in_memory / 1e6:,.0f} MB for one shard: too much."
    if grid.n_objects > 10_000:
        return f"That makes {grid.n_objects:,} files: the shards are too small."
    return ""


def _shard(entries: list[tuple[int, int]], body: bytes) -> bytes:
    """Make a shard of `entries`, its checksum left at zero: no answer needs it."""
    return body + b"".join(struct.pack("<QQ", *entry) for entry in entries) + bytes(4)


_NONE = (EMPTY, EMPTY)
_CASES: list[tuple[bytes, Counts]] = [
    (_shard([(0, 5), _NONE, _NONE, (5, 3)], b"abcdefgh"), (1, 2, 2)),
    # any order, a gap, and an axis of three
    (_shard([_NONE, (9, 2), (0, 4), _NONE, _NONE, (5, 3)], b"abcdefghijk"), (2, 1, 3)),
    (_shard([_NONE] * 7 + [(0, 1)], b"x"), (2, 2, 2)),
    (_shard([(0, 1)], b"x"), (1, 1, 1)),
    (_shard([_NONE] * 8, b""), (2, 2, 2)),
]


@exercise(
    "sharding-by-hand-4",
    hint="The index stands before the last four bytes; np.ndindex counts in C order.",
    cases=_CASES,
)
def chunks_present(shard: bytes, counts: Counts) -> list[Counts]:
    a, b, c = counts
    n = a * b * c
    entries = struct.iter_unpack("<QQ", shard[-16 * n - 4 : -4])
    places = [(z, y, x) for z in range(a) for y in range(b) for x in range(c)]
    return [at for at, entry in zip(places, entries, strict=True) if entry != _NONE]
