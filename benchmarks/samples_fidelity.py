"""Record how the samples compress beside the published scans: ``enormous/samples/fidelity.json``.

Run it after a change to a generator: ``python benchmarks/samples_fidelity.py``.
It encodes every chunk of all three scans at full size with ten codecs, which
takes some minutes. The samples page draws its table from the record, and
refuses one that was made by another version of the generators.
"""

import json

from enormous import samples
from enormous.samples.fidelity import PUBLISHED, RECORD, fingerprint, ratios


def main() -> None:
    """Measure, write the record, print the table."""
    record = {}
    for name in samples.NAMES:
        measured = {codec: round(ratio, 3) for codec, ratio in ratios(name).items()}
        record[name] = {"fingerprint": fingerprint(name), "ratios": measured}
        for codec, ratio in measured.items():
            published = PUBLISHED[codec][name]
            print(f"{name:7} {codec:24} {ratio:8.2f} {published:8.2f} {ratio / published:6.2f}")
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
