"""Where the labels of an image go, and the list by which readers find them.

Called by :mod:`enormous.create.convert`. OME-Zarr keeps label images in
``IMAGE/labels/NAME`` and lists them in the group ``labels``; no reader looks for one that is
not listed.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enormous.create.image_files import ImageFiles
from enormous.engine.lock import hold
from enormous.engine.output import swap
from enormous.engine.unfinished import find, journals
from enormous.engine.work import Work
from enormous.errors import DataError, UsageError
from enormous.ledger import METADATA_NAMES
from enormous.ome.metadata import VERSIONS
from enormous.ome.read import ome_attributes
from enormous.shardfile import write_object

#: From a label image to its image, as OME-Zarr has it.
SOURCE = "../../"
_FOLDER = "labels"
_PATIENCE = 10.0  # seconds that one process waits for another to change the list


def image_above(place: str | Path) -> Path | None:
    """The OME-Zarr image that a path lies inside of, the outermost; None if there is none."""
    above = [folder for folder in Path(place).parents if _is_image(folder)]
    return above[-1] if above else None


def _is_image(folder: Path) -> bool:
    for name in ("zarr.json", ".zattrs"):
        try:
            found = json.loads((folder / name).read_bytes())
        except (OSError, ValueError):  # not there, or nothing that anyone could open
            continue
        if name == "zarr.json" and isinstance(found, Mapping):
            found = found.get("attributes")
        if isinstance(found, Mapping) and "multiscales" in ome_attributes(found):
            return True
    return False


def check_inside(place: str, asked: str, label: bool) -> None:
    """Refuse an output inside an image that is no label image in its place.

    Parameters
    ----------
    place, asked : str
        The output with all links followed, and as it was given; absolute.
    label : bool
        Whether it is to be a label image.

    Raises
    ------
    UsageError
        One line that says where labels go.
    """
    image, seen = image_above(place), image_above(asked)
    if seen is not None and (image is None or not os.path.samefile(seen, image)):
        raise UsageError(f"{asked} leads out of the image {seen} by a link; give {place} itself")
    if image is None:
        return
    parts = Path(place).relative_to(image).parts
    if len(parts) != 2 or parts[0] != _FOLDER:
        raise UsageError(
            f"{place} lies inside the image {image}: only its labels do, as "
            f"{image / _FOLDER / 'NAME'} (convert --label); choose another output"
        )
    if not label:
        raise UsageError(
            f"{place} is for a label image of {image}: make one (convert --label), or choose "
            "another output"
        )
    if parts[1].startswith((".", "__")) or parts[1] in METADATA_NAMES:
        raise UsageError(f"{parts[1]!r} cannot be the name of labels; choose another")


def only_unlisted(place: str) -> bool:
    """Whether a run was ended after it had put a label image there, before it was listed."""
    if not Path(place).is_dir() or len(journals(Path(place))) != 1:
        return False
    return find(Path(place)).journal.publishing


def begin_label(work: Work) -> None:
    """Refuse early what publishing would refuse late.

    Raises
    ------
    UsageError
        If something is there that was not when the plan was made, or the list is damaged.
    """
    out = Path(work.plan.out)
    if out.exists() and not work.plan.overwrite and any(out.iterdir()):
        raise UsageError(f"{out} exists: choose another output, or pass --overwrite")
    LabelList.read(out.parent, work.plan.spec.target.zarr_format)


def publish_label(work: Work) -> None:
    """Put a label image in its place, then list it; may be called again after a crash.

    Raises
    ------
    DataError
        If the image was removed meanwhile, or the list is damaged or held by others.
    """
    out = Path(work.plan.out)
    swap(work.folder, out, work.plan.overwrite)
    if not out.is_dir():
        raise DataError(f"{out} has been removed meanwhile; make it again")
    with _alone(out.parent):
        LabelList.read(out.parent, work.plan.spec.target.zarr_format).add(out.name)
        image = ImageFiles.read(out.parent.parent)
        if image.consolidated:  # a copy that says otherwise would be believed
            image.consolidate()


@dataclass(frozen=True)
class LabelList:
    """The group ``labels`` of an image.

    Parameters
    ----------
    folder : Path
        Of the group, which need not be there.
    zarr_format : {2, 3}
    document : dict
        Of v3 all of ``zarr.json``, of v2 ``{"attributes": ...}``.
    names : tuple of str
        The labels it lists.
    exists : bool
        Whether it is a group already.
    """

    folder: Path
    zarr_format: int
    document: dict[str, Any]
    names: tuple[str, ...]
    exists: bool

    @classmethod
    def read(cls, folder: Path, zarr_format: int) -> LabelList:
        """Read it, or make an empty one where there is none.

        Raises
        ------
        DataError
            If it cannot be extended without loss.
        """
        v3 = zarr_format == 3
        other = folder / (".zgroup" if v3 else "zarr.json")
        exists = (folder / ("zarr.json" if v3 else ".zgroup")).exists()
        if other.exists() and not exists:
            raise DataError(f"{folder} is not of Zarr format {zarr_format}, as its image is")
        try:
            document = _read(folder / "zarr.json") if v3 else {"attributes": {}}
            if not v3:
                document["attributes"] = _read(folder / ".zattrs")
            if document.get("node_type", "group") != "group":
                raise ValueError("it is an array")
            attributes = document.setdefault("attributes", {})
            names = ome_attributes(attributes).get("labels", [])
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError("'labels' is not a list of names")
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise DataError(
                f"{folder}: its list of labels cannot be extended ({error}); enormous validate "
                "says what is wrong"
            ) from error
        return cls(folder, zarr_format, document, tuple(names), exists)

    def add(self, name: str) -> None:
        """List a label image, if it is not listed; each file is written at once."""
        if name in self.names and self.exists:
            return
        attributes = self.document["attributes"]
        names = [*self.names, *([] if name in self.names else [name])]
        if self.zarr_format == 2:
            attributes["labels"] = names
            write_object(self.folder / ".zattrs", _json(attributes))
            write_object(self.folder / ".zgroup", _json({"zarr_format": 2}))
            write_object(self.folder / ".zmetadata", None)  # a copy without the name
            return
        attributes["ome"] = {"version": VERSIONS[3], **attributes.get("ome", {}), "labels": names}
        kept = {k: v for k, v in self.document.items() if k != "consolidated_metadata"}
        group = {**kept, "zarr_format": 3, "node_type": "group"}
        write_object(self.folder / "zarr.json", _json(group))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} is not a JSON object")
    return found


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=2, ensure_ascii=False).encode()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep others from changing a list between our reading and writing it.

    The folder itself is locked, so that nothing can be left behind in an image.
    """
    file = None if os.name == "nt" else os.open(folder, os.O_RDONLY)  # no locks there
    try:
        until = time.monotonic() + _PATIENCE
        while file is not None and not _held(file):
            if time.monotonic() > until:
                raise DataError(f"{folder} is being changed by another process; wait for it")
            time.sleep(0.02)
        yield
    finally:
        if file is not None:
            os.close(file)


def _held(file: int) -> bool:
    try:
        return hold(file)
    except OSError as error:
        if error.errno == errno.EBADF:  # network file systems that lock only what is written
            return True
        raise
