"""A small operation for the engine's tests: it squares numbers, a file for each block.

Stage 1 writes the numbers of its block, stage 2 sums what stage 1 wrote; `finish` lists the
files with the plan's time. Its settings make a block fail, wait or die.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enormous.engine import Plan, Stage, Work, trust
from enormous.grid import Shape, Tiling

trust(__name__)


@dataclass(frozen=True)
class Toy:
    """What the operation is told."""

    factor: int = 1
    pause: float = 0.0
    #: What befalls block `at` of stage 1: "error", "usage", "transient", "full", "memory", "kill".
    fate: str = ""
    at: int = -1
    #: A folder outside the output in which each call of a block leaves a mark.
    marks: str = ""


def plan(out: Path | str, shape: Shape = (7, 10), tile: Shape = (2, 3), **settings: Any) -> Plan:
    more = {k: settings.pop(k) for k in ("overwrite", "certain_bytes", "codec") if k in settings}
    blocks, rows = Tiling(shape, tile), Tiling(shape[:1], (3,))
    voxels = blocks.shape[0] * blocks.shape[1] if len(shape) == 2 else blocks.n
    return Plan(
        "toy",
        str(out),
        Toy(**settings),
        (
            Stage(
                "squares", square, blocks, 8, detail=tile, reads=8 * voxels, writes=8 * voxels,
                objects=blocks.n, block_bytes=1000, piece_bytes=10,
            ),
            Stage("sums", total, rows, 8, writes=8 * rows.n, objects=rows.n, block_bytes=2000),
        ),
        begin,
        finish,
        disk_bytes=8 * voxels,
        **more,
    )  # fmt: skip


def write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{time.monotonic_ns()}.new")
    temporary.write_text(text)
    os.replace(temporary, path)


def begin(work: Work) -> None:
    (work.folder / "squares").mkdir(exist_ok=True)
    (work.folder / "sums").mkdir(exist_ok=True)


def square(work: Work, number: int) -> None:
    spec: Toy = work.plan.spec
    stage = work.stage
    assert stage is not None
    mark(spec, f"1-{number}")
    deadline = time.monotonic() + spec.pause
    while time.monotonic() < deadline:
        work.stop.check()
        time.sleep(0.002)
    if number == spec.at:
        befall(spec, number)
    region = stage.blocks.slices(stage.blocks.index(number))
    rows = [""] * (region[0].stop - region[0].start)

    def piece(at: int) -> None:
        row = region[0].start + at
        rows[at] = " ".join(
            str(spec.factor * (row * 1000 + column) ** 2)
            for column in range(region[1].start, region[1].stop)
        )

    work.each(piece, len(rows))
    write(work.folder / "squares" / str(number), "\n".join(rows))


def total(work: Work, number: int) -> None:
    spec: Toy = work.plan.spec
    mark(spec, f"2-{number}")

    def all_squares() -> int:
        parts = (part.read_text() for part in (work.folder / "squares").iterdir())
        return sum(int(square) for part in parts for square in part.split())

    value = work.kept("sum", all_squares) + number
    write(work.folder / "sums" / str(number), str(value))


def finish(work: Work) -> None:
    for cut_off in work.folder.rglob("*.new"):  # by a kill
        cut_off.unlink()
    names = sorted(str(p.relative_to(work.folder)) for p in work.folder.rglob("*") if p.is_file())
    listed = [name for name in names if name != "list.txt"]
    write(work.folder / "list.txt", "\n".join([work.plan.created, *listed]))


def mark(spec: Toy, name: str) -> None:
    if spec.marks:
        (Path(spec.marks) / f"{name}.{os.getpid()}.{time.monotonic_ns()}").touch()


def befall(spec: Toy, number: int) -> None:
    if spec.fate == "error":
        raise RuntimeError("power cut")
    if spec.fate == "usage":
        raise ValueError("UNAVAILABLEness is no status")
    if spec.fate == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if spec.fate == "memory":
        raise MemoryError
    if spec.fate == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    once = Path(spec.marks) / "befallen"
    if once.exists():
        return
    once.touch()
    if spec.fate == "transient":
        raise ConnectionResetError("peer has gone")
    if spec.fate == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


def tree(folder: Path) -> dict[str, bytes]:
    """Everything below a folder; the time of the plan left out, which tests fix themselves."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


PUBLISH_FAILS = False


def publish_into(work: Work) -> None:
    """Move what is finished into a folder that is there, one by one."""
    out = Path(work.plan.out)
    for name in ("squares", "sums", "list.txt"):
        if PUBLISH_FAILS and name == "sums":
            raise RuntimeError("half way")
        if (work.folder / name).exists():
            os.replace(work.folder / name, out / name)


def hungry_plan(out: Path | str, blocks: int, block_bytes: int, piece_bytes: int) -> Plan:
    """A plan whose blocks take the memory they say, of more blocks than memory has room for."""
    stage = Stage(
        "hunger", eat, Tiling((blocks,), (1,)), block_bytes, detail=(block_bytes, piece_bytes),
        block_bytes=block_bytes, piece_bytes=piece_bytes,
    )  # fmt: skip
    return Plan("hungry", str(out), Toy(), (stage,), begin, finish)


def eat(work: Work, number: int) -> None:
    import numpy as np

    assert work.stage is not None
    size, piece = work.stage.detail
    whole = np.full(size, number, "u1")

    def one(_: int) -> None:
        part = np.full(piece, 1, "u1")
        time.sleep(0.01)
        assert part[-1] == 1

    work.each(one, 4)
    write(work.folder / "squares" / str(number), str(int(whole.sum(dtype="u8"))))


def nop(work: Work, number: int) -> None:
    """A block of no work, to see what the engine takes."""
