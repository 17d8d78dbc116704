"""Small files of many kinds, and what a reader makes of each: "What the readers read".

Called by that chapter alone. `make_files` writes the files, `attempt` tries one
reader on one of them and compares with what went in, `bytes_read` says how much
this process has read so far, `draw` shows all verdicts in one picture.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from enormous.errors import DataError
from enormous.teach.figures import ASKED, LINE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = np.ndarray[Any, Any]
Reader = Callable[[str], Any]

#: Voxel size of the files that can hold one, z, y, x, in micrometres: no two alike.
VOXEL = (10.0, 2.5, 2.0)

#: What can come out, and its mark in the picture.
VERDICTS = {
    "right": "✓",
    "refused": "–",
    "one axis more": "+1",
    "other axes": "axes",
    "other order": "order",
    "slices lost": "lost",
    "other values": "values",
}
#: Those that are wrong, and raise no error.
SILENT = ("other axes", "other order", "slices lost", "other values")
#: Fields of the picture that are not dark: each a step darker in print, too.
SHADES = {"right": "white", "one axis more": "#fed7aa", "refused": "#a3adba"}


class Sample(NamedTuple):
    """A file (or a folder's pattern) and the voxels that were put into it."""

    name: str
    path: str
    voxels: Array


class Outcome(NamedTuple):
    """What became of one reader on one sample."""

    verdict: str  # one of VERDICTS
    shape: tuple[int, ...] | None  # as it came out; None where it was refused
    dtype: str
    said: str  # the first line of the error, else ""


def make_files(folder: Path, volume: Array) -> list[Sample]:
    """Write `volume` as files of every kind that the chapter tries.

    Parameters
    ----------
    folder : pathlib.Path
        An existing, empty folder.
    volume : ndarray of uint16, shape (24, y, x)

    Returns
    -------
    list of Sample
        Single slices hold slice 0; the rest holds the whole volume.
    """
    samples = [*_stacks(folder, volume), *_slices(folder, volume[0])]
    return [*samples, *_folders(folder, volume), *_others(folder, volume)]


def _stacks(folder: Path, volume: Array) -> list[Sample]:
    import tifffile

    made: list[Sample] = []

    def tiff(name: str, voxels: Array, **options: Any) -> None:
        path = str(folder / f"stack{len(made)}.tif")
        options = {"photometric": "minisblack"} | options
        tifffile.imwrite(path, voxels, **options)
        made.append(Sample(f"TIFF stack, {name}", path, voxels))

    tiff("8-bit", (volume >> 8).astype(np.uint8))
    tiff("12-bit packed", volume >> 4, bitspersample=12)
    tiff("16-bit", volume)
    tiff("32-bit", volume.astype(np.uint32) << 16)
    tiff("float", (volume / 65535).astype(np.float32))
    tiff("1-bit", volume > volume.mean())
    tiff("big-endian", volume, byteorder=">")
    tiff("BigTIFF", volume, bigtiff=True)
    tiff("tiled", volume, tile=(32, 32))
    tiff("deflate", volume, compression="deflate")
    tiff("LZW", volume, compression="lzw", predictor=True)
    tiff("JPEG 2000", volume, compression="jpeg2000")
    tiff("four slices", volume[:4])
    z, y, x = VOXEL
    half = volume.reshape(2, 1, len(volume) // 2, *volume.shape[1:])
    five = np.concatenate([half, half // 2], axis=1).swapaxes(1, 2)  # t, z, c, y, x
    sizes = {f"PhysicalSize{axis}": size for axis, size in zip("ZYX", VOXEL, strict=True)}
    tiff("ImageJ, 5-D", five, imagej=True, resolution=(1 / x, 1 / y), photometric=None,
         metadata={"axes": "TZCYX", "spacing": z, "unit": "um"})  # fmt: skip
    path = str(folder / "five.ome.tif")
    tifffile.imwrite(
        path, five, ome=True, photometric="minisblack", metadata={"axes": "TZCYX"} | sizes
    )
    return [*made, Sample("OME-TIFF, 5-D", path, five)]


def _slices(folder: Path, plane: Array) -> list[Sample]:
    import imagecodecs
    import tifffile
    from PIL import Image

    colours = np.stack([plane, plane // 2, 65535 - plane], axis=-1)
    labels = (plane >> 14).astype(np.uint8)  # four labels
    mask = plane > plane.mean()
    tifffile.imwrite(folder / "colour.tif", colours, photometric="rgb")
    Image.fromarray(mask).save(folder / "mask.png")
    palette = Image.fromarray(labels, mode="P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    palette.save(folder / "labels.png")
    byte = (plane >> 8).astype(np.uint8)
    j2k: dict[str, Any] = {"level": 0, "reversible": True}
    encoded = {
        "byte.png": imagecodecs.png_encode(byte),
        "grey.png": imagecodecs.png_encode(plane),
        "colour.png": imagecodecs.png_encode(colours),
        "byte.jpg": imagecodecs.jpeg_encode(byte, level=90),
        "grey.jp2": imagecodecs.jpeg2k_encode(plane, **j2k),
        "twelve.jp2": imagecodecs.jpeg2k_encode(plane >> 4, bitspersample=12, **j2k),
    }
    for name, content in encoded.items():
        (folder / name).write_bytes(content)
    held = [
        ("TIFF, RGB 16-bit", "colour.tif", colours),
        ("PNG, 8-bit", "byte.png", byte),
        ("PNG, 16-bit", "grey.png", plane),
        ("PNG, RGB 16-bit", "colour.png", colours),
        ("PNG, 1-bit", "mask.png", mask),
        ("PNG, labels with a palette", "labels.png", labels),
        ("JPEG, 8-bit", "byte.jpg", byte),
        ("JPEG 2000, 16-bit", "grey.jp2", plane),
        ("JPEG 2000, 12-bit", "twelve.jp2", plane >> 4),
    ]
    return [Sample(name, str(folder / file), voxels) for name, file, voxels in held]


def _folders(folder: Path, volume: Array) -> list[Sample]:
    import imagecodecs
    import tifffile

    for name in ("padded", "bare", "pngs", "jp2s", "stacks"):
        (folder / name).mkdir()
    for number, plane in enumerate(volume):
        tifffile.imwrite(folder / "padded" / f"slice_{number:04}.tif", plane)
        tifffile.imwrite(folder / "bare" / f"slice_{number}.tif", plane)
        png, jp2 = folder / "pngs" / f"{number:04}.png", folder / "jp2s" / f"{number:04}.jp2"
        png.write_bytes(imagecodecs.png_encode(plane))
        jp2.write_bytes(imagecodecs.jpeg2k_encode(plane, level=0, reversible=True))
    for part, stack in enumerate(np.split(volume, 3)):
        path = folder / "stacks" / f"part_{part}.tif"
        tifffile.imwrite(path, stack, photometric="minisblack")
    held = [
        ("folder of TIFF, slice_0007", "padded/*.tif", volume),
        ("folder of TIFF, slice_7", "bare/*.tif", volume),
        ("folder of PNG", "pngs/*.png", volume),
        ("folder of JPEG 2000", "jp2s/*.jp2", volume),
        ("folder of TIFF stacks", "stacks/*.tif", volume.reshape(3, -1, *volume.shape[1:])),
    ]
    return [Sample(name, str(folder / pattern), voxels) for name, pattern, voxels in held]


def _others(folder: Path, volume: Array) -> list[Sample]:
    import h5py
    import nibabel

    with h5py.File(folder / "scan.h5", "w") as file:
        file.create_dataset("scan", data=volume, chunks=(8, 32, 32), compression="gzip")
    affine = np.diag([*VOXEL[::-1], 1])  # NIfTI counts x first
    nibabel.save(nibabel.Nifti1Image(volume.T, affine), folder / "scan.nii")  # type: ignore[no-untyped-call]
    np.save(folder / "scan.npy", volume)
    volume.tofile(folder / "scan.raw")
    names = {"HDF5": "scan.h5", "NIfTI": "scan.nii", ".npy": "scan.npy", "raw": "scan.raw"}
    return [Sample(name, str(folder / file), volume) for name, file in names.items()]


def attempt(read: Reader, sample: Sample) -> Outcome:
    """Read a sample, all of it, and compare it with the voxels that were put in.

    A reader that opens a file and fails when the voxels are asked for has refused it.
    Warnings are kept quiet.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            opened = read(sample.path)
            found = np.asarray(opened)
        except Exception as error:  # readers raise all kinds; which, is what we want to know
            line = " ".join(str(error).replace(sample.path, "FILE").split("\n")[0].split())
            return Outcome("refused", None, "", f"{type(error).__name__}: {line}")
    return Outcome(judge(found, sample.voxels), found.shape, str(found.dtype), "")


def judge(found: Array, voxels: Array) -> str:
    """Say in a word what became of `voxels` in `found`: one of `VERDICTS`.

    Byte order is no difference: the numbers are the same. "slices lost" is said where
    only the first ones are there.
    """
    native = found.dtype.newbyteorder("=")
    same_type = native == voxels.dtype.newbyteorder("=")
    found = found.astype(native, copy=False)
    if same_type and np.array_equal(found, voxels):
        return "right"
    short, whole = found.squeeze(), voxels.squeeze()
    if same_type and short.size < whole.size and whole.tobytes().startswith(short.tobytes()):
        return "slices lost"
    if not same_type or short.size != whole.size:
        return "other values"
    if np.array_equal(short, whole):
        return "one axis more"
    if short.shape == whole.shape and _bags(short) == _bags(whole):
        return "other order"
    turned = (np.transpose(whole, order) for order in itertools.permutations(range(whole.ndim)))
    reshaped = np.array_equal(short.ravel(), whole.ravel())
    if reshaped or any(np.array_equal(short, other) for other in turned):
        return "other axes"
    return "other values"


def _bags(volume: Array) -> list[bytes]:
    return sorted(plane.tobytes() for plane in volume)


def bytes_read() -> int:
    """Return how many bytes this process has read from files so far.

    What a memory map reads is not in it: the system does that, behind our back.

    Raises
    ------
    DataError
        On systems that do not say (anything but Linux).
    """
    try:
        with Path("/proc/self/io").open() as file:
            return int(file.readline().split()[1])
    except OSError as error:
        raise DataError("only Linux says how many bytes a process has read") from error


def count_bytes(function: Callable[[], Any]) -> tuple[int, Any]:
    """Return how many bytes a call reads, and what it returns.

    The lesser of two calls: the first may also import modules, which are files too.
    """
    counts = []
    for _ in range(2):
        before = bytes_read()
        result = function()
        counts.append(bytes_read() - before)
    return min(counts), result


def draw(
    ax: Axes, rows: Sequence[str], columns: Sequence[str], outcomes: Mapping[Any, Outcome]
) -> None:
    """Draw a grid of verdicts: ``outcomes[row, column]``; dark is what is wrong and silent.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    rows, columns : sequence of str
        Names of the samples and of the readers.
    outcomes : mapping of (row, column) to Outcome
    """
    from matplotlib.patches import Rectangle

    faces = dict.fromkeys(SILENT, ASKED) | SHADES
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            verdict = outcomes[row, column].verdict
            edge: dict[str, Any] = {"edgecolor": LINE, "linewidth": 0.6, "clip_on": False}
            ax.add_patch(Rectangle((j, i), 1, 1, facecolor=faces[verdict], **edge))
            colour = "white" if verdict in SILENT else "black"
            options: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8.5}
            ax.text(j + 0.5, i + 0.52, VERDICTS[verdict], color=colour, **options)
    ax.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=35, ha="left")
    ax.set_yticks(np.arange(len(rows)) + 0.5, rows)
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
