"""Lets the tests here import the helpers beside them, and keeps napari out of the home folder."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)


@pytest.fixture(scope="package", autouse=True)
def _napari_at_home_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Settings and icons that napari writes when it is imported."""
    place = tmp_path_factory.mktemp("napari")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_CONFIG", str(place / "settings.yaml"))
        patch.setenv("XDG_CACHE_HOME", str(place))
        yield
