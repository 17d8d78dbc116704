"""Record how the samples compress beside the published scans: ``book/reference/samples.json``.

Run it after a change to a generator: ``python benchmarks/samples_fidelity.py``.
It encodes every chunk of all three scans at full size with ten codecs, which
takes some minutes. The samples page draws its tables from the record, and
refuses one that was made by another version of the generators.
"""

import json
import zlib
from pathlib import Path

from enormous import samples
from enormous.samples.fidelity import PUBLISHED, ratios

RECORD = Path(__file__).parent.parent / "book" / "reference" / "samples.json"


def main() -> None:
    """Measure, write the record, print the table."""
    record = {}
    for name in samples.NAMES:
        measured = ratios(name)
        record[name] = {
            "tiny_crc32": zlib.crc32(samples.generate(name, "tiny").tobytes()),
            "ratios": {codec: round(ratio, 3) for codec, ratio in measured.items()},
        }
        for codec, ratio in measured.items():
            published = PUBLISHED[codec][name]
            print(f"{name:7} {codec:24} {ratio:8.2f} {published:8.2f} {ratio / published:6.2f}")
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
