"""Files on disk: opened once, read at random from several threads, refused if they changed.

Called by the readers of this package. Reads go past mapped memory on purpose: pages of a
mapped file count as memory of the process, and a scan is larger than that.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from enormous._text import bytes_text
from enormous.create.sources.source import Region
from enormous.errors import DataError, UsageError
from enormous.grid import Shape

_BATCH = 4_000_000  # bytes of a detour: values that need their bytes or axes swapped
_SHORT = 32_768  # bytes of a piece of a row below which asking costs more than reading
_ROW = 16_384  # bytes of a row that is read whole whatever is wanted of it
_GAP = 4  # longer rows are read whole for short pieces that are a fourth of them or more


@dataclass(frozen=True)
class Stamp:
    """A file as it was when it was looked at.

    Parameters
    ----------
    path : str
    size : int
        Bytes.
    mtime_ns : int
        When it was last written.
    """

    path: str
    size: int
    mtime_ns: int


def stamp(path: str) -> Stamp:
    """Look at a file.

    Raises
    ------
    UsageError
        If there is none.
    DataError
        If it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
    except OSError as error:
        raise cannot_open(path, error) from error
    return Stamp(path, found.st_size, found.st_mtime_ns)


def cannot_open(path: str, error: OSError) -> UsageError | DataError:
    """One line for what the system says."""
    if isinstance(error, FileNotFoundError):
        return UsageError(f"{path} does not exist: check the path")
    return DataError(f"{path} cannot be read: {error.strerror or error}")


def unreadable(path: str, error: BaseException) -> DataError:
    """One line for what a decoder says of a file."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return DataError(f"{path} cannot be decoded, it is damaged or of an unknown kind: {reason}")


class RandomFile:
    """A file that several threads read at random.

    Parameters
    ----------
    known : Stamp

    Raises
    ------
    DataError
        If it is gone, or not the file that was looked at.
    """

    def __init__(self, known: Stamp) -> None:
        self.path = known.path
        try:
            self._file: IO[bytes] = open(known.path, "rb", buffering=0)  # noqa: SIM115 (close)
        except OSError as error:
            raise DataError(
                f"{known.path} could be read before and no longer can: {error.strerror or error}"
            ) from error
        found = os.fstat(self._file.fileno())
        if (found.st_size, found.st_mtime_ns) != (known.size, known.mtime_ns):
            self._file.close()
            raise DataError(
                f"{known.path} has changed since it was looked at; start again when it is complete"
            )
        self.size = known.size
        self._lock = threading.Lock()

    def use(self, unpacked: IO[bytes]) -> None:
        """Read from another file in place of this one, and close that in the end."""
        self._file.close()
        self._file = unpacked

    def __enter__(self) -> RandomFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill `buffer`, bytes, from `offset`.

        Raises
        ------
        DataError
            If the file ends before, or the disk fails.
        """
        done = 0
        try:
            while done < len(buffer):
                n = self._once(buffer[done:], offset + done)
                if n == 0:
                    raise DataError(
                        f"{self.path} is truncated: it ends at byte {offset + done:,}, but voxels "
                        f"were expected up to {offset + len(buffer):,}"
                    )
                done += n
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror or error}") from error

    def _once(self, buffer: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [buffer], offset)
        with self._lock:  # Windows: one position for all threads
            self._file.seek(offset)
            data = self._file.read(len(buffer))
            buffer[: len(data)] = data
            return len(data)

    def read(self, offset: int, count: int) -> memoryview:
        """`count` bytes from `offset`; raises as :meth:`read_into`."""
        data = np.empty(count, np.uint8).data  # not zeroed first
        self.read_into(data, offset)
        return data


def read_box(
    file: RandomFile,
    offset: int,
    dtype: np.dtype[Any],
    shape: Sequence[int],
    box: Region,
    out: NDArray[Any],
) -> None:
    """Read a box of an array that lies in a file uncompressed, in C order.

    Parameters
    ----------
    file : RandomFile
    offset : int
        Of the first voxel, in bytes.
    dtype : numpy.dtype
        As stored, byte order included.
    shape : sequence of int
        Of the whole array.
    box : tuple of slice
    out : ndarray
        Of the shape of `box`, native byte order, any strides. It is read into directly where
        its memory lies as the file does; else in batches of a few megabytes.
    """
    k = len(shape) - 1  # everything behind axis k is read whole: runs lie along axis k
    while k > 0 and (box[k].start, box[k].stop) == (0, shape[k]):
        k -= 1
    wanted = box[k].stop - box[k].start
    crop = slice(None)
    one = math.prod(shape[k + 1 :]) * dtype.itemsize
    short = wanted * one < _SHORT and wanted * _GAP >= shape[k]
    if k > 0 and (shape[k] * one <= _ROW or short):
        crop, k = box[k], k - 1  # whole rows, cropped: one request for many
    inner = tuple(shape[k + 1 :])
    strides = [math.prod(shape[axis + 1 :]) * dtype.itemsize for axis in range(k + 1)]
    last = box[k]
    for index in product(*(range(part.start, part.stop) for part in box[:k])):
        start = offset + sum(i * step for i, step in zip(index, strides[:k], strict=True))
        target = out[tuple(i - part.start for i, part in zip(index, box[:k], strict=True))]
        if crop == slice(None) and _as_stored(target, dtype):
            file.read_into(_memory(target), start + last.start * strides[k])
            continue
        for a, b in _batches(last.start, last.stop, strides[k]):
            piece = np.empty((b - a, *inner), dtype)
            file.read_into(_memory(piece), start + a * strides[k])
            rows = slice(a - last.start, b - last.start)
            target[rows] = piece if crop == slice(None) else piece[:, crop]


def _as_stored(target: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    return target.flags.c_contiguous and target.dtype == dtype


def _memory(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _batches(start: int, stop: int, row: int) -> Iterator[tuple[int, int]]:
    step = max(1, _BATCH // max(1, row))
    for a in range(start, stop, step):
        yield a, min(a + step, stop)


def side_by_side(
    pool: ThreadPoolExecutor | None, read: Callable[..., None], jobs: Sequence[tuple[Any, ...]]
) -> None:
    """Call `read` with each of the jobs, in threads if there are any and it is worth it."""
    if pool is None or len(jobs) == 1:
        for job in jobs:
            read(*job)
        return
    for done in [pool.submit(read, *job) for job in jobs]:
        done.result()


@dataclass(frozen=True)
class Flat:
    """An array that lies in a file uncompressed, in C order of `shape`."""

    file: Stamp
    offset: int
    dtype: str
    shape: Shape

    def check(self) -> None:
        """Compare with the size of the file.

        Raises
        ------
        DataError
            If the file is too short.
        """
        nbytes = math.prod(self.shape) * np.dtype(self.dtype).itemsize
        if self.offset + nbytes > self.file.size:
            raise DataError(
                f"{self.file.path} is truncated: its header promises "
                f"{bytes_text(self.offset + nbytes)} ({self.offset + nbytes:,}), it has "
                f"{self.file.size:,} bytes"
            )
