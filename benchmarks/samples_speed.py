"""How fast the sample generators are, in megavoxels a second.

Run by hand: ``python benchmarks/samples_speed.py``. Kernels are warmed first;
each figure is the median of three runs over the same 128**3 blocks of `full`,
spread over the whole volume. The last column is processor time per voxel of
one thread, which other load on the machine does not change much.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

from enormous.samples import heart

Block = tuple[tuple[int, ...], tuple[int, ...]]
EDGE = 128
RUNS = 3


def blocks(shape: tuple[int, int, int], every: int) -> list[Block]:
    """Return each `every`-th 128**3 block of a volume, cut at its edges."""
    origins = list(product(*(range(0, n, EDGE) for n in shape)))[::every]
    return [(o, tuple(min(EDGE, n - a) for a, n in zip(o, shape, strict=True))) for o in origins]


def measure(make: Callable[[Block], Any], todo: list[Block], threads: int) -> tuple[float, float]:
    """Return megavoxels a second of wall time, and nanoseconds of processor time a voxel."""
    voxels = sum(s[0] * s[1] * s[2] for _, s in todo)

    def one(block: Block) -> float:
        start = time.thread_time()
        make(block)
        return time.thread_time() - start

    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        busy = sum(pool.map(one, todo))
    return voxels / (time.perf_counter() - start) / 1e6, busy / voxels * 1e9


def main() -> None:
    """Print a table: sample, threads, Mvox/s, ns a voxel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=3, help="use each n-th block (default 3)")
    todo = blocks(heart.SHAPES["full"], parser.parse_args().every)
    cases: dict[str, dict[str, Any]] = {"heart": {}, "heart, no noise": {"noise": False}}
    print(f"{len(todo)} blocks of up to {EDGE}**3, median of {RUNS} runs")
    print(f"{'sample':18}{'threads':>8}{'Mvox/s':>9}{'ns/voxel/thread':>17}")
    for name, options in cases.items():

        def make(block: Block, options: dict[str, Any] = options) -> Any:
            return heart.block(heart.SHAPES["full"], *block, **options)

        make(((400, 300, 300), (64, 64, 64)))
        for threads in (1, 2):
            runs = [measure(make, todo, threads) for _ in range(RUNS)]
            speed, cost = (statistics.median(column) for column in zip(*runs, strict=True))
            print(f"{name:18}{threads:8}{speed:9.1f}{cost:17.1f}", flush=True)


if __name__ == "__main__":
    main()
