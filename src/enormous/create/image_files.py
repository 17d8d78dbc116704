"""The metadata files of an image that is there: read, and changed in one place only.

Called by :mod:`enormous.create.pyramid`. Whatever is not changed stays as it was written,
keys of other programs included.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enormous import __version__
from enormous.errors import DataError
from enormous.shardfile import write_object

_CONSOLIDATED = "consolidated_metadata"


@dataclass(frozen=True)
class Before:
    """What the image was like before the first change.

    Parameters
    ----------
    levels : tuple of str
        Paths of its levels below level 0.
    consolidated : bool
        Whether it kept a copy of all metadata in one file.
    """

    levels: tuple[str, ...]
    consolidated: bool


@dataclass(frozen=True)
class ImageFiles:
    """Metadata of a group on disk.

    Parameters
    ----------
    folder : Path
    zarr_format : {2, 3}
    document : dict
        Of v3 all of ``zarr.json``, of v2 ``{"attributes": ...}``.
    """

    folder: Path
    zarr_format: int
    document: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> ImageFiles:
        """Read them.

        Raises
        ------
        DataError
            If they are no image's.
        """
        v3 = (folder / "zarr.json").is_file()
        path = folder / ("zarr.json" if v3 else ".zattrs")
        try:
            document = json.loads(path.read_bytes())
            files = cls(folder, 3 if v3 else 2, document if v3 else {"attributes": document})
            if not files.multiscale["datasets"]:
                raise KeyError("datasets")
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise DataError(f"{path}: the metadata of the image cannot be read: {error}") from error
        return files

    @property
    def multiscale(self) -> dict[str, Any]:
        """The entry of the image; its own dictionary."""
        attributes = self.document["attributes"]
        ome = attributes.get("ome")
        inner = ome if isinstance(ome, dict) and "multiscales" in ome else attributes
        entry: dict[str, Any] = inner["multiscales"][0]
        return entry

    @property
    def consolidated(self) -> bool:
        """Whether there is a copy of all metadata in one file."""
        return _CONSOLIDATED in self.document or (self.folder / ".zmetadata").exists()

    def remember(self, path: Path, levels: Sequence[str]) -> Before:
        """What there was at the first call with this file, kept in it."""
        if not path.exists():
            before = {"levels": list(levels), "consolidated": self.consolidated}
            write_object(path, json.dumps(before).encode())
        found = json.loads(path.read_bytes())
        return Before(tuple(found["levels"]), found["consolidated"])

    def write(
        self, changed: Mapping[str, Any], provenance: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """Change keys of the image's entry, and write it at once.

        Parameters
        ----------
        changed : mapping
            Keys of the entry with their new values.
        provenance : mapping, optional
            To be added to the attribute ``enormous``.
        """
        self.multiscale.update(changed)
        attributes = self.document["attributes"]
        known = attributes.get("enormous", {})
        if provenance and isinstance(known, dict):
            told = {key: {"version": __version__, **value} for key, value in provenance.items()}
            attributes["enormous"] = {**known, **told}
        # a copy that says otherwise would be believed
        self.document.pop(_CONSOLIDATED, None)
        write_object(self.folder / ".zmetadata", None)
        v3 = self.zarr_format == 3
        text = json.dumps(self.document if v3 else attributes, indent=2, ensure_ascii=False)
        write_object(self.folder / ("zarr.json" if v3 else ".zattrs"), text.encode())

    def consolidate(self) -> None:
        """Make the copy of all metadata anew."""
        import zarr

        zarr.consolidate_metadata(str(self.folder), zarr_format=3 if self.zarr_format == 3 else 2)
