"""One of the two processes that `enormous.teach.parallel_writes.two_processes` starts.

A program of its own, because it is run, not imported, and so that it starts quickly: only
the writer that it is asked for is imported. ``python -m enormous.teach._one_writer WRITER
FIRST STOP ARRAY...`` writes slices FIRST to STOP of an array whenever a line of its input
says when, into which array, and what.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Write = Callable[[Any, slice, Any], object]


def _open_with_zarr(folder: str) -> Any:
    import zarr

    return zarr.open_array(folder, mode="r+")


def _open_with_tensorstore(folder: str, locking: str) -> Any:
    import tensorstore as ts

    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": folder}}
    return ts.open(spec, context=ts.Context({"file_io_locking": {"mode": locking}})).result()


def main(writer: str, first: str, stop: str, *folders: str) -> None:
    """Write one part of the arrays in `folders` until the input ends."""
    part = slice(int(first), int(stop))
    if writer == "zarr":
        arrays = [_open_with_zarr(folder) for folder in folders]
    else:
        locking = "none" if writer.endswith("no locks") else "os"
        arrays = [_open_with_tensorstore(folder, locking) for folder in folders]
    print("ready", flush=True)
    for line in sys.stdin:
        begin, number, value = line.split()
        array = arrays[int(number)]
        while time.time() < float(begin):
            pass
        if writer == "zarr":
            array[part] = np.uint16(value)
        else:
            array[part].write(np.uint16(value)).result()
        print("written", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
