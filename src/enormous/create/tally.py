"""What one block has counted: voxels clipped or masked, the range of values, bytes saved.

A block that has been done is not done again by a resumed run, so what it has counted is
kept in a small file of its own until the image is finished.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

from enormous.shardfile import write_object

RECORDS = ".records"

#: How two counts of a name become one, where it is not their sum.
_JOINED = {"least": min, "most": max}


class Tally:
    """Counts by name; threads may share one. Equal whatever the order of adding.

    Names are free: ``least`` and ``most`` keep the extreme, all others the sum.
    """

    def __init__(self) -> None:
        self.counts: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, counts: Mapping[str, float]) -> None:
        """Add some counts."""
        with self._lock:
            for name, value in counts.items():
                if name in self.counts and name in _JOINED:
                    self.counts[name] = _JOINED[name](self.counts[name], value)
                else:
                    self.counts[name] = value + self.counts.get(name, 0)

    def write(self, folder: Path, stage: int, number: int) -> None:
        """Keep what a block has counted, if anything."""
        if self.counts:
            text = json.dumps(self.counts, sort_keys=True)
            write_object(folder / RECORDS / f"{stage}-{number}.json", text.encode())


def read_all(folder: Path) -> Tally:
    """All that the blocks of an image have counted."""
    total = Tally()
    records = folder / RECORDS
    for path in sorted(records.glob("*.json")) if records.is_dir() else ():
        total.add(json.loads(path.read_bytes()))
    return total
