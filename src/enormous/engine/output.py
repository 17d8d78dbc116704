"""Where an output goes: what may be replaced, whether it fits, what the disk's errors mean.

Called by the planners and by :mod:`enormous.engine.unfinished`. Nothing half-written is ever
seen under the name that was asked for.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from enormous._text import bytes_text
from enormous.errors import DataError, EnormousError, UsageError
from enormous.ledger import METADATA_NAMES
from enormous.ome.read import ome_attributes

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
# tensorstore reports the system's words in a ValueError of its own
_FULL_WORDS = tuple(os.strerror(code).lower() for code in _FULL)
_DENIED_WORDS = tuple(os.strerror(code).lower() for code in _DENIED)

# the names of chunks and shards under every chunk key encoding and separator
_CHUNK_KEY = re.compile(r"c|(c[/.])?[0-9]+([/.][0-9]+)*")


def check_replaceable(out: Path) -> None:
    """Refuse to replace what is not ours to replace, overwriting or not.

    Raises
    ------
    UsageError
        If OUT is a file, or a folder that is neither empty nor an OME-Zarr image, or
        an image that has label images, which nobody can make again, or any file below it that
        is not of its own levels.
    """
    if os.path.lexists(out) and not out.is_dir():
        raise UsageError(f"{out} is a file; choose another output")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if _multiscales(out) is None:
        raise UsageError(
            f"{out} is a folder of other things, not an OME-Zarr image; choose another"
        )
    if names := _label_names(out):
        raise UsageError(
            f"{out} has label images that would be lost ({_some(names)}): move "
            f"{out / 'labels'} away, or choose another output"
        )
    foreign = next(_foreign(out), None)
    if foreign is not None:
        raise UsageError(
            f"{out} holds {os.path.relpath(foreign, out)}, which is no part of the image and would "
            "be lost; move it away or choose another output"
        )


def _label_names(image: Path) -> list[str]:
    """Label images of an image, by name, listed or not."""
    folder = image / "labels"
    if not folder.is_dir():
        return []
    return sorted(below.name for below in folder.iterdir() if _multiscales(below) is not None)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _multiscales(folder: Path) -> Any:
    """What the metadata of an image's group lists; None if it is not one."""
    v3 = (folder / "zarr.json").is_file()
    if not v3 and not (folder / ".zgroup").is_file():
        return None
    try:
        found = json.loads((folder / ("zarr.json" if v3 else ".zattrs")).read_bytes())
        if v3:
            found = found["attributes"] if found["node_type"] == "group" else {}
        return ome_attributes(found).get("multiscales")
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None  # not an image that anyone could open


def _foreign(image: Path) -> Iterator[str]:
    """Everything below an image that is neither its metadata, its levels nor its labels."""
    levels = set()
    for entry in _multiscales(image) or ():
        for dataset in entry.get("datasets", ()) if isinstance(entry, dict) else ():
            if isinstance(dataset, dict):
                levels.add(os.path.normpath(image / str(dataset.get("path"))))
    yield from _foreign_below(image, levels, image / "labels")


def _foreign_below(folder: Path, levels: set[str], labels: Path | None) -> Iterator[str]:
    """As :func:`_foreign`, for a group inside an image: the paths of its levels are known."""
    for entry in os.scandir(folder):
        below = Path(entry.path)
        if entry.is_file(follow_symlinks=False) and entry.name in METADATA_NAMES:
            continue
        if not entry.is_dir(follow_symlinks=False):
            yield entry.path
        elif entry.path in levels:
            yield from _foreign_in_array(below)
        elif below == labels:
            yield from _foreign_in_labels(below)
        elif any(level.startswith(entry.path + os.sep) for level in levels):
            yield from _foreign_below(below, levels, None)
        else:
            yield from _files(below)


def _foreign_in_labels(folder: Path) -> Iterator[str]:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            below = Path(entry.path)
            yield from _foreign(below) if _multiscales(below) is not None else _files(below)
        elif entry.name not in METADATA_NAMES or entry.is_symlink():
            yield entry.path


def _foreign_in_array(folder: Path) -> Iterator[str]:
    for path in _files(folder):
        key = os.path.relpath(path, folder).replace(os.sep, "/")
        known = key in METADATA_NAMES or _CHUNK_KEY.fullmatch(key)
        if not known or os.path.islink(path):
            yield path


def _files(folder: Path) -> Iterator[str]:
    """Everything below a folder that is not itself a folder; links are not followed."""
    for parent, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        yield from (os.path.join(parent, name) for name in [*names, *links])


def make_parents(folder: Path) -> list[Path]:
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


def remove_if_empty(folder: Path) -> None:
    """Remove a folder that was made, unless someone else has put something into it."""
    try:
        folder.rmdir()
    except OSError:  # theirs to keep
        return


