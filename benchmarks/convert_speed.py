"""How fast ``enormous convert`` is: against tensorstore writing level 0 alone, and against peers.

Run by hand on a quiet machine: ``python benchmarks/convert_speed.py``. The source is the
`heart` with its noise, as .npy and as a folder of TIFF slices, on local disk, page cache warm.
All write OME-Zarr with four levels, all axes halved, chunks of 128, blosc-zstd 3 with shuffle.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from race import Contestant, race, ratios

from enormous._text import bytes_text

NGFF_ZARR = ("ngff-zarr==0.50.0",)
OME_ZARR = ("ome-zarr==0.18.0",)  # wants Python 3.12 or newer


def make(folder: Path, edge: int, *, slices: bool) -> tuple[str, str]:
    """Write the sample as .npy, and as TIFF slices if wanted; their paths."""
    import numpy as np
    import tifffile

    from enormous import samples

    array, stack = folder / f"{edge}.npy", folder / f"{edge}-slices"
    if not array.exists():
        np.save(array, samples.generate("heart", shape=(edge,) * 3))
    if slices and not stack.exists():
        stack.mkdir()
        for z, image in enumerate(np.load(array, mmap_mode="r")):
            tifffile.imwrite(stack / f"slice_{z:04}.tif", image)
    return str(array), str(stack)


def contestants(edge: int, folder: Path, python: str, *, peers: bool) -> list[Contestant]:
    """All who race at one size."""
    array, stack = make(folder, edge, slices=True)

    def out(name: str) -> str:
        return str(folder / "out" / name)

    ours = "enormous_convert.py"
    found = [
        Contestant(
            "tensorstore, level 0 alone, shards",
            "tensorstore_level0.py",
            {"source": array, "out": out("ts-s"), "shards": True},
        ),
        Contestant(
            "tensorstore, level 0 alone, chunks",
            "tensorstore_level0.py",
            {"source": array, "out": out("ts-c"), "shards": False},
        ),
        Contestant("enormous, shards", ours, {"source": array, "out": out("e-s"), "shards": 512}),
        Contestant(
            "enormous, chunks", ours, {"source": array, "out": out("e-c"), "shards": "none"}
        ),
        Contestant(
            "enormous, TIFF slices", ours, {"source": stack, "out": out("e-t"), "shards": 512}
        ),
        Contestant("reading the TIFF slices once", "read_slices.py", {"source": stack}),
    ]
    if peers:
        for label, method in (("default", None), ("bin shrink", "ITKWASM_BIN_SHRINK")):
            options = {"source": array, "out": out("n"), "method": method}
            found.append(
                Contestant(
                    f"ngff-zarr, {label}", "ngff_zarr_convert.py", options, NGFF_ZARR, python
                )
            )
        for label, method in (("default", "RESIZE"), ("local mean", "LOCAL_MEAN")):
            options = {"source": array, "out": out("o"), "method": method}
            found.append(
                Contestant(
                    f"ome-zarr-py, {label}", "ome_zarr_convert.py", options, OME_ZARR, python
                )
            )
    return found


def report(edge: int, found: list[Contestant]) -> None:
    """A table of seconds, ratios to ours, and memory."""
    by_name = {one.name: one for one in found}
    ours = {"shards": by_name["enormous, shards"], "chunks": by_name["enormous, chunks"]}
    print(
        f"\n{edge}³ uint16, {len(found[0].runs)} interleaved runs: median (lowest to highest)"
    )  # memory: anonymous
    print(
        "| who | seconds | its time ÷ ours (chunks) | peak memory (anonymous) |\n|---|---|---|---|"
    )
    for one in found:
        print(
            f"| {one.name} | {one.spread()} | {ratios(one, ours['chunks'])} "
            f"| {bytes_text(one.median('peak'))} |"
        )
    for kind, one in ours.items():
        alone = by_name[f"tensorstore, level 0 alone, {kind}"]
        print(f"ours ÷ tensorstore's level 0 alone, {kind}: {ratios(one, alone)}, goal 1.5")
    slices, reading = by_name["enormous, TIFF slices"], by_name["reading the TIFF slices once"]
    alone = by_name["tensorstore, level 0 alone, shards"]
    allowed = 1.3 * (reading.median() + 1.5 * alone.median())
    print(
        f"from TIFF slices: {slices.median():.2f} s; 1.3 × (reading once + 1.5 × level 0 alone) "
        f"= {allowed:.2f} s; ours ÷ (reading once + ours from .npy) = "
        f"{slices.median() / (reading.median() + ours['shards'].median()):.2f}, goal 1.3"
    )


def main() -> None:
    """Race at each size; then say how time and memory grow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edges", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--python", default=sys.executable, help="3.12 or newer, for the peers")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--folder", help="keep the sources here for another time")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(chosen.folder or scratch)
        (folder / "out").mkdir(parents=True, exist_ok=True)
        seen = {}
        for edge in chosen.edges:
            found = contestants(edge, folder, chosen.python, peers=not chosen.no_peers)
            race(found, chosen.runs)
            report(edge, found)
            seen[edge] = {one.name: one for one in found}
    print(f"{os.cpu_count()} cores; all times in-process, after a warm run")
    if {512, 1024} <= seen.keys():
        for name in ("enormous, shards", "enormous, chunks", "enormous, TIFF slices"):
            small, large = seen[512][name], seen[1024][name]
            print(
                f"{name}: eight times the data takes {large.median() / small.median():.2f} times "
                f"as long (goal 8.5); memory {bytes_text(small.median('peak'))} -> "
                f"{bytes_text(large.median('peak'))}"
            )


if __name__ == "__main__":
    main()
