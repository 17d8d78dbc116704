"""What we write, judged by validators that others wrote: ome-zarr-models and yaozarrs."""

from __future__ import annotations

from pathlib import Path

import pytest
import zarr

from enormous import samples


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("heart", {"chunks": 16, "levels": 3}),
        ("heart", {"channels": 2, "timepoints": 2, "levels": 2, "chunks": 18}),
        ("dense", {"chunks": 16, "levels": 2}),
    ],
)
def test_other_validators_accept_what_is_written(
    name: str, options: dict[str, int], zarr_format: int, tmp_path: Path
) -> None:
    import ome_zarr_models
    import yaozarrs

    out = tmp_path / "image.ome.zarr"
    samples.run(name, out, shape=(24, 20, 18), zarr_format=zarr_format, **options)
    version = {2: "0.4", 3: "0.5"}[zarr_format]

    model = ome_zarr_models.open_ome_zarr(zarr.open_group(out, mode="r"))
    assert model.ome_zarr_version == version
    datasets = (model.ome_attributes if version == "0.5" else model.attributes).multiscales[0]
    assert len(datasets.datasets) == options["levels"]

    yaozarrs.validate_zarr_store(str(out))