def swap(temporary: Path, out: Path, overwrite: bool) -> None:
    """Rename a finished folder to `out`; what was there, if it may be replaced, is removed.

    May be called again after a crash. What was there and cannot be removed is left where it
    is, with a warning: the output is in its place all the same.

    Raises
    ------
    UsageError
        If something that may not be replaced has appeared at `out` meanwhile.
    """
    old = temporary.with_name(temporary.name.replace(".partial-", ".old-"))
    if temporary.exists():
        _put(temporary, out, old, overwrite)
    if old.exists():
        try:
            shutil.rmtree(old)
        except OSError as error:
            warnings.warn(
                f"{out} has been replaced, but {old}, what it was before, could not be removed "
                f"({error.strerror or error}); remove it by hand",
                stacklevel=2,
            )


def _put(temporary: Path, out: Path, old: Path, overwrite: bool) -> None:
    if out.is_dir() and not any(out.iterdir()):
        out.rmdir()
    if not os.path.lexists(out):
        temporary.rename(out)
        return
    if not overwrite:
        raise UsageError(f"{out} has appeared meanwhile; move it away")
    check_replaceable(out)  # again: something may have been put there since the plan
    out.rename(old)
    try:
        temporary.rename(out)
    except BaseException:
        old.rename(out)
        raise


def check_writable(out: Path) -> None:
    """Refuse early to replace or change a folder that may not be written to.

    Raises
    ------
    DataError
    """
    if out.is_dir() and not os.access(out, os.W_OK | os.X_OK):
        raise DataError(f"{out}: writing is not permitted; allow it, or choose another place")


def leftovers(out: Path) -> list[Path]:
    """Folders beside `out` that runs into it, ended early or still going, have made."""
    marks = tuple(f".{out.name}.{kind}-" for kind in ("partial", "old", "journal"))
    try:
        return sorted(path for path in out.parent.iterdir() if path.name.startswith(marks))
    except OSError:  # no such folder yet
        return []


def stored(folder: Path) -> tuple[int, int]:
    """Bytes and number of the data objects of an array's folder, its metadata left out."""
    size = count = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            if name not in METADATA_NAMES:
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


def space_warning(out: Path, at_most: int) -> tuple[str, ...]:
    """A line if an output may not fit: it would not if nothing were empty or compressed."""
    free = free_bytes(out.parent)
    if at_most <= free:
        return ()
    return (
        f"{out}: up to {bytes_text(at_most)} needed if nothing is empty or can be compressed, "
        f"{bytes_text(free)} free",
    )


def explain(error: BaseException, out: Path, needs: int, free: int) -> BaseException:
    """The error as one line, if it comes from the disk; else the error itself.

    Only what was written to is blamed on the output: an input that is refused is named.
    """
    if isinstance(error, EnormousError):
        return error
    if isinstance(error, OSError):
        return _explain_system(error, out, needs, free)
    text = str(error)
    if not isinstance(error, ValueError) or str(out.parent / f".{out.name}.") not in text:
        return error
    if any(words in text.lower() for words in _FULL_WORDS):
        return _full(out, needs, free)
    if any(words in text.lower() for words in _DENIED_WORDS):
        return _denied(out.parent)
    return error


def _explain_system(error: OSError, out: Path, needs: int, free: int) -> DataError:
    said = error.strerror or str(error)
    if error.errno in _FULL:
        return _full(out, needs, free)
    if error.errno == errno.EFBIG:
        return DataError(
            f"{out}: a file has become larger than this system or its limits allow (ulimit -f); "
            "raise the limit, or use smaller shards"
        )
    if error.filename is None:
        return DataError(f"{out}: cannot be written ({said})")
    path = Path(os.fsdecode(error.filename))
    if not _is_ours(path, out):
        return DataError(f"{path}: {said}; mend that, then call again")
    return _denied(path.parent) if error.errno in _DENIED else DataError(f"{path}: {said}")


def _is_ours(path: Path, out: Path) -> bool:
    """Whether a path is the output or in it, above it, or what is made beside it."""
    if not _below(path, out.parent):
        return path == out.parent or _below(out, path)
    first = path.relative_to(out.parent).parts[0]
    return first == out.name or first.startswith(f".{out.name}.")


def _below(path: Path, folder: Path) -> bool:
    return path != folder and path.is_relative_to(folder)


def _full(out: Path, needs: int, free: int) -> DataError:
    return DataError(
        f"{out}: no space left while writing: up to {bytes_text(needs)} needed, "
        f"{bytes_text(free)} left; free some space or choose another disk"
    )


def _denied(folder: Path) -> DataError:
    return DataError(f"{folder}: writing is not permitted; allow it, or choose another place")
