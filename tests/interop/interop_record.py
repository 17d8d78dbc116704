"""Write down which programs opened which outputs, and the page that shows it.

``python tests/interop/interop_record.py`` runs every reader on every output and writes
``book/reference/opens_elsewhere.json`` and the page made of it, ``opens-elsewhere.md``.
`test_opens_elsewhere` holds both to what the tests expect.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

from interop_outputs import make_all
from interop_readers import MATTERS, READERS
from interop_verdicts import LIMITS, limit_of, verdict

REFERENCE = Path(__file__).parents[2] / "book" / "reference"
RECORD = REFERENCE / "opens_elsewhere.json"
PAGE = REFERENCE / "opens-elsewhere.md"

#: What no test opens, and why not.
NOT_RUN = {
    "napari's window": "needs a screen; its plugin and its layers are tested, the picture is not",
    "Fiji and ImageJ (N5, MoBIE, BigDataViewer), QuPath": "need Java and a screen",
    "zarr-java, Bio-Formats, OMERO": "need Java, and OMERO a server",
    "ITK-SNAP, ParaView": "need a screen",
    "Neuroglancer, Vizarr, WEBKNOSSOS": "run in a browser, WEBKNOSSOS with a server of its own",
    "Imaris, Amira, arivis, Dragonfly": "are licensed",
}

HEAD = """\
# What opens elsewhere

Small images of the kinds that the toolkit writes are opened with other programs, and what those
show is compared. The finest level is held against the voxels that went in, the others against
what zarr reads: every voxel, exactly. Lengths agree to nine digits. Tests repeat it. This table
is the record of one run; it is generated, not typed.

✓ means that all that the program tells is equal. A number stands for one of the limits below.
"""

FURTHER = """\
## Good to know

- napari takes how much coarser a lower level is from the shapes, not from the metadata. Where a
  halved axis has an odd number of voxels, it draws the lower level squeezed, at its far end by
  less than one of its own voxels. The finest level lies right, and is the one compared here.
- napari opens an image together with its labels, but hides their layers: click the eye of a
  layer to see them.
- When napari opens a label image that stands on its own, its plugin looks for an image two
  folders above, and makes an empty Zarr group there (a file `zarr.json`) where it finds none.
  The label image opens all the same, and you can remove that file.
"""


def outcomes(folder: Path) -> dict[str, dict[str, str]]:
    """What is wrong, for each output and reader; empty where nothing is."""
    made = make_all(folder)
    logging.disable(logging.WARNING)
    with contextlib.redirect_stdout(io.StringIO()):  # napari's plugin prints
        return {
            kind: {name: verdict(reader, output)[0] for name, reader in READERS.items()}
            for kind, output in made.items()
        }


def record(folder: Path) -> dict[str, Any]:
    """The record of a run that makes its outputs in an empty folder."""
    return {
        "readers": {
            name: {
                "package": reader.package,
                "version": importlib.metadata.version(reader.package),
                "tells": [matter for matter in MATTERS if matter in reader.tells],
            }
            for name, reader in READERS.items()
        },
        "outcomes": outcomes(folder),
    }


def read(path: Path) -> dict[str, Any]:
    """A record that was written."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def render(known: dict[str, Any]) -> str:
    """The page of a record."""
    readers, rows = known["readers"], known["outcomes"]
    lines = [HEAD, _row("Output", *readers), _row(":--", *([":-:"] * len(readers)))]
    for kind, results in rows.items():
        lines.append(_row(kind, *(_mark(name, kind, results[name]) for name in readers)))
    lines += ["", "## Limits", ""]
    for number, limit in enumerate(LIMITS, 1):
        lines.append(f"{number}. **{limit.reader}**: {limit.reason}.")
    lines += ["", FURTHER, "## What is compared", ""]
    lines += [_row("Program", "Version", "Compared"), _row(":--", ":--", ":--")]
    for name, reader in readers.items():
        told = ", ".join(MATTERS[matter] for matter in reader["tells"])
        lines.append(_row(name, f"{reader['package']} {reader['version']}", told))
    lines += ["", "## Not run here", "", "These were not opened by a test:", ""]
    lines += [f"- {program}: {why}." for program, why in NOT_RUN.items()]
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _mark(reader: str, kind: str, wrong: str) -> str:
    if not wrong:
        return "✓"
    limit = limit_of(reader, kind)
    return str(LIMITS.index(limit) + 1) if limit and limit.wrong == wrong else wrong


def main() -> None:
    """Run everything and write both files."""
    with tempfile.TemporaryDirectory() as folder:
        made = record(Path(folder))
    RECORD.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(render(made), encoding="utf-8")


if __name__ == "__main__":
    main()
