"""Memory is what the plan says, however large the input; the naive way fails there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from enormous.kernels import downsample

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"),
        reason="peaks are read, and limits bind, on Linux only",
    ),
]

_RUN = """
import json, os, resource, sys, threading, warnings
warnings.simplefilter("ignore")
import enormous
from enormous.create import convert, stages
stack, out, options, limited = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4]
workers = options["workers"]
scheduler = options.pop("scheduler", "threads")
stages.SPOOL_BYTES = options.pop("spool", stages.SPOOL_BYTES)
plan = convert.plan(stack, out, voxel_size=1, **options)
said = plan.peak_bytes(workers, processes=scheduler == "processes")
if limited == "limited":
    resource.setrlimit(resource.RLIMIT_DATA, (said, said))
stop = threading.Event()
peaks = {"VmHWM": 0, "VmData": 0, "RssAnon": 0}

def family(pid):
    yield pid
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as file:
            for child in file.read().split():
                yield from family(child)

def look():
    now = dict.fromkeys(peaks, 0)
    for pid in family(str(os.getpid())):
        with open(f"/proc/{pid}/status") as status:
            for line in status:
                if line.split(":")[0] in now:
                    now[line.split(":")[0]] += int(line.split()[1]) * 1024
    for name, size in now.items():
        peaks[name] = max(peaks[name], size)

def watch():
    while not stop.wait(0.02):
        try:
            look()
        except (FileNotFoundError, ProcessLookupError):  # one has ended meanwhile
            continue

watcher = threading.Thread(target=watch)
watcher.start()
try:
    enormous.run(plan, workers=workers, scheduler=scheduler)
finally:
    stop.set()
    watcher.join()
print(json.dumps([said, peaks, plan.stages[0].reads, dict(plan.facts).get("slabs", "")]))
"""

_NAIVE = """
import glob, resource, sys
import numpy as np, tifffile, zarr
limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
files = sorted(glob.glob(sys.argv[1] + "/*.tif"))
try:
    volume = np.stack([tifffile.imread(file) for file in files])
    zarr.create_array(sys.argv[2], data=volume, chunks=(64, 64, 64))
except MemoryError as error:
    print("out of memory")
"""


def child(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def converted(
    stack: Path, out: Path, limited: str = "free", **options: Any
) -> tuple[int, dict[str, int], int, str]:
    """By processes of their own: the peak that the plan says, those there were of all of them,
    bytes read of the stack, and what the plan says of slabs in a file.
    """
    said, peaks, reads, slabs = json.loads(
        child(_RUN, str(stack), str(out), json.dumps(options), limited)
    )
    return said, peaks, reads, slabs


def plane(z: int) -> NDArray[np.uint8]:
    """One slice that compresses badly and can be made again."""
    noise = np.random.default_rng(z).integers(0, 256, (64, 1024), np.uint8)
    return np.tile(noise, (16, 1))


def test_a_stack_four_times_larger_than_memory(tmp_path: Path) -> None:
    stack, out = tmp_path / "stack", tmp_path / "o.zarr"
    stack.mkdir()
    for z in range(2048):
        tifffile.imwrite(stack / f"s{z:04}.tif", plane(z % 97))
    options = {"chunks": 64, "shards": 256, "codec": "blosc-lz4:1", "workers": 1}
    said, peaks, reads, _ = converted(stack, out, "limited", **options)
    assert reads == 2048 * 1024 * 1024
    assert reads > 4 * said
    assert peaks["VmHWM"] < said
    group = zarr.open_group(str(out), mode="r")
    slab = np.stack([plane(z % 97) for z in range(1000, 1004)])
    for level in range(3):
        np.testing.assert_array_equal(group[str(level)][1000 >> level : 1004 >> level], slab)
        slab = downsample(slab, (2, 2, 2), "mean")
    assert child(_NAIVE, str(stack), str(tmp_path / "n.zarr"), str(said)) == "out of memory\n"


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One volume of 200 MB as an array, a stack of slices and a chunked array."""
    folder = tmp_path_factory.mktemp("scans")
    voxels = np.random.default_rng(0).integers(0, 4000, (400, 500, 500), np.uint16)
    np.save(folder / "scan.npy", voxels)
    zarr.create_array(folder / "scan.zarr", data=voxels, chunks=(50, 100, 100))
    (folder / "slices").mkdir()
    for z, one in enumerate(voxels):
        tifffile.imwrite(
            folder / "slices" / f"s{z:04}.tif", one, compression="zlib", predictor=True
        )
    return folder


@pytest.mark.parametrize("name", ["scan.npy", "scan.zarr", "slices"])
@pytest.mark.parametrize(
    "options",
    [
        {"workers": 1},
        {"workers": 2, "chunks": 64, "shards": 256},
        {"workers": 4, "chunks": 64, "shards": "none"},
        {"workers": 2, "chunks": 32, "window": [0, 4000], "dtype": "uint8", "mask_fov": True},
        {"workers": 2, "zarr_format": 2, "method": "median"},
        {"workers": 2, "chunks": 64, "shards": "none", "scheduler": "processes"},
    ],
    ids=str,
)
def test_a_plan_says_enough_memory_and_not_far_too_much(
    tmp_path: Path, scans: Path, name: str, options: dict[str, Any]
) -> None:
    said, peaks, _, _ = converted(scans / name, tmp_path / "o.zarr", **options)
    assert peaks["VmHWM"] < said < 3 * peaks["VmHWM"]


def test_slabs_too_large_for_memory_lie_in_a_file(tmp_path: Path, scans: Path) -> None:
    options = {"workers": 1, "chunks": (200, 100, 100), "shards": "none", "levels": 2}
    voxels = np.load(scans / "scan.npy")
    held = 200 * 500 * 500 * 2
    in_memory, _, _, slabs = converted(scans / "scan.npy", tmp_path / "a.zarr", **options)
    assert slabs == ""
    in_file, peaks, _, slabs = converted(
        scans / "scan.npy", tmp_path / "b.zarr", "limited", spool=0, **options
    )
    assert in_file < in_memory - held
    # what cannot be taken back is in the plan; pages of the file come on top, as the plan says
    assert peaks["RssAnon"] < peaks["VmData"] < in_file
    assert peaks["VmHWM"] > peaks["RssAnon"] + held / 2
    assert "page cache, which the system takes back" in slabs
    for name in ("a.zarr", "b.zarr"):
        group = zarr.open_group(str(tmp_path / name), mode="r")
        np.testing.assert_array_equal(group["0"], voxels)
        np.testing.assert_array_equal(group["1"], downsample(voxels, (2, 2, 2), "mean"))
