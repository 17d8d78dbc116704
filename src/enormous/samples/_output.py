"""Where a new image goes: checked first, written beside its place, renamed last.

Called by :mod:`enormous.samples.write`. Nothing half-written is ever seen under
the name that was asked for, and on any failure nothing is left.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enormous._text import bytes_text
from enormous.errors import DataError, EnormousError, UsageError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# tensorstore reports the system's words in a ValueError of its own
_FULL_WORDS = tuple(os.strerror(code).lower() for code in _FULL)
_DENIED_WORDS = tuple(
    os.strerror(code).lower() for code in (errno.EACCES, errno.EPERM, errno.EROFS)
)


def check_replaceable(out: Path) -> None:
    """Refuse to replace what is not ours to replace, overwriting or not.

    Raises
    ------
    UsageError
        If OUT is a file, or a folder of anything but a Zarr image.
    """
    if out.is_file():
        raise UsageError(f"{out} is a file; choose another output")
    marks = ("zarr.json", ".zgroup", ".zattrs")
    if out.is_dir() and any(out.iterdir()) and not any((out / mark).exists() for mark in marks):
        raise UsageError(f"{out} is a folder of other things, not a Zarr image; choose another")


@contextmanager
def new_folder(out: Path, *, overwrite: bool, needs: int) -> Iterator[Path]:
    """Give a temporary sibling of `out` to write into; rename it to `out` at the end.

    Parameters
    ----------
    out : Path
        Missing parent folders are made.
    overwrite : bool
        Replace what is there, after all has been written.
    needs : int
        Bytes to be written at most, for the message when the disk is full.

    Raises
    ------
    DataError
        If the disk is full or refuses to be written.
    """
    made = _make_parents(out.parent)
    temporary = out.parent / f".{out.name}.partial-{uuid.uuid4().hex[:8]}"
    try:
        temporary.mkdir()
        yield temporary
        _swap(temporary, out, overwrite)
    except BaseException as error:
        free = free_bytes(out.parent)  # before the half-written data is gone
        shutil.rmtree(temporary, ignore_errors=True)
        for folder in made:
            _remove_if_empty(folder)
        told = explain(error, out, needs, free)
        if temporary.exists():
            told = DataError(f"{temporary} could not be removed, remove it by hand ({told})")
        if told is error:
            raise
        raise told from error


def _make_parents(folder: Path) -> list[Path]:
    """Make missing folders; those made, the innermost first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder; choose another place")
    for parent in reversed(missing):
        try:
            parent.mkdir(exist_ok=True)
        except OSError as error:
            raise DataError(
                f"cannot make the folder {parent}: {error.strerror}; choose another place"
            ) from error
    return missing


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # someone else has put something into it: theirs to keep
        return


def _swap(temporary: Path, out: Path, overwrite: bool) -> None:
    if out.is_dir() and not any(out.iterdir()):
        out.rmdir()
    if not os.path.lexists(out):
        temporary.rename(out)
        return
    if not overwrite:
        raise UsageError(f"{out} has appeared meanwhile; choose another name or give --overwrite")
    old = temporary.with_name(temporary.name.replace(".partial-", ".old-"))
    out.rename(old)
    try:
        temporary.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old)


def stored(folder: Path) -> tuple[int, int]:
    """Bytes and number of the data objects of an array's folder, its metadata left out."""
    size = count = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            if name not in ("zarr.json", ".zarray", ".zattrs"):
                size += os.path.getsize(os.path.join(parent, name))
                count += 1
    return size, count


def free_bytes(folder: Path) -> int:
    """Free bytes where `folder` is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check_space(out: Path, certain: int, at_most: int) -> None:
    """Refuse to start what certainly will not fit.

    Parameters
    ----------
    out : Path
    certain : int
        Bytes below which the output cannot be, however well it compresses.
    at_most : int
        Bytes it takes uncompressed.

    Raises
    ------
    DataError
    """
    free = free_bytes(out.parent)
    if certain > free:
        raise DataError(
            f"{out}: not enough space: at least {bytes_text(certain)} needed (up to "
            f"{bytes_text(at_most)}), {bytes_text(free)} free; choose another disk or fewer voxels"
        )


def explain(error: BaseException, out: Path, needs: int, free: int) -> BaseException:
    """The error as one line, if it comes from the disk; else the error itself."""
    if not isinstance(error, (OSError, ValueError)) or isinstance(error, EnormousError):
        return error
    text = str(error).lower()
    if getattr(error, "errno", None) in _FULL or any(words in text for words in _FULL_WORDS):
        return DataError(
            f"{out}: no space left while writing: up to {bytes_text(needs)} needed, "
            f"{bytes_text(free)} left; nothing was kept, free some space or choose another disk"
        )
    if any(words in text for words in _DENIED_WORDS):
        return DataError(f"{out.parent}: writing is not permitted; choose another folder")
    if isinstance(error, OSError):
        return DataError(f"{out}: cannot be written ({error.strerror or error})")
    return error
